"""Tools that are called only when a person agrees: what is asked, and what comes of the answer."""

from dataclasses import dataclass
from typing import Final

from services.orchestration.engine.ports import Action, Answer, ToolSpec, WaitKind, WaitRecord, WaitRequest
from shared.kit.json import JsonObject, dumps

DECLINED: Final = "A person declined this call."
NOT_ANSWERED: Final = "Nobody approved this call in time."


@dataclass(frozen=True, slots=True)
class Decision:
    """Either the call is made with these arguments, or `result` stands for what it would have given."""

    arguments: JsonObject
    result: str | None = None


def approval(spec: ToolSpec, arguments: JsonObject, agent: str | None) -> WaitRequest:
    return WaitRequest(
        WaitKind.TOOL_APPROVAL,
        title=f"Use of {spec.name}" if agent is None else f"{agent} wants to use {spec.name}",
        request={"tool": spec.name, "arguments": arguments, "agent": agent, "parameters": spec.parameters},
    )


def decide(wait: WaitRecord, asked: JsonObject) -> Decision:
    answer = wait.answer or Answer()
    match answer.action:
        case Action.ACCEPT:
            return Decision(asked)
        case Action.EDIT if isinstance(answer.value, dict):
            return Decision(answer.value)
        case Action.RESPOND:
            return Decision(asked, answer.value if isinstance(answer.value, str) else dumps(answer.value))
        case None:
            return Decision(asked, NOT_ANSWERED)
        case _:
            return Decision(asked, DECLINED)
