"""One passage through a graph: the execution's own, or that of one iteration of a map or a loop.

A flow knows what its nodes gave and which are due. What runs, and when, is the scheduler's business.
"""

from typing import TYPE_CHECKING, Any

from services.orchestration.engine.failures import error_object
from services.orchestration.engine.plan import Plan, PlannedEdge, PlannedNode
from services.orchestration.engine.resolution import Due, Resolution
from shared.kit.json import Json, JsonObject
from shared.workflow.expressions import SKIPPED, ExpressionError, Meter

if TYPE_CHECKING:
    from services.orchestration.engine.nests import LiveStep, Nest


class FlowError(Exception):
    """An expression that belongs to no step, of an edge or of the output, cannot be evaluated."""

    def __init__(self, error: JsonObject) -> None:
        super().__init__(error["message"])
        self.error = error


class Flow:
    """`scope` has all that its expressions may see; its `nodes` grows as nodes end. `live` has, by node, what of it is
    under way or waits. `over`: it has ended, well or not, and nothing of it is looked at any more."""

    __slots__ = ("_outputs", "_plan", "_resolution", "index", "live", "nest", "over", "path", "scope")

    def __init__(
        self, plan: Plan, scope: JsonObject, path: str = "", nest: "Nest | None" = None, index: int = 0
    ) -> None:
        self.nest = nest
        self.index = index
        self.live: dict[int, LiveStep | Nest] = {}
        self._plan = plan
        self._resolution = Resolution(plan)
        self._outputs: dict[str, JsonObject] = scope["nodes"]
        self.scope = scope
        self.path = path
        self.over = False

    @property
    def resolved(self) -> bool:
        """Whether every node has ended or was skipped."""
        return self._resolution.unresolved == 0

    def roots(self) -> list[Due]:
        return [(node, True) for node in self._plan.roots]

    def resolve(self, node: PlannedNode, output: Json) -> list[Due]:
        self._outputs[node.id] = {"output": output}
        return self._resolution.resolve(node, [edge for edge in node.edges if self._is_taken(node, edge, output)])

    def skip(self, node: PlannedNode) -> list[Due]:
        self._outputs[node.id] = SKIPPED
        return self._resolution.resolve(node, ())

    def _is_taken(self, node: PlannedNode, edge: PlannedEdge, output: Any) -> bool:
        if edge.port is not None and edge.port != node.step.port_of(output):
            return False
        try:
            return edge.when is None or edge.when.holds(self.scope)
        except ExpressionError as broken:
            error = error_object("expression_failed", f"{edge.label}: {broken.message}", node.id)
            raise FlowError(error) from broken

    # --- what comes of it ---------------------------------------------------------------------------------

    def output(self) -> Json:
        if self._plan.output is not None:
            return self._declared("output", self._plan.output, Meter())
        if self._plan.outputs:
            meter = Meter()
            return {name: self._declared(f"outputs.{name}", each, meter) for name, each in self._plan.outputs}
        return self._gathered()

    def _declared(self, field: str, expression: Any, meter: Meter) -> Json:
        try:
            return expression.evaluate(self.scope, meter)
        except ExpressionError as broken:
            raise FlowError(error_object("expression_failed", f"{field}: {broken.message}")) from broken

    def _gathered(self) -> JsonObject:
        """Without declared outputs: what the output nodes gathered, or else what the last nodes gave, by id."""
        ran = [node for node in self._plan.nodes if self._outputs[node.id] is not SKIPPED]
        gathered: JsonObject = {}
        for node in ran:
            if node.type == "output":
                gathered.update(self._outputs[node.id]["output"])
        if any(node.type == "output" for node in self._plan.nodes):
            return gathered
        return {node.id: self._outputs[node.id]["output"] for node in ran if not node.edges}
