"""One claimed execution, from its claim to its end, its parking or its loss."""

import asyncio
import logging
from collections.abc import Mapping
from enum import StrEnum

from pydantic import ValidationError

from services.orchestration.engine import events
from services.orchestration.engine.budget import ExecutionBudget
from services.orchestration.engine.context import ExecutionContext
from services.orchestration.engine.ending import Ending, EndSignal, Reason, Work
from services.orchestration.engine.failures import error_object
from services.orchestration.engine.jobs import JobHandler, JobRun
from services.orchestration.engine.plan import plan_of
from services.orchestration.engine.ports import (
    EventRecord,
    ExecutionState,
    ExecutionStatus,
    Ledger,
    Outside,
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
    WAITING = "waiting"
    PAUSED = "paused"
    SUPERSEDED = "superseded"


_STATUS = {
    Reason.DONE: ExecutionStatus.SUCCEEDED,
    Reason.FAILED: ExecutionStatus.FAILED,
    Reason.CANCEL: ExecutionStatus.CANCELLED,
    Reason.PARK: ExecutionStatus.QUEUED,
    Reason.PAUSE: ExecutionStatus.PAUSED,
    Reason.WAIT: ExecutionStatus.WAITING,
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
        self._work_begun: Work | None = None
        self._wakes = 0
        self._look_again = False
        self._looking: asyncio.Task[None] | None = None

    async def run(self) -> Outcome:
        """Returns how it ended. Raises what the ledger raised, if it failed otherwise than by `Superseded`.

        After either, and after `SUPERSEDED`, the ledger is as the last durable write left it: whoever claims the
        execution next goes on from there.
        """
        try:
            work = self._work(await self._ledger.load())
            if work is not None:
                self._writer.post(events=[events.execution_status(ExecutionStatus.RUNNING, utcnow())])
                self._work_begun = work
                work.start()
                if self._look_again:
                    self.wake()
            await self._signal.wait()
            await self._stop()
            return await self._end()
        except Superseded:
            return Outcome.SUPERSEDED
        finally:
            self._signal.end(Ending(Reason.LOST))
            if self._looking is not None:
                self._looking.cancel()
            await self._stop()
            await self._writer.close(STOP_GRACE)

    def cancel(self) -> None:
        """Somebody asked for it: running steps are stopped and the execution is cancelled."""
        self._signal.end(Ending(Reason.CANCEL))

    def park(self) -> None:
        """This worker must leave: running steps are stopped but stay open, and any worker may go on.

        Calls under way get a few seconds to end, so that nobody pays them twice.
        """
        self._signal.end(Ending(Reason.PARK))

    def pause(self) -> None:
        """As `park`, but nobody goes on before somebody asks for it."""
        self._signal.end(Ending(Reason.PAUSE))

    def wake(self) -> None:
        """A wait of this execution was settled: the step that waited goes on. Right at any moment, and any number of
        times; one that comes too late is seen by whoever writes that the execution waits."""
        self._look_again = True
        if self._looking is None and self._signal.ending is None:
            self._looking = asyncio.get_running_loop().create_task(self._look())

    def abandon(self) -> None:
        """Another worker has it: stop at once and write nothing more."""
        self._lost(Superseded())

    async def _look(self) -> None:
        """Reads what is settled, once for all who asked meanwhile."""
        try:
            while self._look_again and self._work_begun is not None:
                self._look_again = False
                wakes, waits = await self._ledger.waits()
                if self._signal.ending is None:
                    self._wakes = wakes
                    self._work_begun.woken(waits)
        except Exception as error:  # noqa: BLE001  # what was settled may be gone unseen: another worker must look
            self._lost(error)
        finally:
            self._looking = None

    # --- what to run --------------------------------------------------------------------------------------

    def _work(self, state: ExecutionState) -> Work | None:
        """None if there is nothing that could be run; the signal then says why."""
        self._wakes = state.wakes
        self._recorder.take_over(state.steps, state.waits)
        if state.kind in GRAPH_KINDS:
            return self._graph(state)
        handler = self._jobs.get(state.kind)
        if handler is None:
            self._refuse("kind_unknown", f"this worker runs no executions of kind {state.kind!r}")
            return None
        # What a job is submitted with has a form of its own, which says nothing of agents.
        context = self._context(state, Snapshot({}), ExecutionBudget(state, self._outside.budgets, may_ask=False))
        return JobRun(handler, state, context, self._recorder)

    def _graph(self, state: ExecutionState) -> Work | None:
        try:
            plan = plan_of(state.spec["graph"])
        except (ValidationError, ExpressionError, KeyError) as broken:
            logger.warning("execution %s has no graph that can be run: %s", state.id, broken)
            self._refuse(
                "graph_invalid", "the graph of this execution does not pass validation: save and submit it again"
            )
            return None
        budget = ExecutionBudget(state, self._outside.budgets)
        return GraphRun(plan, state, self._context(state, Snapshot(state.spec), budget), self._recorder, self._signal)

    def _context(self, state: ExecutionState, snapshot: Snapshot, budget: ExecutionBudget) -> ExecutionContext:
        return ExecutionContext(
            state.id,
            state.tenant_id,
            self._outside,
            self._writer,
            self._signal,
            snapshot,
            budget,
            state.forked,
        )

    def _refuse(self, code: str, message: str) -> None:
        self._signal.end(Ending(Reason.FAILED, error=error_object(code, message)))

    # --- the end ------------------------------------------------------------------------------------------

    def _lost(self, cause: BaseException) -> None:
        self._signal.end(Ending(Reason.LOST, cause=cause))

    async def _stop(self) -> None:
        tasks = set[asyncio.Task[None]]() if self._work_begun is None else self._work_begun.stop()
        if tasks:
            _, holding = await asyncio.wait(tasks, timeout=STOP_GRACE)
            if holding:
                logger.warning("%d steps did not stop within %g s and are left behind", len(holding), STOP_GRACE)

    async def _end(self) -> Outcome:
        ending = self._signal.ending
        if ending is None or ending.reason is Reason.LOST:
            raise (ending and ending.cause) or Superseded()
        status = _STATUS[ending.reason]
        now = utcnow()
        if status.ended:
            self._recorder.close()
        lines: list[EventRecord] = [events.execution_status(status, now)]
        if status.ended:
            lines.append(events.done(status, ending.output, ending.error, now))
        wakes = self._wakes if ending.reason is Reason.WAIT else None
        self._writer.post(events=lines, transition=Transition(status, ending.output, ending.error, wakes))
        await self._writer.flush()
        return Outcome.PARKED if ending.reason is Reason.PARK else Outcome(status.value)
