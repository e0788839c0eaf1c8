"""Executions made of others: retried, run again, forked.

Each is an execution of its own, for every execution has exactly one end; `origin_id` says what it was made of. What
stays is copied into it, so that it needs nothing of the first any more.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select

from shared.auth.principal import Principal
from shared.database.session import WriteSession
from shared.database.tables.ledger import CallRow, ExecutionRow, StepRow
from shared.database.tables.workflows import Workflow
from shared.executions.carrying import AtCall, Given, carry_over
from shared.executions.copying import copy
from shared.executions.errors import ExecutionNotFound
from shared.executions.keeping import Cut, Layout, Place
from shared.executions.overrides import changed_snapshot, fork_invalid
from shared.executions.retention import require_journal
from shared.executions.snapshot import Snapshot, snapshot_of, snapshot_workflow
from shared.executions.start import concurrency_key, hold_workflow
from shared.executions.submit import Ring, Submission, find_submitted, submit
from shared.kit.ids import new_id
from shared.kit.json import Json, JsonObject
from shared.kit.storable import storable
from shared.web.context import correlation_id
from shared.web.errors import Conflict
from shared.workflow.states import ExecutionKind, ExecutionStatus, Lane, Origin, StepStatus

_GRAPHS = (ExecutionKind.WORKFLOW, ExecutionKind.AGENT_JOB)
_UNDER_WAY = (ExecutionStatus.QUEUED, ExecutionStatus.RUNNING)


class ExecutionUnderWay(Conflict):
    code = "execution_under_way"
    message = "The execution is queued or running: pause or cancel it first."


class NothingToRetry(Conflict):
    code = "nothing_to_retry"
    message = "Only an execution that failed or was cancelled can be retried."


class NotAGraph(Conflict):
    code = "execution_has_no_graph"
    message = (
        "This kind of execution cannot be run again from its record: have the document processed again, or start the"
        " evaluation anew."
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """`request` is what the caller sent, for telling a repeated request; without a priority it is the source's."""

    execution_id: UUID
    request: JsonObject
    priority: int | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What a fork changes: see `changed_snapshot`. Without inputs they are the source's."""

    inputs: JsonObject | None = None
    nodes: Mapping[str, JsonObject] = field(default_factory=dict[str, JsonObject])
    agents: Mapping[UUID, JsonObject] = field(default_factory=dict[UUID, JsonObject])


@dataclass(frozen=True, slots=True)
class Answering:
    """How given answers are checked and recorded: the output of a node (as it stands in the graph), the response of a
    call. Both raise `ForkInvalid`."""

    output: Callable[[JsonObject, Json], Json]
    response: Callable[[CallRow, Json], Json]


async def retry_execution(session: WriteSession, caller: Principal, asked: Asked, ring: Ring) -> ExecutionRow:
    """Goes on where the execution failed or was cancelled; what succeeded is neither run nor paid again.

    Raises `ExecutionNotFound`, `NothingToRetry`, `NotAGraph`, `JournalPruned`, `IdempotencyMismatch`.
    """
    making = await _Making.of(session, caller, asked, Origin.RETRY)
    if making.earlier is not None:
        return making.earlier
    source = making.source
    if source.status not in (ExecutionStatus.FAILED, ExecutionStatus.CANCELLED):
        raise NothingToRetry
    require_journal(source)
    copies = await carry_over(session, source.id)
    row = await making.submit(Snapshot(source.spec, source.inputs), ring)
    await copy(session, copies, row.id)
    return row


async def rerun_execution(
    session: WriteSession, caller: Principal, asked: Asked, ring: Ring, *, inputs: JsonObject | None, latest: bool
) -> ExecutionRow:
    """From the beginning: on what the execution ran on, or, if `latest`, on what its workflow and the agents are now.

    Raises `ExecutionNotFound`, `ExecutionUnderWay`, `NotAGraph`, `WorkflowNotFound`, `WorkflowInvalid`,
    `InputsInvalid`, `ForkInvalid`, `IdempotencyMismatch`.
    """
    making = await _Making.of(session, caller, asked, Origin.RERUN)
    if making.earlier is not None:
        return making.earlier
    making.require_rest()
    source = making.source
    given = source.inputs if inputs is None else inputs
    if not latest:
        return await making.submit(snapshot_of(source.spec, given, alone=making.alone), ring)
    if source.workflow_id is None:
        raise fork_invalid("version", "it was not started from a workflow: run it again as it was", "version_unknown")
    workflow, version = await hold_workflow(session, source.workflow_id, None)
    snapshot = await snapshot_workflow(
        session,
        version.graph,
        given,
        workflow_id=workflow.id,
        workflow_name=workflow.name,
        version=version.version,
    )
    return await making.submit(snapshot, ring, name=workflow.name, version=version.version)


