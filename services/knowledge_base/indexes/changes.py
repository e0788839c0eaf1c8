"""A knowledge base gets another embedding model, another language, or its vectors anew: what sets that off.

The index that answers stays until the new one is whole. While one is being built, the last word counts: another model
puts a new index in its place, the present model gives the change up.
"""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete

from services.knowledge_base import purges
from services.knowledge_base.indexes import repository
from services.knowledge_base.work import submit_work
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.knowledge import KnowledgeBase, KnowledgeIndex
from shared.executions.submit import Ring
from shared.kit.ids import new_id
from shared.kit.json import JsonObject
from shared.workflow.states import ExecutionStatus

BUILD = "reindex"
WORDS = "words"
# Somebody may just be searching in an index that is given up.
SEARCHES_END = timedelta(seconds=20)


async def wanted_model(session: ReadSession, base: KnowledgeBase) -> UUID | None:
    """The embedding model that it has, or is to have once that is built."""
    by_status = {index.status: index for index in await repository.list_indexes(session, [base.id])}
    index = by_status.get(repository.BUILDING) or by_status.get(repository.ACTIVE)
    return None if index is None else index.model_id


async def change_model(
    session: WriteSession, caller: Principal, base: KnowledgeBase, model_id: UUID | None, model_name: str, ring: Ring
) -> None:
    """`base` is locked. Nothing is done if that is the model that it has or is about to have; where building that
    has failed, it goes on."""
    if model_id == await wanted_model(session, base):
        await go_on(session, base, ring, caller.user_id)
        return
    active = await repository.get_active(session, base.id)
    if await give_up(session, base.tenant_id, base.id):
        await purges.submit_purge(session, base.tenant_id, f"Forget an index of {base.name}", ring)
    if active is not None and active.model_id != model_id:
        await build(session, base, model_id, model_name, ring, created_by=caller.user_id)


async def go_on(session: WriteSession, base: KnowledgeBase, ring: Ring, created_by: UUID | None) -> UUID | None:
    """The execution that builds an index at present, begun again if it has failed; None if no index is being built."""
    found = await repository.get_building(session, base.id)
    if found is None:
        return None
    index, status = found
    if status is None or ExecutionStatus(status).ended or index.execution_id is None:
        index.execution_id = await _start_building(session, base, index, ring, created_by)
        await session.flush()
    return index.execution_id


async def build(
    session: WriteSession,
    base: KnowledgeBase,
    model_id: UUID | None,
    model_name: str,
    ring: Ring,
    *,
    created_by: UUID | None,
    key: str | None = None,
    request: JsonObject | None = None,
) -> UUID:
    """A new index beside the one that answers, by an execution whose id this gives. With a key, which is new, the
    execution is also found by it."""
    await repository.ensure_first(session, base.tenant_id, base.id)
    index = index_of(base, model_id, model_name, repository.BUILDING)
    execution_id = await _start_building(session, base, index, ring, created_by, key=key, request=request)
    index.execution_id = execution_id
    session.add(index)
    await session.flush()
    return execution_id


async def _start_building(
    session: WriteSession,
    base: KnowledgeBase,
    index: KnowledgeIndex,
    ring: Ring,
    created_by: UUID | None,
    *,
    key: str | None = None,
    request: JsonObject | None = None,
) -> UUID:
    spec: JsonObject = {"action": BUILD, "knowledge_base_id": str(base.id), "index_id": str(index.id)}
    name = f"Index {base.name} with {index.model_name}"
    return await start(session, base, name, spec, ring, created_by, key=key, request=request)


async def give_up(session: WriteSession, tenant_id: UUID, knowledge_base_id: UUID) -> bool:
    """The index that is being built, if there is one. Its execution sees that it is gone, and ends."""
    statement = delete(KnowledgeIndex).where(
        KnowledgeIndex.knowledge_base_id == knowledge_base_id, KnowledgeIndex.status == repository.BUILDING
    )
    index_id = await session.scalar(statement.returning(KnowledgeIndex.id))
    if index_id is not None:
        purges.note(session, tenant_id, knowledge_base_id, index_id=index_id)
    return index_id is not None


async def change_language(session: WriteSession, caller: Principal, base: KnowledgeBase, ring: Ring) -> UUID:
    spec: JsonObject = {"action": WORDS, "knowledge_base_id": str(base.id)}
    return await start(session, base, f"Index the words of {base.name}", spec, ring, caller.user_id)


async def start(
    session: WriteSession,
    base: KnowledgeBase,
    name: str,
    spec: JsonObject,
    ring: Ring,
    created_by: UUID | None,
    *,
    key: str | None = None,
    request: JsonObject | None = None,
) -> UUID:
    row = await submit_work(
        session,
        ring,
        tenant_id=base.tenant_id,
        name=name,
        spec=spec,
        created_by=created_by,
        key=key,
        request=request,
    )
    return row.id


def index_of(
    base: KnowledgeBase, model_id: UUID | None, model_name: str, status: str, *, id_: UUID | None = None
) -> KnowledgeIndex:
    return KnowledgeIndex(
        id=id_ or new_id(),
        tenant_id=base.tenant_id,
        knowledge_base_id=base.id,
        model_id=model_id,
        model_name=model_name,
        status=status,
        created_by=base.created_by,
    )
