from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from services.knowledge_base import purges
from services.knowledge_base.bases import repository
from services.knowledge_base.bases.errors import EmbeddingModelUnknown, NameTaken, SummaryModelUnknown
from services.knowledge_base.bases.repository import Contents
from services.knowledge_base.bases.schemas import (
    IndexOut,
    KnowledgeBaseCreate,
    KnowledgeBaseOut,
    KnowledgeBaseSort,
    KnowledgeBaseUpdate,
)
from services.knowledge_base.indexes import changes
from services.knowledge_base.indexes import repository as indexes
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession, is_unique_violation
from shared.database.tables.knowledge import KnowledgeBase, KnowledgeIndex
from shared.kit.ids import new_id
from shared.knowledge.embedding import TextEmbedder, hold_embedding_model
from shared.knowledge.errors import EmbeddingModelGone, KnowledgeBaseNotFound
from shared.web.errors import ErrorDetail, Invalid
from shared.web.pagination import Page, decode_cursor, page
from shared.web.resources import Resources

_NAME = "uq_knowledge_bases_tenant_id_name"
# Of an update, what stays as it is when it is not named.
_KEPT = frozenset({"language", "summary_model_id"})


async def list_bases(
    session: ReadSession, *, name: str | None, limit: int, cursor: str | None, sort: KnowledgeBaseSort
) -> Page[KnowledgeBaseOut]:
    after = decode_cursor(cursor, UUID)[0] if cursor else None
    rows = await repository.list_bases(session, name=name, after=after, limit=limit + 1, sort=sort)
    shown = {out.id: out for out in await _out(session, rows)}
    return page(rows, limit, lambda row: shown[row.id], lambda row: (row.id,))


async def get_base(session: ReadSession, knowledge_base_id: UUID) -> KnowledgeBaseOut:
    base = await repository.get_base(session, knowledge_base_id)
    if base is None:
        raise KnowledgeBaseNotFound
    return (await _out(session, [base]))[0]


async def create(
    app: Resources, session: WriteSession, caller: Principal, request: KnowledgeBaseCreate
) -> KnowledgeBaseOut:
    embedder = await _embedder(app, session, caller, request.embedding_model_id)
    _check_size(request.chunk_size, embedder)
    await _check_summary_model(session, request)
    id_ = new_id()
    base = KnowledgeBase(
        id=id_,
        tenant_id=caller.tenant_id,
        embedding_model=embedder.name,
        index_id=id_,
        created_by=caller.user_id,
        **_plain(request),
    )
    session.add(base)
    await _flush(session)
    session.add(changes.index_of(base, request.embedding_model_id, embedder.name, indexes.ACTIVE, id_=id_))
    await session.flush()
    await session.refresh(base)
    return (await _out(session, [base]))[0]


async def update(
    app: Resources, session: WriteSession, caller: Principal, knowledge_base_id: UUID, request: KnowledgeBaseUpdate
) -> KnowledgeBaseOut:
    base = await _lock(session, knowledge_base_id)
    model_id = await changes.wanted_model(session, base)
    if "embedding_model_id" in request.model_fields_set:
        model_id = request.embedding_model_id
    embedder = await _embedder(app, session, caller, model_id)
    _check_size(request.chunk_size, embedder)
    await _check_summary_model(session, request)
    language = base.language
    if base.summary_model_id != _plain(request).get("summary_model_id", base.summary_model_id):
        base.summary_at = None
    for field, value in _plain(request).items():
        setattr(base, field, value)
    await _flush(session)
    await changes.change_model(session, caller, base, model_id, embedder.name, app.doorbell.ring)
    if base.language != language:
        await changes.change_language(session, caller, base, app.doorbell.ring)
    await session.refresh(base)
    return await get_base(session, knowledge_base_id)


async def delete(session: WriteSession, caller: Principal, knowledge_base_id: UUID, app: Resources) -> None:
    base = await _lock(session, knowledge_base_id)
    await purges.request(session, caller, app.doorbell.ring, knowledge_base_id=knowledge_base_id, name=base.name)
    await session.delete(base)
    await session.flush()