async def fork_execution(
    session: WriteSession,
    caller: Principal,
    asked: Asked,
    ring: Ring,
    *,
    begin: Place | UUID,
    change: Change,
    answer: Given | None,
    answering: Answering,
) -> ExecutionRow:
    """From a step on, or from the call of a step with this id, with something changed; all that does not come after it
    stays as it was. `answer` takes the place of that step's output or of that call's response.

    Raises `ExecutionNotFound`, `ExecutionUnderWay`, `NotAGraph`, `JournalPruned`, `ForkInvalid`, `WorkflowInvalid`,
    `InputsInvalid`, `IdempotencyMismatch`.
    """
    making = await _Making.of(session, caller, asked, Origin.FORK)
    if making.earlier is not None:
        return making.earlier
    making.require_rest()
    source = making.source
    require_journal(source)
    snapshot = await changed_snapshot(
        session,
        source.spec,
        source.inputs if change.inputs is None else change.inputs,
        nodes=change.nodes,
        agents=change.agents,
        alone=making.alone,
    )
    layout = Layout(snapshot.spec["graph"])
    if isinstance(begin, UUID):
        call, place = await _call(session, source.id, begin)
        response = None if answer is None else Given(answering.response(call, answer.value))
        copies = await carry_over(session, source.id, cut=Cut(layout, place), at_call=AtCall(call, response))
        row = await making.submit(snapshot, ring)
        await copy(session, copies, row.id)
        return row
    node = layout.node(begin.node)
    if node is None:
        raise fork_invalid("from.node", f"there is no node {begin.node!r}", "step_unknown")
    if not layout.fits(begin):
        message = f"node {begin.node!r} has no step there: give the `path` of one of the execution's steps"
        raise fork_invalid("from.path", message, "step_unknown")
    output = None if answer is None else Given(storable(answering.output(node, answer.value)))
    copies = await carry_over(session, source.id, cut=Cut(layout, begin))
    row = await making.submit(snapshot, ring)
    await copy(session, copies, row.id)
    if output is not None:
        await _give(session, row, begin, node["type"], output.value)
    return row


@dataclass(slots=True)
class _Making:
    """The execution that is made of, held until this transaction ends, and what is common to all that is made."""

    session: WriteSession
    caller: Principal
    asked: Asked
    origin: Origin
    source: ExecutionRow
    concurrency_key: UUID | None
    earlier: ExecutionRow | None

    @classmethod
    async def of(cls, session: WriteSession, caller: Principal, asked: Asked, origin: Origin) -> "_Making":
        workflow = await _hold_workflow_of(session, asked.execution_id)
        source = await _hold(session, asked.execution_id)
        making = cls(session, caller, asked, origin, source, None, None)
        # Two with one key come here one after the other: they hold the same source.
        making.earlier = await find_submitted(
            session, asked.idempotency_key, ExecutionKind(source.kind), making._request
        )
        if making.earlier is None and source.kind not in _GRAPHS:
            raise NotAGraph
        making.concurrency_key = None if workflow is None else concurrency_key(workflow)
        return making

    @property
    def _request(self) -> JsonObject:
        return {"origin": self.origin.value, "origin_id": str(self.source.id), **self.asked.request}

    @property
    def alone(self) -> bool:
        return self.source.kind == ExecutionKind.AGENT_JOB

    def require_rest(self) -> None:
        if self.source.status in _UNDER_WAY:
            raise ExecutionUnderWay

    async def submit(
        self, snapshot: Snapshot, ring: Ring, *, name: str | None = None, version: int | None = None
    ) -> ExecutionRow:
        source, asked = self.source, self.asked
        submission = Submission(
            tenant_id=source.tenant_id,
            kind=ExecutionKind(source.kind),
            name=name or source.name,
            spec=snapshot.spec,
            inputs=snapshot.inputs,
            lane=Lane(source.lane),
            priority=source.priority if asked.priority is None else asked.priority,
            created_by=self.caller.user_id,
            correlation_id=correlation_id(),
            workflow_id=source.workflow_id,
            workflow_version=version or source.workflow_version,
            agent_id=source.agent_id,
            origin=self.origin,
            origin_id=source.id,
            concurrency_key=self.concurrency_key,
            budget=source.budget,
            idempotency_key=asked.idempotency_key,
            request=self._request,
        )
        return await submit(self.session, submission, ring)


async def _hold_workflow_of(session: WriteSession, execution_id: UUID) -> Workflow | None:
    """Before the execution itself: who changes a workflow's limit takes them in this order, too."""
    workflow_id = select(ExecutionRow.workflow_id).where(ExecutionRow.id == execution_id).scalar_subquery()
    statement = select(Workflow).where(Workflow.id == workflow_id).with_for_update(read=True, key_share=True)
    return await session.scalar(statement)


async def _hold(session: WriteSession, execution_id: UUID) -> ExecutionRow:
    statement = select(ExecutionRow).where(ExecutionRow.id == execution_id).with_for_update(key_share=True)
    row = await session.scalar(statement)
    if row is None:
        raise ExecutionNotFound
    return row


async def _call(session: WriteSession, execution_id: UUID, call_id: UUID) -> tuple[CallRow, Place]:
    statement = (
        select(CallRow, StepRow.node, StepRow.path)
        .join(StepRow, StepRow.id == CallRow.step_id)
        .where(CallRow.id == call_id, CallRow.execution_id == execution_id)
    )
    found = (await session.execute(statement)).one_or_none()
    if found is None:
        raise fork_invalid("from.call_id", "the execution made no such call", "call_unknown")
    call, node, path = found
    return call, Place(node, path)


async def _give(session: WriteSession, row: ExecutionRow, place: Place, type_: str, output: Any) -> None:
    """The step as if it had been run, with this output, just before the execution began."""
    await session.execute(
        insert(StepRow).values(
            id=new_id(),
            tenant_id=row.tenant_id,
            execution_id=row.id,
            node=place.node,
            type=type_,
            path=place.path,
            attempt=1,
            generation=1,
            status=StepStatus.SUCCEEDED.value,
            output=output,
            started_at=row.created_at,
            finished_at=row.created_at,
        )
    )
