"""What a node type gives the engine: its node, compiled once and run in every execution of the graph."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from services.orchestration.engine.ports import AgentRuntime, StepCalls, StepFailed
from services.orchestration.engine.snapshot import Snapshot
from shared.kit.json import Json, JsonObject
from shared.workflow.expressions import ExpressionError, Meter, Scope, compile_expression, compile_template


@dataclass(frozen=True, slots=True)
class StepContext:
    """`name` is the node's name, or its id."""

    name: str
    calls: StepCalls
    agents: AgentRuntime
    snapshot: Snapshot


class Step:
    def port_of(self, output: Any) -> str | None:
        """The port by which its edges leave after this output; only types whose config has ports have any."""
        return None


class PureStep(Step, ABC):
    """A value made of other values: no calls, no waiting, the same result whenever it is made.

    Pure steps run where they stand and cost no ledger write of their own.
    """

    @abstractmethod
    def evaluate(self, scope: Scope) -> Json: ...


class CallingStep(Step, ABC):
    """A step that turns to the world, through its context's calls alone."""

    @abstractmethod
    def render(self, scope: Scope) -> JsonObject:
        """What the step is told, its templates filled in; recorded as the step's input."""

    @abstractmethod
    async def run(self, told: JsonObject, context: StepContext) -> Json: ...


@dataclass(frozen=True, slots=True)
class Iteration:
    """One passage through a body. `variables` are what its expressions see on top of what the node sees."""

    index: int
    variables: JsonObject


class Iterations(ABC):
    """One visit of a node with a body: which iterations there are, and what has come of them."""

    @abstractmethod
    def due(self) -> Iteration | None:
        """The next one to begin, if one is to begin now."""

    @abstractmethod
    def ended(self, index: int, output: Json, scope: Scope) -> None:
        """`scope` is what the body's expressions saw at its end. Raises `StepFailed` if the node fails by that."""

    @abstractmethod
    def failed(self, index: int, error: JsonObject) -> JsonObject | None:
        """None if the node goes on without it; else the node's own error."""

    @property
    @abstractmethod
    def done(self) -> bool:
        """Whether none is under way, and none will be due."""

    @abstractmethod
    def output(self) -> Json:
        """The node's, when it is done."""


class BodyStep(Step, ABC):
    """A step whose work is that of a graph of its own, gone through once for each iteration."""

    @abstractmethod
    def begin(self, scope: Scope) -> tuple[Iterations, Json]:
        """A visit, and what of it is recorded as the step's input."""


class ExpressionField:
    """A CEL field of a config, which names itself when it cannot be evaluated."""

    __slots__ = ("_expression", "_name")

    def __init__(self, name: str, source: str) -> None:
        self._name = name
        self._expression = compile_expression(source)

    def value(self, scope: Scope, meter: Meter) -> Json:
        try:
            return self._expression.evaluate(scope, meter)
        except ExpressionError as broken:
            raise expression_failed(self._name, broken) from None

    def holds(self, scope: Scope, meter: Meter) -> bool:
        try:
            return self._expression.holds(scope, meter)
        except ExpressionError as broken:
            raise expression_failed(self._name, broken) from None


class TemplateField:
    """A text field of a config with `{{ CEL }}` in it, which names itself when it cannot be rendered."""

    __slots__ = ("_name", "_template")

    def __init__(self, name: str, source: str) -> None:
        self._name = name
        self._template = compile_template(source)

    def render(self, scope: Scope, meter: Meter) -> str:
        try:
            return self._template.render(scope, meter)
        except ExpressionError as broken:
            raise expression_failed(self._name, broken) from None


def expression_failed(field: str, broken: ExpressionError) -> StepFailed:
    return StepFailed(
        f"{field}: {broken.message}",
        code="expression_failed",
        retryable=False,
        details={"field": field, "position": broken.position},
    )
