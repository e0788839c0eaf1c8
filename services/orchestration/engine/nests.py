"""What is under way in a flow: steps that call, and nodes with bodies."""

import asyncio

from services.orchestration.engine.attempts import StepRun
from services.orchestration.engine.flow import Flow
from services.orchestration.engine.plan import PlannedNode
from services.orchestration.engine.ports import StepRecord
from services.orchestration.engine.steps.base import Iteration, Iterations
from shared.workflow.bodies import deeper


class LiveStep:
    """A calling step that was started and has not ended. Without a task it waits."""

    __slots__ = ("flow", "node", "record", "run", "stopped", "task")

    def __init__(self, flow: Flow, node: PlannedNode, record: StepRecord, run: StepRun) -> None:
        self.flow = flow
        self.node = node
        self.record = record
        self.run = run
        self.task: asyncio.Task[None] | None = None
        self.stopped = False


class Nest:
    """A map or a loop under way. `flow` is the one its node stands in, `bodies` are those inside by index."""

    __slots__ = ("bodies", "flow", "iterations", "node", "record", "timer")

    def __init__(self, flow: Flow, node: PlannedNode, record: StepRecord, iterations: Iterations) -> None:
        self.flow = flow
        self.node = node
        self.record = record
        self.iterations = iterations
        self.bodies: dict[int, Flow] = {}
        self.timer: asyncio.TimerHandle | None = None

    def enter(self, iteration: Iteration) -> Flow:
        """The body's flow for one iteration. It sees what the node's own flow has by now, and then only its own."""
        assert self.node.body is not None
        outer = self.flow.scope
        scope = {**outer, **iteration.variables, "nodes": dict(outer["nodes"])}
        path = deeper(self.flow.path, self.node.id, iteration.index)
        flow = self.bodies[iteration.index] = Flow(self.node.body, scope, path, self, iteration.index)
        return flow

    def close(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
