from uuid import UUID

from services.orchestration.policy import repository
from services.orchestration.policy.errors import MoreThanAllowed
from services.orchestration.policy.schemas import ExecutionPolicyOut, ExecutionPolicyPut
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession
from shared.executions.retention import DEFAULT_DAYS
from shared.web.errors import ErrorDetail


async def read_policy(session: ReadSession, tenant_id: UUID) -> ExecutionPolicyOut:
    allowed = await repository.running_allowed(session, tenant_id)
    row = await repository.find_policy(session, tenant_id)
    if row is None:
        return ExecutionPolicyOut.model_validate({**DEFAULT_DAYS, "max_running": None, "max_running_allowed": allowed})
    days = {name: getattr(row, name) for name in DEFAULT_DAYS}
    return ExecutionPolicyOut.model_validate({**days, "max_running": row.max_running, "max_running_allowed": allowed})


async def put_policy(session: WriteSession, caller: Principal, request: ExecutionPolicyPut) -> ExecutionPolicyOut:
    allowed = await repository.running_allowed(session, caller.tenant_id)
    if request.max_running is not None and request.max_running > allowed:
        detail = ErrorDetail(field="body.max_running", message=f"must be at most {allowed}", code="max_running")
        raise MoreThanAllowed(details=[detail])
    values = {**request.model_dump(), "updated_by": caller.user_id}
    await repository.put_policy(session, caller.tenant_id, values)
    return await read_policy(session, caller.tenant_id)
