"""Runs a graph as dataflow: a step starts as soon as its own inputs are resolved, and waits for nothing else.

Nobody polls: when a step has ended, the edges that leave it are resolved at once, and what became due by that is
started. The first step that fails for good ends the run (its siblings are stopped by the runner): what they would
still find out or spend could not change how the execution ends. A run in which nothing is under way any more, but
something waits, ends too, until somebody has answered.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar
from uuid import UUID

from services.orchestration.engine.attempts import Ended, Failed, StepRun, Succeeded, Suspended
from services.orchestration.engine.context import ExecutionContext
from services.orchestration.engine.ending import Ending, EndSignal, Reason
from services.orchestration.engine.failures import error_object, of_execution, timed_out, unexpected
from services.orchestration.engine.flow import Flow, FlowError
from services.orchestration.engine.journal import StepJournal
from services.orchestration.engine.nests import LiveStep, Nest
from services.orchestration.engine.plan import Plan, PlannedNode
from services.orchestration.engine.ports import (
    CallRecord,
    ExecutionState,
    StepFailed,
    StepRecord,
    StepStatus,
    WaitRecord,
    WaitStatus,
)
from services.orchestration.engine.recorder import StepRecorder
from services.orchestration.engine.resolution import Due
from services.orchestration.engine.steps.base import BodyStep, CallingStep, PureStep
from shared.kit.clock import utcnow
from shared.kit.json import Json, JsonObject

_ENDED = (StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.CANCELLED)

# How long resolving may keep the event loop from others.
TIME_SLICE = 0.01
# Steps of one execution, those of all iterations together: loops in maps in loops must come to an end some day.
MAX_STEPS = 100_000

OfStep = TypeVar("OfStep", CallRecord, WaitRecord)


class GraphRun:
    def __init__(
        self,
        plan: Plan,
        state: ExecutionState,
        context: ExecutionContext,
        recorder: StepRecorder,
        signal: EndSignal,
    ) -> None:
        self._context = context
        self._recorder = recorder
        self._signal = signal
        self._recorded = {(record.node, record.path): record for record in state.steps}
        self._calls = _by_step(state.calls)
        self._waits = _by_step(state.waits)
        execution: JsonObject = {"id": str(state.id), "created_at": state.created_at.isoformat()}
        self._top = Flow(plan, {"inputs": state.inputs, "nodes": {}, "execution": execution})
        self._loop = asyncio.get_running_loop()
        self._due: deque[tuple[Flow, PlannedNode, bool]] = deque()
        self._draining = False
        self._visited = 0
        self._live: dict[UUID, LiveStep] = {}
        # How many of them have a task: while there are any, more will come.
        self._active = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping: set[asyncio.Task[None]] = set()
        self._timed: set[Nest] = set()

    def start(self) -> None:
        self._do(lambda: self._enter(self._top))

    def woken(self, waits: Sequence[WaitRecord]) -> None:
        self._do(lambda: self._learn(waits))

    def stop(self) -> set[asyncio.Task[None]]:
        for task in self._tasks - self._stopping:
            self._stopping.add(task)
            task.cancel()
        for nest in self._timed:
            nest.close()
        self._timed.clear()
        return set(self._tasks)

    # --- resolving ----------------------------------------------------------------------------------------

    def _do(self, act: Callable[[], None]) -> None:
        """Does it, and all that becomes due by it. Whatever goes wrong ends the run: nothing may leave it hanging."""
        if self._signal.ending is not None:
            return
        try:
            act()
            if not self._draining:
                self._drain()
        except Exception as error:  # noqa: BLE001  # a fault of the engine
            self._end_failed(unexpected(error, "engine").error)

    def _drain(self) -> None:
        self._draining = True
        slice_ends = self._loop.time() + TIME_SLICE
        while self._due and self._signal.ending is None:
            flow, node, runs = self._due.popleft()
            if not flow.over:
                self._visit(flow, node, runs)
            if self._loop.time() > slice_ends and self._due:
                self._loop.call_soon(self._do, self._drain)
                return
        self._draining = False
        if self._active == 0 and self._signal.ending is None:
            self._idle()

    def _idle(self) -> None:
        """Nothing is under way, so nothing more will come."""
        if self._live:
            self._signal.end(Ending(Reason.WAIT))
        else:
            self._end_failed(error_object("graph_invalid", "nodes of this graph wait for one another: it has a circle"))

    def _enter(self, flow: Flow) -> None:
        self._now_due(flow, flow.roots())

    def _now_due(self, flow: Flow, due: Iterable[Due]) -> None:
        self._due.extend([(flow, node, runs) for node, runs in due])

    def _visit(self, flow: Flow, node: PlannedNode, runs: bool) -> None:
        self._visited += 1
        if self._visited > MAX_STEPS:
            message = f"the execution has more than {MAX_STEPS:,} steps: give its maps and loops less to do"
            self._end_failed(error_object("too_many_steps", message, node.id))
            return
        record = self._recorded.pop((node.id, flow.path), None) if self._recorded else None
        step = node.step
        if not runs:
            self._skip(flow, node, record)
        elif record is not None and record.status in _ENDED:
            self._replay(flow, node, record)
        elif isinstance(step, PureStep):
            self._evaluate(flow, node, step)
        elif isinstance(step, CallingStep):
            self._launch(flow, node, step, record)
        elif isinstance(step, BodyStep):
            self._begin(flow, node, step, record)

    def _replay(self, flow: Flow, node: PlannedNode, record: StepRecord) -> None:
        if record.status is StepStatus.SUCCEEDED:
            self._resolve(flow, node, record.output)
        elif record.status is StepStatus.FAILED:
            self._fail(flow, node, None, record.error or {})
        # One that was cancelled stands beside another that failed, and that one will say so.

    def _skip(self, flow: Flow, node: PlannedNode, record: StepRecord | None) -> None:
        if record is None:
            self._recorder.skip(node.id, node.type, flow.path)
        self._now_due(flow, flow.skip(node))
        if flow.resolved:
            self._flow_ended(flow)

    def _evaluate(self, flow: Flow, node: PlannedNode, step: PureStep) -> None:
        try:
            output = step.evaluate(flow.scope)
        except StepFailed as failure:
            self._fail_at_start(flow, node, None, failure)
            return
        self._recorder.run_at_once(node.id, node.type, node.name, output, flow.path)
        self._resolve(flow, node, output)

    def _resolve(self, flow: Flow, node: PlannedNode, output: Json) -> None:
        try:
            self._now_due(flow, flow.resolve(node, output))
        except FlowError as failed:
            self._fail(flow, node, None, failed.error)
            return
        if flow.resolved:
            self._flow_ended(flow)

    # --- calling steps ------------------------------------------------------------------------------------

    def _launch(self, flow: Flow, node: PlannedNode, step: CallingStep, record: StepRecord | None) -> None:
        try:
            told = step.render(flow.scope)
        except StepFailed as failure:
            self._fail_at_start(flow, node, record, failure)
            return
        if record is None:
            record = self._recorder.start(node.id, node.type, node.name, told, flow.path)
        elif record.status is not StepStatus.WAITING:
            if self._context.forked and record.input != told:
                record = self._recorder.retell(record, told)
            self._recorder.resume(record, node.name)
        calls, waits = self._calls.pop(record.id, ()), self._waits.pop(record.id, ())
        journal = StepJournal(self._context, self._recorder, node.name, calls, waits)
        live = LiveStep(flow, node, record, StepRun(node, step, told, journal, self._recorder))
        self._live[record.id] = flow.live[node.index] = live
        if record.status is not StepStatus.WAITING or not journal.all_open:
            self._spawn(live)

    def _spawn(self, live: LiveStep) -> None:
        task = self._loop.create_task(self._run(live))
        live.task = task
        self._active += 1
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, live: LiveStep) -> None:
        try:
            ended = await live.run.to_the_end(live.record)
        except asyncio.CancelledError as error:
            if not live.stopped and self._signal.ending is None:  # a library cancelled the task that it was called in
                ended = Failed(self._recorder.running[live.record.id], unexpected(error, live.node.id).error)
                self._do(lambda: self._step_ended(live, ended))
            raise
        except Exception as error:  # noqa: BLE001  # a fault of the engine
            self._end_failed(unexpected(error, live.node.id).error)
            return
        if not live.stopped:
            self._do(lambda: self._step_ended(live, ended))

    def _step_ended(self, live: LiveStep, ended: Ended) -> None:
        self._active -= 1
        live.task = None
        if isinstance(ended, Suspended):
            live.record = ended.record
            return
        del self._live[live.record.id]
        del live.flow.live[live.node.index]
        if isinstance(ended, Succeeded):
            self._recorder.succeed(live.record, ended.output)
            self._resolve(live.flow, live.node, ended.output)
        else:
            self._fail(live.flow, live.node, ended.record, ended.error)

    def _learn(self, waits: Sequence[WaitRecord]) -> None:
        for wait in waits:
            if wait.status is WaitStatus.OPEN:
                continue
            self._recorder.settled(wait)
            live = self._live.get(wait.step_id)
            if live is None:
                if wait.step_id in self._waits:
                    others = [each for each in self._waits[wait.step_id] if each.id != wait.id]
                    self._waits[wait.step_id] = [*others, wait]
            elif live.run.journal.learn(wait) and live.task is None:
                self._spawn(live)

    # --- nodes with bodies --------------------------------------------------------------------------------

    def _begin(self, flow: Flow, node: PlannedNode, step: BodyStep, record: StepRecord | None) -> None:
        try:
            iterations, told = step.begin(flow.scope)
        except StepFailed as failure:
            self._fail_at_start(flow, node, record, failure)
            return
        if record is None:
            record = self._recorder.start(node.id, node.type, node.name, told, flow.path)
        nest = Nest(flow, node, record, iterations)
        flow.live[node.index] = nest
        if node.timeout is not None:
            self._bound(nest, node.timeout)
        self._go_on(nest)

    def _bound(self, nest: Nest, timeout: float) -> None:
        """The time runs from its first start, whoever has held the execution since."""
        spent = (utcnow() - nest.record.started_at).total_seconds() if nest.record.started_at else 0.0
        nest.timer = self._loop.call_later(max(0.0, timeout - spent), self._do, lambda: self._out_of_time(nest))
        self._timed.add(nest)

    def _out_of_time(self, nest: Nest) -> None:
        self._fail_nest(nest, timed_out(nest.node.timeout or 0.0, nest.node.id).error)

    def _go_on(self, nest: Nest) -> None:
        """Begins the iterations that are due; if there will be none, the node has ended."""
        while (iteration := nest.iterations.due()) is not None:
            self._enter(nest.enter(iteration))
        if nest.iterations.done:
            self._leave(nest)
            output = nest.iterations.output()
            self._recorder.succeed(nest.record, output)
            self._resolve(nest.flow, nest.node, output)

    def _leave(self, nest: Nest) -> None:
        nest.close()
        self._timed.discard(nest)
        nest.flow.live.pop(nest.node.index, None)

    def _iteration_ended(self, nest: Nest, flow: Flow, output: Json) -> None:
        del nest.bodies[flow.index]
        try:
            nest.iterations.ended(flow.index, output, flow.scope)
        except StepFailed as failure:
            error = error_object(failure.code, failure.message, nest.node.id, details=failure.details)
            self._fail_nest(nest, error)
        else:
            self._go_on(nest)

    def _fail_nest(self, nest: Nest, error: JsonObject) -> None:
        """It fails by itself; what is under way inside is stopped."""
        self._leave(nest)
        for flow in nest.bodies.values():
            self._stop_flow(flow)
        self._fail(nest.flow, nest.node, nest.record, error)

    def _stop_flow(self, flow: Flow) -> None:
        """Nothing of it counts any more. Its steps are on record as cancelled, those that failed already aside."""
        flow.over = True
        for live in flow.live.values():
            if isinstance(live, Nest):
                live.close()
                self._timed.discard(live)
                for body in live.bodies.values():
                    self._stop_flow(body)
            else:
                self._stop_step(live)
            if live.record.id in self._recorder.running:
                self._recorder.cancel(live.record)
        flow.live.clear()

    def _stop_step(self, live: LiveStep) -> None:
        live.stopped = True
        del self._live[live.record.id]
        if live.task is not None:
            self._active -= 1
            self._stopping.add(live.task)
            live.task.cancel()

    # --- the end ------------------------------------------------------------------------------------------

    def _flow_ended(self, flow: Flow) -> None:
        flow.over = True
        nest = flow.nest
        try:
            output = flow.output()
        except FlowError as failed:
            if nest is None:
                self._end_failed(failed.error)
            else:
                self._fail(flow, nest.node, None, {**failed.error, "node": nest.node.id})
            return
        if nest is None:
            self._signal.end(Ending(Reason.DONE, output=output))
        else:
            self._iteration_ended(nest, flow, output)

    def _fail_at_start(self, flow: Flow, node: PlannedNode, record: StepRecord | None, failure: StepFailed) -> None:
        if record is None:
            record = self._recorder.start(node.id, node.type, node.name, None, flow.path)
        error = error_object(failure.code, failure.message, node.id, details=failure.details)
        self._fail(flow, node, record, error)

    def _fail(self, flow: Flow, node: PlannedNode, record: StepRecord | None, error: JsonObject) -> None:
        """The node failed for good, and with it all that it is part of, up to a map that goes on without it or to the
        execution. Without a record it has ended before: what failed is an edge, or what its body gives."""
        failed = [] if record is None else [(record, error)]
        error = of_execution(error, node.name)
        while flow.nest is not None:
            nest = flow.nest
            own = nest.iterations.failed(flow.index, error)
            if own is None:
                self._fail_body(nest, flow, failed)
                return
            failed.append((nest.record, own))
            error = of_execution(own, nest.node.name)
            flow = nest.flow
        self._recorder.fail_at_the_end(failed)
        self._end_failed(error)

    def _fail_body(self, nest: Nest, flow: Flow, failed: Sequence[tuple[StepRecord, JsonObject]]) -> None:
        """One iteration of a map that goes on: all of it is on record at once, so that a replay finds the same."""
        for record, error in failed:
            self._recorder.fail(record, error)
        self._stop_flow(flow)
        del nest.bodies[flow.index]
        self._go_on(nest)

    def _end_failed(self, error: JsonObject) -> None:
        self._signal.end(Ending(Reason.FAILED, error=error))


def _by_step(records: Iterable[OfStep]) -> dict[UUID, list[OfStep]]:
    grouped: dict[UUID, list[OfStep]] = {}
    for record in records:
        grouped.setdefault(record.step_id, []).append(record)
    return grouped
