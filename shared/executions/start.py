"""Starting a workflow: the same whichever route asks for it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import and_, select

from shared.auth.principal import Principal
from shared.database.session import WriteSession
from shared.database.tables.ledger import ExecutionRow
from shared.database.tables.workflows import Workflow, WorkflowVersion
from shared.executions.errors import VersionNotFound, WorkflowNotFound
from shared.executions.snapshot import snapshot_workflow
from shared.executions.submit import Submission, find_submitted, submit
from shared.kit.json import JsonObject
from shared.web.context import correlation_id
from shared.workflow.states import ExecutionKind


@dataclass(frozen=True, slots=True)
class WorkflowStart:
    """`version=None` is the latest one there is when the execution is accepted."""

    workflow_id: UUID
    inputs: JsonObject
    version: int | None = None
    priority: int = 0
    budget: JsonObject | None = None
    idempotency_key: str | None = None
    trigger_id: UUID | None = None


async def start_workflow(
    session: WriteSession, caller: Principal, start: WorkflowStart, ring: Callable[[], Awaitable[None]]
) -> ExecutionRow:
    """Queues an execution, or gives the one that was started with this key before.

    Raises `WorkflowNotFound`, `VersionNotFound`, `WorkflowInvalid`, `InputsInvalid`, `IdempotencyMismatch`.
    """
    request: JsonObject = {
        "workflow_id": str(start.workflow_id),
        "inputs": start.inputs,
        "version": start.version,
        # Left out when usual: keys used before there were such fields still stand for the same request.
        **({"priority": start.priority} if start.priority else {}),
        **({"budget": start.budget} if start.budget else {}),
    }
    earlier = await find_submitted(session, start.idempotency_key, ExecutionKind.WORKFLOW, request)
    if earlier is not None:
        return earlier
    workflow, version = await hold_workflow(session, start.workflow_id, start.version)
    snapshot = await snapshot_workflow(
        session,
        version.graph,
        start.inputs,
        workflow_id=workflow.id,
        workflow_name=workflow.name,
        version=version.version,
    )
    submission = Submission(
        tenant_id=caller.tenant_id,
        kind=ExecutionKind.WORKFLOW,
        name=workflow.name,
        spec=snapshot.spec,
        inputs=snapshot.inputs,
        priority=start.priority,
        created_by=caller.user_id,
        correlation_id=correlation_id(),
        workflow_id=workflow.id,
        workflow_version=version.version,
        concurrency_key=concurrency_key(workflow),
        trigger_id=start.trigger_id,
        budget=start.budget,
        idempotency_key=start.idempotency_key,
        request=request,
    )
    return await submit(session, submission, ring)


def concurrency_key(workflow: Workflow) -> UUID | None:
    """What executions share that are limited together. Hold the workflow: its limit must not change meanwhile."""
    return None if workflow.max_running is None else workflow.id


async def hold_workflow(
    session: WriteSession, workflow_id: UUID, number: int | None
) -> tuple[Workflow, WorkflowVersion]:
    """The workflow, which can be neither deleted nor changed until this transaction ends, and its version.

    Raises `WorkflowNotFound` or `VersionNotFound`.
    """
    wanted = Workflow.latest_version if number is None else number
    statement = (
        select(Workflow, WorkflowVersion)
        .join(WorkflowVersion, and_(WorkflowVersion.workflow_id == Workflow.id, WorkflowVersion.version == wanted))
        .where(Workflow.id == workflow_id)
        .with_for_update(read=True, key_share=True, of=Workflow)
    )
    found = (await session.execute(statement)).one_or_none()
    if found is None:
        raise WorkflowNotFound if await session.get(Workflow, workflow_id) is None else VersionNotFound
    workflow, version = found
    return workflow, version
