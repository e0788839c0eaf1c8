"""Runs a graph as dataflow: a step starts as soon as its own inputs are resolved, and waits for nothing else.

Nobody polls: the task in which a step ended resolves the edges that leave it and starts what has become due.
The first step that fails for good ends the run (its siblings are stopped by the runner): what they would still
find out or spend could not change how the execution ends.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterable
from typing import Any

from services.orchestration.engine.attempts import AttemptsExhausted, StepRun
from services.orchestration.engine.ending import Ending, EndSignal, Reason
from services.orchestration.engine.failures import error_object, of_execution, unexpected
from services.orchestration.engine.journal import ExecutionContext, StepJournal
from services.orchestration.engine.plan import Plan, PlannedEdge, PlannedNode
from services.orchestration.engine.ports import CallRecord, ExecutionState, StepFailed, StepRecord, StepStatus
from services.orchestration.engine.recorder import StepRecorder
from services.orchestration.engine.resolution import Resolution
from services.orchestration.engine.snapshot import Snapshot
from services.orchestration.engine.steps.base import CallingStep, PureStep
from shared.kit.json import Json, JsonObject
from shared.workflow.expressions import SKIPPED, ExpressionError, Meter

# How long pure steps may keep the event loop from others.
TIME_SLICE = 0.01


class _StepError(Exception):
    """A node failed where it stands: a pure step, an edge, or the rendering of a step's texts."""

    def __init__(self, node: PlannedNode, error: JsonObject) -> None:
        super().__init__(error["message"])
        self.node = node
        self.error = error


