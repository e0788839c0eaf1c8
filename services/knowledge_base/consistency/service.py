from uuid import UUID

from services.knowledge_base.bases import repository as bases
from services.knowledge_base.consistency import check
from services.knowledge_base.consistency.schemas import CheckRequest, WorkOut
from services.knowledge_base.indexes import changes
from services.knowledge_base.indexes import repository as indexes
from shared.auth.principal import Principal
from shared.database.session import WriteSession
from shared.database.tables.knowledge import KnowledgeBase
from shared.executions.submit import Ring, find_submitted
from shared.kit.json import JsonObject
from shared.knowledge.errors import KnowledgeBaseNotFound
from shared.workflow.states import ExecutionKind


async def request_check(
    session: WriteSession,
    caller: Principal,
    knowledge_base_id: UUID,
    request: CheckRequest,
    ring: Ring,
    key: str | None,
) -> WorkOut:
    base = await _lock(session, knowledge_base_id)
    execution_id = await start_check(session, base, ring, repair=request.repair, created_by=caller.user_id, key=key)
    return WorkOut(execution_id=execution_id)


async def start_check(
    session: WriteSession,
    base: KnowledgeBase,
    ring: Ring,
    *,
    repair: bool,
    created_by: UUID | None,
    key: str | None = None,
) -> UUID:
    spec: JsonObject = {"action": check.ACTION, "knowledge_base_id": str(base.id), "repair": repair}
    name = f"Repair {base.name}" if repair else f"Check {base.name}"
    return await changes.start(session, base, name, spec, ring, created_by, key=key, request=spec)


async def request_rebuild(
    session: WriteSession, caller: Principal, knowledge_base_id: UUID, ring: Ring, key: str | None
) -> WorkOut:
    base = await _lock(session, knowledge_base_id)
    return WorkOut(execution_id=await start_rebuild(session, base, ring, created_by=caller.user_id, key=key))


async def start_rebuild(
    session: WriteSession, base: KnowledgeBase, ring: Ring, *, created_by: UUID | None, key: str | None = None
) -> UUID:
    """A new index by the same model, of the vectors that Postgres has: what is found meanwhile is found in the present
    one. One that is being built, for whatever reason, is enough."""
    request: JsonObject = {"rebuild": str(base.id)}
    earlier = await find_submitted(session, key, ExecutionKind.INGESTION, request)
    if earlier is not None:
        return earlier.id
    await indexes.ensure_first(session, base.tenant_id, base.id)
    found = await changes.go_on(session, base, ring, created_by)
    if found is not None:
        return found
    active = await indexes.get_active(session, base.id)
    model_id = None if active is None else active.model_id
    return await changes.build(
        session, base, model_id, base.embedding_model, ring, created_by=created_by, key=key, request=request
    )


async def _lock(session: WriteSession, knowledge_base_id: UUID) -> KnowledgeBase:
    base = await bases.lock_base(session, knowledge_base_id)
    if base is None:
        raise KnowledgeBaseNotFound
    return base
