from uuid import UUID

from shared.auth.principal import Principal
from shared.database.session import WriteSession
from shared.executions.errors import ExecutionNotEnded
from shared.executions.fork import NotAGraph
from shared.executions.reading import find_execution
from shared.executions.retention import require_journal
from shared.executions.schemas import ExecutionOut
from shared.executions.submit import Submission, submit
from shared.web.context import correlation_id
from shared.web.resources import Resources
from shared.workflow.states import ExecutionKind, ExecutionStatus

_GRAPHS = (ExecutionKind.WORKFLOW, ExecutionKind.AGENT_JOB)


async def replay(
    session: WriteSession, app: Resources, caller: Principal, execution_id: UUID, key: str | None
) -> ExecutionOut:
    source = await find_execution(session, execution_id)
    if source.kind not in _GRAPHS:
        raise NotAGraph
    if not ExecutionStatus(source.status).ended:
        raise ExecutionNotEnded
    require_journal(source)
    submission = Submission(
        tenant_id=caller.tenant_id,
        kind=ExecutionKind.REPLAY,
        name=f"Replay of {source.name}"[:200],
        spec={"execution_id": str(source.id)},
        inputs={},
        created_by=caller.user_id,
        correlation_id=correlation_id(),
        idempotency_key=key,
        request={"replay": str(source.id)},
    )
    return ExecutionOut.model_validate(await submit(session, submission, app.doorbell.ring))