async def _lock(session: WriteSession, knowledge_base_id: UUID) -> KnowledgeBase:
    base = await repository.lock_base(session, knowledge_base_id)
    if base is None:
        raise KnowledgeBaseNotFound
    return base


async def _embedder(app: Resources, session: WriteSession, caller: Principal, model_id: UUID | None) -> TextEmbedder:
    try:
        if model_id is not None:
            await hold_embedding_model(session, model_id)
        return await app.embedders.of(caller.scope, model_id)
    except EmbeddingModelGone:
        detail = ErrorDetail(
            field="embedding_model_id", message="there is no such embedding model", code="model_unknown"
        )
        raise EmbeddingModelUnknown(details=[detail]) from None


def _check_size(chunk_size: int, embedder: TextEmbedder) -> None:
    if chunk_size > embedder.max_tokens:
        message = f"must be at most {embedder.max_tokens}, which is what {embedder.name} takes"
        raise Invalid(details=[ErrorDetail(field="chunk_size", message=message, code="chunk_too_large")])


def _plain(request: KnowledgeBaseCreate) -> dict[str, Any]:
    """What is a column; what an update need not name and does not is left out."""
    unnamed = _KEPT - request.model_fields_set if isinstance(request, KnowledgeBaseUpdate) else frozenset[str]()
    return request.model_dump(exclude={"embedding_model_id", *unnamed})


async def _check_summary_model(session: ReadSession, request: KnowledgeBaseCreate) -> None:
    model_id = request.summary_model_id
    if model_id is not None and not await repository.is_chat_model(session, model_id):
        detail = ErrorDetail(field="summary_model_id", message="there is no such chat model", code="model_unknown")
        raise SummaryModelUnknown(details=[detail])


async def _flush(session: WriteSession) -> None:
    try:
        await session.flush()
    except IntegrityError as error:
        if is_unique_violation(error, _NAME):
            raise NameTaken from None
        raise


async def _out(session: ReadSession, bases: Sequence[KnowledgeBase]) -> list[KnowledgeBaseOut]:
    ids = [base.id for base in bases]
    contents = await repository.count_contents(session, ids)
    of_base: dict[UUID, dict[str, KnowledgeIndex]] = {id_: {} for id_ in ids}
    for index in await indexes.list_indexes(session, ids):
        of_base[index.knowledge_base_id][index.status] = index
    return [
        _shown(
            base, contents[base.id], of_base[base.id].get(indexes.ACTIVE), await _building(session, of_base[base.id])
        )
        for base in bases
    ]


async def _building(session: ReadSession, found: dict[str, KnowledgeIndex]) -> IndexOut | None:
    index = found.get(indexes.BUILDING)
    if index is None:
        return None
    coverage = await indexes.get_coverage(session, index.knowledge_base_id, index.id)
    return IndexOut(
        embedding_model_id=index.model_id,
        embedding_model=index.model_name,
        execution_id=index.execution_id,
        chunks=coverage.chunks,
        chunks_done=coverage.embedded,
    )


def _shown(
    base: KnowledgeBase, contents: Contents, active: KnowledgeIndex | None, building: IndexOut | None
) -> KnowledgeBaseOut:
    return KnowledgeBaseOut(
        id=base.id,
        name=base.name,
        description=base.description,
        embedding_model_id=None if active is None else active.model_id,
        embedding_model=base.embedding_model if active is None else active.model_name,
        language=base.language,
        chunk_size=base.chunk_size,
        chunk_overlap=base.chunk_overlap,
        document_count=sum(contents.by_status.values()),
        documents_by_status=contents.by_status,
        documents_searchable=contents.searchable,
        chunk_count=contents.chunks,
        size_bytes=contents.size_bytes,
        building=building,
        summary=base.summary,
        summary_model_id=base.summary_model_id,
        summary_at=base.summary_at,
        created_at=base.created_at,
        updated_at=base.updated_at,
    )
