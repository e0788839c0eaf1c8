"""The documents that questions expect: by id or name when they are given, and whether they are still there."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, String, Text, any_, bindparam, cast, func, or_, select
from sqlalchemy.dialects.postgresql import UUID as PgUuid

from shared.database.session import ReadSession
from shared.database.tables.knowledge import Document

# "report.final.pdf" is also known as "report.final".
_ENDING = r"\.[^.]+$"


@dataclass(frozen=True, slots=True)
class Known:
    document_id: UUID
    name: str


async def find_documents(
    session: ReadSession, knowledge_base_ids: Sequence[UUID], references: Iterable[str]
) -> dict[str, list[Known]]:
    """What each reference may mean, an id before a name, and a name before one without its ending."""
    wanted = sorted(set(references))
    every = bindparam("wanted", wanted, type_=ARRAY(Text()))
    stem = func.regexp_replace(Document.name, _ENDING, "")
    statement = select(Document.id, Document.name, stem).where(
        Document.knowledge_base_id.in_(knowledge_base_ids),
        or_(Document.name == any_(every), stem == any_(every), cast(Document.id, String) == any_(every)),
    )
    by_id: dict[str, list[Known]] = {}
    by_name: dict[str, list[Known]] = defaultdict(list)
    by_stem: dict[str, list[Known]] = defaultdict(list)
    for document_id, name, without_ending in await session.execute(statement):
        known = Known(document_id, name)
        by_id[str(document_id)] = [known]
        by_name[name].append(known)
        by_stem[without_ending].append(known)
    return {one: by_id.get(one) or by_name.get(one) or by_stem.get(one) or [] for one in wanted}


async def still_there(session: ReadSession, expected: Iterable[Sequence[dict[str, Any]]]) -> set[UUID]:
    """Which of the documents in these lists exist."""
    wanted = {UUID(one["document_id"]) for each in expected for one in each}
    if not wanted:
        return set()
    ids = bindparam("ids", sorted(wanted), type_=ARRAY(PgUuid(as_uuid=True)))
    return set(await session.scalars(select(Document.id).where(Document.id == any_(ids))))
