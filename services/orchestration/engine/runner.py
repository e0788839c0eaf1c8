"""One claimed execution, from its claim to its end, its parking or its loss."""

import asyncio
import logging
from collections.abc import Mapping
from enum import StrEnum

from pydantic import ValidationError

from services.orchestration.engine import events
from services.orchestration.engine.ending import Ending, EndSignal, Reason, Work
from services.orchestration.engine.failures import error_object
from services.orchestration.engine.jobs import JobHandler, JobRun
from services.orchestration.engine.journal import ExecutionContext
from services.orchestration.engine.plan import plan_of
from services.orchestration.engine.ports import (
    EventRecord,
    ExecutionState,
    ExecutionStatus,
    Ledger,
    Outside,
    StepStatus,
    Superseded,
    Transition,
)
from services.orchestration.engine.recorder import StepRecorder
from services.orchestration.engine.scheduler import GraphRun
from services.orchestration.engine.snapshot import Snapshot
from services.orchestration.engine.writer import LedgerWriter
from shared.kit.clock import utcnow
from shared.workflow.expressions import ExpressionError

logger = logging.getLogger(__name__)

GRAPH_KINDS = frozenset({"workflow", "agent_job"})
# How long steps that were told to stop are waited for. Threads of agent libraries may hold longer; they can make
# no more calls, and what they would still return is not looked at.
STOP_GRACE = 5.0


class Outcome(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PARKED = "parked"
    SUPERSEDED = "superseded"


_STATUS = {
    Reason.DONE: ExecutionStatus.SUCCEEDED,
    Reason.FAILED: ExecutionStatus.FAILED,
    Reason.CANCEL: ExecutionStatus.CANCELLED,
    Reason.PARK: ExecutionStatus.QUEUED,
}


class ExecutionRunner:
    """Runs what a worker has claimed. Everything here happens on the event loop that `run` is awaited on.

    `jobs` has the handler of every kind of execution that is not a graph.
    """

    def __init__(self, ledger: Ledger, outside: Outside, jobs: Mapping[str, JobHandler] | None = None) -> None:
        self._ledger = ledger
        self._outside = outside
        self._jobs = jobs or {}
        self._signal = EndSignal()
        self._writer = LedgerWriter(ledger, self._lost)
        self._recorder = StepRecorder(self._writer)

    async def run(self) -> Outcome:
        """Returns how it ended. Raises what the ledger raised, if it failed otherwise than by `Superseded`.

        After either, and after `SUPERSEDED`, the ledger is as the last durable write left it: whoever claims the
        execution next goes on from there.
        """
        work: Work | None = None
        try:
            work = self._work(await self._ledger.load())
            if work is not None:
                self._writer.post(events=[events.execution_status(ExecutionStatus.RUNNING, utcnow())])
                await work.start()
            ending = await self._signal.wait()
            await self._stop(work)
            return await self._end(self._signal.ending or ending)
        except Superseded:
            return Outcome.SUPERSEDED
        finally:
            self._signal.end(Ending(Reason.LOST))
            await self._stop(work)
            await self._writer.close(STOP_GRACE)

    def cancel(self) -> None:
        """Somebody asked for it: running steps are stopped and the execution is cancelled."""
        self._signal.end(Ending(Reason.CANCEL))

    def park(self) -> None:
        """This worker must leave: running steps are stopped but stay open, and any worker may go on.

        Calls under way get a few seconds to end, so that nobody pays them twice.
        """
        self._signal.end(Ending(Reason.PARK))

    def abandon(self) -> None:
        """Another worker has it: stop at once and write nothing more."""
        self._lost(Superseded())

    # --- what to run --------------------------------------------------------------------------------------

    def _work(self, state: ExecutionState) -> Work | None:
        """None if there is nothing that could be run; the signal then says why."""
        for record in state.steps:
            if record.status is StepStatus.RUNNING:
                self._recorder.running[record.id] = record
        if state.kind in GRAPH_KINDS:
            return self._graph(state)
        handler = self._jobs.get(state.kind)
        if handler is None:
            self._refuse("kind_unknown", f"this worker runs no executions of kind {state.kind!r}")
            return None
        return JobRun(handler, state, self._recorder, self._signal)

    def _graph(self, state: ExecutionState) -> Work | None:
        try:
            plan = plan_of(state.spec["graph"])
        except (ValidationError, ExpressionError, KeyError) as broken:
            logger.warning("execution %s has no graph that can be run: %s", state.id, broken)
            self._refuse(
                "graph_invalid", "the graph of this execution does not pass validation: save and submit it again"
            )
            return None
        snapshot = Snapshot(state.spec)
        context = ExecutionContext(
            state.id, state.tenant_id, self._outside, self._writer, self._signal, snapshot.model_names
        )
        return GraphRun(plan, state, context, self._recorder, snapshot, self._signal)

    def _refuse(self, code: str, message: str) -> None:
        self._signal.end(Ending(Reason.FAILED, error=error_object(code, message)))

    # --- the end ------------------------------------------------------------------------------------------

    def _lost(self, cause: BaseException) -> None:
        self._signal.end(Ending(Reason.LOST, cause=cause))

    async def _stop(self, work: Work | None) -> None:
        tasks: set[asyncio.Task[None]] = set() if work is None else set(work.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            _, holding = await asyncio.wait(tasks, timeout=STOP_GRACE)
            if holding:
                logger.warning("%d steps did not stop within %g s and are left behind", len(holding), STOP_GRACE)

    async def _end(self, ending: Ending) -> Outcome:
        if ending.reason is Reason.LOST:
            raise ending.cause or Superseded()
        if ending.reason is not Reason.PARK:
            self._recorder.close()
        status = _STATUS[ending.reason]
        now = utcnow()
        lines: list[EventRecord] = [events.execution_status(status, now)]
        if ending.reason is not Reason.PARK:
            lines.append(events.done(status, ending.output, ending.error, now))
        self._writer.post(events=lines, transition=Transition(status, ending.output, ending.error))
        await self._writer.flush()
        return Outcome.PARKED if ending.reason is Reason.PARK else Outcome(status.value)
