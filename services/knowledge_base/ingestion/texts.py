"""What was read out of a document, as it is kept."""

from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from services.knowledge_base.ingestion.extract.model import DocumentFormat, Extracted, Heading, Part, Table
from services.knowledge_base.ingestion.owner import Owner
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.knowledge import DocumentText
from shared.kit.json import JsonObject


async def put_text(session: WriteSession, owner: Owner, extracted: Extracted) -> None:
    structure = _as_json(extracted)
    values = {"version": owner.version, "text": extracted.text, "structure": structure}
    key = {"tenant_id": owner.tenant_id, "document_id": owner.document_id, "revision": owner.revision}
    statement = insert(DocumentText).values(**key, **values)
    await session.execute(statement.on_conflict_do_update(index_elements=["document_id", "revision"], set_=values))


async def get_text(session: ReadSession, owner: Owner) -> Extracted | None:
    statement = select(DocumentText.text, DocumentText.structure).where(*_key(owner))
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else _from_json(row.text, row.structure)


async def get_structure(session: ReadSession, owner: Owner) -> JsonObject:
    """All but the text, which may be long."""
    statement = select(DocumentText.structure).where(*_key(owner))
    return await session.scalar(statement) or {}


async def has_text(session: ReadSession, owner: Owner) -> bool:
    return await session.scalar(select(DocumentText.text.op("~")(r"\S")).where(*_key(owner))) or False


async def add_warning(session: WriteSession, owner: Owner, warning: str) -> None:
    structure = await get_structure(session, owner)
    warnings = [*(one for one in structure.get("warnings", []) if one != warning), warning]
    statement = update(DocumentText).where(*_key(owner))
    await session.execute(statement.values(structure={**structure, "warnings": warnings}))


async def delete_other_texts(session: WriteSession, owner: Owner) -> None:
    await session.execute(
        delete(DocumentText).where(
            DocumentText.document_id == owner.document_id, DocumentText.revision != owner.revision
        )
    )


def _key(owner: Owner) -> tuple[ColumnElement[bool], ...]:
    return DocumentText.document_id == owner.document_id, DocumentText.revision == owner.revision


def _as_json(extracted: Extracted) -> JsonObject:
    return {
        "format": extracted.format.value,
        "char_count": len(extracted.text),
        "pages": list(extracted.pages),
        "headings": [[heading.level, heading.title, heading.start] for heading in extracted.headings],
        "warnings": list(extracted.warnings),
        "tables": [[table.start, table.header_end, table.end] for table in extracted.tables],
        "parts": [asdict(part) for part in extracted.parts],
        "title": extracted.title,
        "dated_at": extracted.dated_at,
        "images_only": list(extracted.images_only),
    }


def _from_json(text: str, structure: dict[str, Any]) -> Extracted:
    """What the release before has kept had fewer of these."""
    return Extracted(
        format=DocumentFormat(structure["format"]),
        text=text,
        pages=tuple(structure["pages"]),
        headings=tuple(Heading(*heading) for heading in structure["headings"]),
        warnings=tuple(structure["warnings"]),
        tables=tuple(Table(*table) for table in structure.get("tables", ())),
        parts=tuple(Part(**part) for part in structure.get("parts", ())),
        title=structure.get("title"),
        dated_at=structure.get("dated_at"),
        images_only=tuple(structure.get("images_only", ())),
    )