class GraphRun:
    def __init__(
        self,
        plan: Plan,
        state: ExecutionState,
        context: ExecutionContext,
        recorder: StepRecorder,
        snapshot: Snapshot,
        signal: EndSignal,
    ) -> None:
        self._plan = plan
        self._context = context
        self._recorder = recorder
        self._snapshot = snapshot
        self._signal = signal
        self._resolution = Resolution(plan)
        self._recorded = {record.node: record for record in state.steps}
        self._calls = _by_step(state.calls)
        self._outputs: dict[str, JsonObject] = {}
        self._scope: JsonObject = {
            "inputs": state.inputs,
            "nodes": self._outputs,
            "execution": {"id": str(state.id), "created_at": state.created_at.isoformat()},
        }
        self._loop = asyncio.get_running_loop()
        # Calling steps, and advances that gave way to others: while there are any, more will come.
        self._active = 0
        self.tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await self._guarded(self._advance([(node, True) for node in self._plan.roots]))

    # --- resolving ----------------------------------------------------------------------------------------

    async def _advance(self, due: Iterable[tuple[PlannedNode, bool]]) -> None:
        """Runs or skips what is due, and what becomes due by that."""
        queue = deque(due)
        self._active += 1
        slice_ends = self._loop.time() + TIME_SLICE
        while queue and self._signal.ending is None:
            node, runs = queue.popleft()
            queue.extend(self._visit(node) if runs else self._skip(node))
            if self._loop.time() > slice_ends:
                await asyncio.sleep(0)
                slice_ends = self._loop.time() + TIME_SLICE
        self._active -= 1
        if self._signal.ending is not None:
            return
        if self._resolution.unresolved == 0:
            self._signal.end(self._ended())
        elif self._active == 0:
            self._fail(error_object("graph_invalid", "nodes of this graph wait for one another: it has a circle"))

    def _visit(self, node: PlannedNode) -> list[tuple[PlannedNode, bool]]:
        record = self._recorded.pop(node.id, None)
        if record is not None and record.status is StepStatus.SUCCEEDED:
            return self._resolve(node, record.output)
        if isinstance(node.step, PureStep):
            return self._evaluate(node, node.step)
        self._launch(node, node.step, record)
        return []

    def _skip(self, node: PlannedNode) -> list[tuple[PlannedNode, bool]]:
        if self._recorded.pop(node.id, None) is None:
            self._recorder.skip(node.id, node.type)
        self._outputs[node.id] = SKIPPED
        return self._resolution.resolve(node, ())

    def _evaluate(self, node: PlannedNode, step: PureStep) -> list[tuple[PlannedNode, bool]]:
        try:
            output = step.evaluate(self._scope)
        except StepFailed as failure:
            error = error_object(failure.code, failure.message, node.id, details=failure.details)
            self._fail_at_start(node, None, error)
            raise _StepError(node, error) from failure
        self._recorder.run_at_once(node.id, node.type, node.name, output)
        return self._resolve(node, output)

    def _resolve(self, node: PlannedNode, output: Json) -> list[tuple[PlannedNode, bool]]:
        self._outputs[node.id] = {"output": output}
        taken = [edge for edge in node.edges if self._is_taken(node, edge, output)]
        return self._resolution.resolve(node, taken)

    def _is_taken(self, node: PlannedNode, edge: PlannedEdge, output: Any) -> bool:
        if edge.port is not None and edge.port != output["case"]:
            return False
        try:
            return edge.when is None or edge.when.holds(self._scope)
        except ExpressionError as broken:
            error = error_object("expression_failed", f"{edge.label}: {broken.message}", node.id)
            raise _StepError(node, error) from broken

    # --- calling steps ------------------------------------------------------------------------------------

    def _launch(self, node: PlannedNode, step: CallingStep, record: StepRecord | None) -> None:
        try:
            told = step.render(self._scope)
        except StepFailed as failure:
            error = error_object(failure.code, failure.message, node.id, details=failure.details)
            self._fail_at_start(node, record, error)
            raise _StepError(node, error) from failure
        if record is None:
            record = self._recorder.start(node.id, node.type, node.name, told)
        else:
            self._recorder.resume(record, node.name)
        journal = StepJournal(self._context, self._calls.pop(record.id, ()))
        run = StepRun(node, step, told, journal, self._recorder, self._snapshot)
        task = self._loop.create_task(self._guarded(self._run(run, record)))
        self._active += 1
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _fail_at_start(self, node: PlannedNode, record: StepRecord | None, error: JsonObject) -> None:
        if record is None:
            record = self._recorder.start(node.id, node.type, node.name, None)
        self._recorder.fail_at_the_end(record, error)

    async def _run(self, run: StepRun, record: StepRecord) -> None:
        try:
            record, output = await run.to_the_end(record)
        except asyncio.CancelledError as error:
            if self._signal.ending is None:  # a library cancelled the task that it was called in
                self._fail(unexpected(error, run.node.id).error)
            raise
        except AttemptsExhausted as failed:
            if self._signal.ending is None:
                self._recorder.fail_at_the_end(failed.record, failed.error)
                raise _StepError(run.node, failed.error) from failed
            return
        if self._signal.ending is None:
            self._active -= 1
            self._recorder.succeed(record, output)
            await self._advance(self._resolve(run.node, output))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """Whatever goes wrong in there ends the run: nothing may leave it waiting for ever."""
        try:
            await work
        except _StepError as failed:
            self._fail(of_execution(failed.error, failed.node.name))
        except Exception as error:  # noqa: BLE001  # a fault of the engine
            self._fail(unexpected(error, "engine").error)

    # --- the end ------------------------------------------------------------------------------------------

    def _fail(self, error: JsonObject) -> None:
        self._signal.end(Ending(Reason.FAILED, error=error))

    def _ended(self) -> Ending:
        if not self._plan.outputs:
            return Ending(Reason.DONE, output=self._gathered_outputs())
        meter = Meter()
        output: JsonObject = {}
        for name, expression in self._plan.outputs:
            try:
                output[name] = expression.evaluate(self._scope, meter)
            except ExpressionError as broken:
                return Ending(
                    Reason.FAILED, error=error_object("expression_failed", f"outputs.{name}: {broken.message}")
                )
        return Ending(Reason.DONE, output=output)

    def _gathered_outputs(self) -> JsonObject:
        """Without declared outputs: what the output nodes gathered, or else what the last nodes gave, by id."""
        ran = [node for node in self._plan.nodes if self._outputs[node.id] is not SKIPPED]
        gathered: JsonObject = {}
        for node in ran:
            if node.type == "output":
                gathered.update(self._outputs[node.id]["output"])
        if any(node.type == "output" for node in self._plan.nodes):
            return gathered
        return {node.id: self._outputs[node.id]["output"] for node in ran if not node.edges}


def _by_step(calls: Iterable[CallRecord]) -> dict[Any, list[CallRecord]]:
    grouped: dict[Any, list[CallRecord]] = {}
    for call in calls:
        grouped.setdefault(call.step_id, []).append(call)
    return grouped
