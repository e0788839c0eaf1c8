"""Nodes that run other graphs, or wait for a time."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.workflow.configs.base import About, ItemName, NodeConfig
from shared.workflow.graph import Body
from shared.workflow.states import WaitKind
from shared.workflow.texts import BodyMark, Cel, InnerCel, TemplateText, WorkflowId

MAX_PARALLEL = 100
MAX_ITERATIONS = 1000
LONGEST_MS = 366 * 24 * 3600 * 1000

BodyGraph = Annotated[Body, BodyMark()]


class BodyConfig(NodeConfig):
    """What is told a node with a graph of its own, which is gone through once for each iteration.

    The body sees all that the node sees, its own nodes, and `iteration.index`, counted from 0.
    """

    body: BodyGraph


class MapConfig(BodyConfig):
    """Runs the body for each element of a list, which it knows as `item`.

    Output: `{"items", "failed"}`: what the body gave for each element, in their order, null where it failed, and a list
    of `{"index", "error"}`. With `on_error: fail` there are none: the first failure is the node's. `max_failures` is
    how many may fail before the node does; null is any number.
    """

    about = About("Map", effect=None)

    items: Cel
    parallelism: int = Field(default=10, ge=1, le=MAX_PARALLEL)
    on_error: Literal["fail", "continue"] = "fail"
    max_failures: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.max_failures is not None and self.on_error == "fail":
            raise ValueError("max_failures is for on_error: continue")
        return self


class LoopConfig(BodyConfig):
    """Runs the body again and again, until a condition holds that may read the body's nodes. The body knows what it
    gave the last time as `iteration.previous`.

    Output: `{"output", "iterations", "met"}`, the output being that of the last iteration.
    """

    about = About("Loop", effect=None)

    until: InnerCel
    max_iterations: int = Field(default=10, ge=1, le=MAX_ITERATIONS)
    on_limit: Literal["succeed", "fail"] = "succeed"


class DelayConfig(NodeConfig):
    """Waits, which costs no worker. Output: `{"waited_until"}`.

    Exactly one is given: `for_ms`; `for`, an expression that gives seconds; `until`, a date and time by RFC 3339.
    """

    about = About("Delay", asks=(WaitKind.TIMER,))

    for_ms: int | None = Field(default=None, ge=0, le=LONGEST_MS)
    for_seconds: Cel | None = Field(default=None, alias="for")
    until: TemplateText | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(each is not None for each in (self.for_ms, self.for_seconds, self.until)) != 1:
            raise ValueError("give one of for_ms, for and until")
        return self


class SubWorkflowConfig(NodeConfig):
    """Runs a workflow of the tenant's and waits for it; the output is its output. Without a `version` it is the newest
    one when the execution is submitted."""

    about = About("Sub-workflow", effect=None, asks=(WaitKind.CHILD,))

    workflow_id: WorkflowId
    version: int | None = Field(default=None, ge=1)
    inputs: dict[ItemName, Cel] = Field(default={}, max_length=100)
