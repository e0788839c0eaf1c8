from uuid import UUID

from services.orchestration.executions.schemas import ExecutionCreate, ExecutionUpdate
from shared.auth.principal import Principal
from shared.database.session import WriteSession
from shared.executions.priority import set_priority
from shared.executions.schemas import ExecutionOut
from shared.executions.start import WorkflowStart, start_workflow
from shared.web.resources import Resources


async def start(
    session: WriteSession, app: Resources, caller: Principal, request: ExecutionCreate, idempotency_key: str | None
) -> ExecutionOut:
    budget = request.budget and request.budget.as_json()
    wanted = WorkflowStart(
        request.workflow_id, request.inputs, request.version, request.priority, budget, idempotency_key
    )
    return ExecutionOut.model_validate(await start_workflow(session, caller, wanted, app.doorbell.ring))


async def prioritise(session: WriteSession, execution_id: UUID, request: ExecutionUpdate) -> ExecutionOut:
    return ExecutionOut.model_validate(await set_priority(session, execution_id, request.priority))
