"""What all node configs share."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, StringConstraints

from shared.workflow.states import CallKind, Effect, WaitKind

CaseName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
ItemName = Annotated[str, StringConstraints(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True)
class About:
    """What can be told of a node type without a config.

    `calls` are the kinds of calls its steps make themselves; `effect` is what repeating one does, None where the
    config, a tool or a node within says it; `asks` is what a step waits for because that is what the node is for;
    `ports` are those that every node of the type has, `ports_from` the fields of the config that name more.
    """

    title: str
    calls: tuple[CallKind, ...] = ()
    effect: Effect | None = Effect.READ
    asks: tuple[WaitKind, ...] = ()
    ports: tuple[str, ...] = ()
    ports_from: tuple[str, ...] = ()

    @property
    def waits(self) -> tuple[WaitKind, ...]:
        """All that a step may wait for: every call counts against budgets, and some must not be made unasked."""
        doubt = (WaitKind.CALL_IN_DOUBT,) if self.effect is None and self.calls else ()
        approval = (WaitKind.TOOL_APPROVAL,) if CallKind.TOOL in self.calls else ()
        budget = (WaitKind.BUDGET,) if self.calls else ()
        return (*self.asks, *approval, *doubt, *budget)


class Config(BaseModel):
    """What a node is told, or a part of that."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NodeConfig(Config):
    """What a node of one type is told. The docstring of a type's config is its description in the API."""

    about: ClassVar[About]

    @property
    def ports(self) -> tuple[str, ...]:
        """The ways by which edges may leave the node; most have none, and their edges no port."""
        return self.about.ports
