from uuid import UUID

from sqlalchemy.exc import IntegrityError

from services.knowledge_base import purges
from services.knowledge_base.bases import repository
from services.knowledge_base.bases.errors import NameTaken
from services.knowledge_base.bases.schemas import (
    KnowledgeBaseCreate,
    KnowledgeBaseOut,
    KnowledgeBaseSort,
    KnowledgeBaseUpdate,
)
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession, is_unique_violation
from shared.database.tables.knowledge import KnowledgeBase
from shared.executions.submit import Ring
from shared.kit.ids import new_id
from shared.knowledge.embedding import EMBEDDING_MODEL
from shared.knowledge.errors import KnowledgeBaseNotFound
from shared.web.pagination import Page, decode_cursor, page

_NAME = "uq_knowledge_bases_tenant_id_name"


async def list_bases(
    session: ReadSession, *, name: str | None, limit: int, cursor: str | None, sort: KnowledgeBaseSort
) -> Page[KnowledgeBaseOut]:
    after = decode_cursor(cursor, UUID)[0] if cursor else None
    rows = await repository.list_bases(session, name=name, after=after, limit=limit + 1, sort=sort)
    counts = await repository.count_contents(session, [row.id for row in rows])
    return page(rows, limit, lambda row: _out(row, *counts.get(row.id, (0, 0))), lambda row: (row.id,))


async def get_base(session: ReadSession, knowledge_base_id: UUID) -> KnowledgeBaseOut:
    base = await _require(session, knowledge_base_id)
    counts = await repository.count_contents(session, [base.id])
    return _out(base, *counts.get(base.id, (0, 0)))


async def create(session: WriteSession, caller: Principal, request: KnowledgeBaseCreate) -> KnowledgeBaseOut:
    base = KnowledgeBase(
        id=new_id(),
        tenant_id=caller.tenant_id,
        embedding_model=EMBEDDING_MODEL,
        created_by=caller.user_id,
        **request.model_dump(),
    )
    session.add(base)
    await _flush(session)
    await session.refresh(base)
    return _out(base, 0, 0)


async def update(session: WriteSession, knowledge_base_id: UUID, request: KnowledgeBaseUpdate) -> KnowledgeBaseOut:
    base = await _require(session, knowledge_base_id)
    for field, value in request.model_dump().items():
        setattr(base, field, value)
    await _flush(session)
    await session.refresh(base)
    return await get_base(session, knowledge_base_id)


async def delete(session: WriteSession, caller: Principal, knowledge_base_id: UUID, ring: Ring) -> None:
    base = await _require(session, knowledge_base_id)
    await session.delete(base)
    await session.flush()
    await purges.request(session, caller, ring, knowledge_base_id=knowledge_base_id, name=base.name)


async def _require(session: ReadSession, knowledge_base_id: UUID) -> KnowledgeBase:
    base = await repository.get_base(session, knowledge_base_id)
    if base is None:
        raise KnowledgeBaseNotFound
    return base


async def _flush(session: WriteSession) -> None:
    try:
        await session.flush()
    except IntegrityError as error:
        if is_unique_violation(error, _NAME):
            raise NameTaken from None
        raise


def _out(base: KnowledgeBase, documents: int, chunks: int) -> KnowledgeBaseOut:
    return KnowledgeBaseOut(
        id=base.id,
        name=base.name,
        description=base.description,
        embedding_model=base.embedding_model,
        chunk_size=base.chunk_size,
        chunk_overlap=base.chunk_overlap,
        document_count=documents,
        chunk_count=chunks,
        created_at=base.created_at,
        updated_at=base.updated_at,
    )
