from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, delete, exists, func, select, tuple_, update

from services.workflows.schemas import WorkflowSort
from shared.database.naming import workflows_naming
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.ledger import ExecutionRow
from shared.database.tables.workflows import Workflow, WorkflowVersion
from shared.executions.errors import VersionNotFound, WorkflowNotFound
from shared.workflow.states import ExecutionStatus

_STARTS_WORKFLOW = '$.** ? (@.type == "sub_workflow" && @.config.workflow_id == $named)'
_OPEN = [status.value for status in ExecutionStatus if not status.ended]


async def list_workflows(
    session: ReadSession, *, limit: int, sort: WorkflowSort, after: tuple[str, UUID] | None, search: str | None
) -> Sequence[Workflow]:
    """`after` are name and id of the last workflow shown; ids sort by time of creation."""
    statement = select(Workflow).limit(limit)
    if search:
        statement = statement.where(Workflow.name.icontains(search, autoescape=True))
    if after is not None:
        statement = statement.where(_comes_after(sort, *after))
    match sort:
        case WorkflowSort.NEWEST:
            statement = statement.order_by(Workflow.id.desc())
        case WorkflowSort.OLDEST:
            statement = statement.order_by(Workflow.id)
        case WorkflowSort.NAME:
            statement = statement.order_by(Workflow.name, Workflow.id)
    return (await session.scalars(statement)).all()


def _comes_after(sort: WorkflowSort, name: str, workflow_id: UUID) -> ColumnElement[bool]:
    match sort:
        case WorkflowSort.NEWEST:
            return Workflow.id < workflow_id
        case WorkflowSort.OLDEST:
            return Workflow.id > workflow_id
        case WorkflowSort.NAME:
            return tuple_(Workflow.name, Workflow.id) > (name, workflow_id)


async def get_workflow(session: ReadSession, workflow_id: UUID) -> Workflow:
    workflow = await session.get(Workflow, workflow_id)
    if workflow is None:
        raise WorkflowNotFound
    return workflow


async def lock_workflow(session: WriteSession, workflow_id: UUID) -> Workflow:
    """Nobody else changes it, deletes it or starts it until this transaction ends."""
    workflow = await session.scalar(select(Workflow).where(Workflow.id == workflow_id).with_for_update())
    if workflow is None:
        raise WorkflowNotFound
    return workflow


async def get_version(session: ReadSession, workflow: Workflow, number: int | None = None) -> WorkflowVersion:
    """The latest unless another is asked for."""
    version = await session.get(WorkflowVersion, (workflow.id, number or workflow.latest_version))
    if version is None:
        raise VersionNotFound
    return version


async def list_versions(
    session: ReadSession, workflow_id: UUID, *, limit: int, before: int | None
) -> Sequence[WorkflowVersion]:
    """The newest first."""
    statement = (
        select(WorkflowVersion)
        .where(WorkflowVersion.workflow_id == workflow_id)
        .order_by(WorkflowVersion.version.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(WorkflowVersion.version < before)
    return (await session.scalars(statement)).all()


async def has_open_executions(session: ReadSession, workflow_id: UUID) -> bool:
    statement = select(exists().where(ExecutionRow.workflow_id == workflow_id, ExecutionRow.status.in_(_OPEN)))
    return bool(await session.scalar(statement))


async def share_limit(session: WriteSession, workflow_id: UUID, *, limited: bool) -> None:
    """Makes the workflow's executions that have not ended count against its limit, or no longer. Nobody starts one
    meanwhile: the caller has locked the workflow."""
    open_ones = (
        select(ExecutionRow.id)
        .where(ExecutionRow.workflow_id == workflow_id, ExecutionRow.status.in_(_OPEN))
        .order_by(ExecutionRow.id)
        .with_for_update(key_share=True)
    )
    key = workflow_id if limited else None
    await session.execute(update(ExecutionRow).where(ExecutionRow.id.in_(open_ones)).values(concurrency_key=key))


async def workflows_starting(session: ReadSession, workflow_id: UUID, limit: int) -> Sequence[tuple[UUID, str]]:
    """Workflows whose latest version has a node that starts this one."""
    return await workflows_naming(session, _STARTS_WORKFLOW, workflow_id, limit)


async def delete_workflow(session: WriteSession, workflow_id: UUID) -> None:
    """Its versions go with it; its executions stay, they carry a snapshot of what they ran."""
    await session.execute(delete(Workflow).where(Workflow.id == workflow_id))


async def latest_execution(session: ReadSession, workflow_id: UUID) -> ExecutionRow | None:
    statement = (
        select(ExecutionRow).where(ExecutionRow.workflow_id == workflow_id).order_by(ExecutionRow.id.desc()).limit(1)
    )
    return await session.scalar(statement)


async def count_executions(session: ReadSession, workflow_id: UUID) -> Mapping[str, int]:
    statement = (
        select(ExecutionRow.status, func.count())
        .where(ExecutionRow.workflow_id == workflow_id)
        .group_by(ExecutionRow.status)
    )
    return dict((await session.execute(statement)).all())
