"""crewAI's two delegation tools, made asynchronous: the coworker does the work on the same event loop.

What the coworker asks of models and tools is journaled under the scope of the call that delegated to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from crewai import Task
from crewai.agents.agent_builder.base_agent import BaseAgent
from crewai.utilities.i18n import I18N_DEFAULT
from crewai.utilities.string_utils import sanitize_tool_name
from pydantic import PrivateAttr

from services.orchestration.engine.ports import Effect, ToolSpec
from services.orchestration.runtimes.crewai.tools import AgentTool
from shared.kit.json import JsonObject


@dataclass(frozen=True, slots=True)
class _Purpose:
    """`work` is the argument that says what to do; `text` names crewAI's description of the tool."""

    name: str
    text: str
    work: str
    work_description: str
    context_description: str
    coworker_description: str


_PURPOSES: Final = (
    _Purpose(
        name="Delegate work to coworker",
        text="delegate_work",
        work="task",
        work_description="The task to delegate",
        context_description="The context for the task",
        coworker_description="The role/name of the coworker to delegate to",
    ),
    _Purpose(
        name="Ask question to coworker",
        text="ask_question",
        work="question",
        work_description="The question to ask",
        context_description="The context for the question",
        coworker_description="The role/name of the coworker to ask",
    ),
)


class DelegationTool(AgentTool):
    _purpose: _Purpose = PrivateAttr()
    _coworkers: Sequence[BaseAgent] = PrivateAttr()
    _spec: ToolSpec = PrivateAttr()

    @classmethod
    def to(cls, coworkers: Sequence[BaseAgent], purpose: _Purpose) -> "DelegationTool":
        roles = [coworker.role for coworker in coworkers]
        description = str(I18N_DEFAULT.tools(purpose.text)).format(coworkers=", ".join(roles))
        tool = cls(name=purpose.name, description=description)
        tool._purpose, tool._coworkers = purpose, coworkers
        tool._spec = ToolSpec(
            name=sanitize_tool_name(purpose.name),
            description=description,
            parameters=_parameters(purpose, roles),
            # Lets delegations of one turn run side by side: what a coworker does to the world is declared by
            # the tools that it does it with.
            effect=Effect.READ,
        )
        return tool

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    async def answer(self, arguments: JsonObject) -> str:
        """The coworker's answer. What is wrong with the arguments is told to the model, as crewAI does."""
        given = {name: arguments.get(name) for name in (self._purpose.work, "context", "coworker")}
        missing = [name for name, value in given.items() if not isinstance(value, str)]
        if missing:
            return f"Error: these arguments are needed as text: {', '.join(missing)}"
        coworker = self._find(str(given["coworker"]))
        if coworker is None:
            roles = "\n".join(f"- {_loosely(each.role)}" for each in self._coworkers)
            return I18N_DEFAULT.errors("agent_tool_unexisting_coworker").format(coworkers=roles)
        task = Task(
            description=str(given[self._purpose.work]),
            expected_output=I18N_DEFAULT.slice("manager_request"),
            agent=coworker,
        )
        return await coworker.aexecute_task(task, str(given["context"]))

    def _find(self, name: str) -> BaseAgent | None:
        """Small models write a role with other spaces, quotes or capitals, or several roles in brackets."""
        if name.startswith("[") and name.endswith("]"):
            name = name[1:-1].split(",")[0]
        wanted = _loosely(name)
        return next((each for each in self._coworkers if _loosely(each.role) == wanted), None)


def delegation_tools(coworkers: Sequence[BaseAgent]) -> list[DelegationTool]:
    return [DelegationTool.to(coworkers, purpose) for purpose in _PURPOSES]


def _loosely(role: str) -> str:
    return " ".join(role.replace('"', "").split()).casefold()


def _parameters(purpose: _Purpose, roles: list[str]) -> JsonObject:
    return {
        "type": "object",
        "properties": {
            purpose.work: {"type": "string", "description": purpose.work_description},
            "context": {"type": "string", "description": purpose.context_description},
            "coworker": {
                "type": "string",
                "description": purpose.coworker_description,
                "enum": list(dict.fromkeys(roles)),
            },
        },
        "required": [purpose.work, "context", "coworker"],
        "additionalProperties": False,
    }
