"""What an agent is told, in crewAI's own words.

The texts come from crewAI's table at run time, so they stay what its users know. They are filled in here, in one
pass: crewAI replaces placeholder after placeholder, so that a backstory with `{input}` in it would change the task.
"""

import json
import re
from collections.abc import Sequence

from crewai.utilities.i18n import I18N_DEFAULT

from services.orchestration.engine.ports import AgentPlan, ChatMessage, ToolSpec
from shared.kit.json import JsonObject

_PLACEHOLDER = re.compile(r"\{(role|goal|backstory|tools|tool_names|input)\}")
TEXT_TOOLS_STOP = I18N_DEFAULT.slice("observation")


def opening(agent: AgentPlan, tools: Sequence[ToolSpec], task: str, *, text_tools: bool) -> list[ChatMessage]:
    """The system message, and the task as the user's first.

    An agent's own `system_prompt` takes the place of crewAI's; it may name `{role}`, `{goal}` and `{backstory}`.
    """
    values = {"role": agent.role, "goal": agent.goal, "backstory": agent.backstory, "input": task}
    system = agent.system_prompt or I18N_DEFAULT.slice("role_playing")
    if text_tools:
        system += I18N_DEFAULT.slice("tools")
        values |= {"tools": _describe(tools), "tool_names": names_of(tools)}
    user = I18N_DEFAULT.slice("task" if text_tools else "native_task" if tools else "task_no_tools")
    return [ChatMessage("system", _fill(system, values)), ChatMessage("user", _fill(user, values))]


def with_schema(task: str, schema: JsonObject) -> str:
    return f"{task}\n{_schema_instructions(schema)}"


def answer_in_schema(schema: JsonObject) -> ChatMessage:
    return ChatMessage("user", _schema_instructions(schema))


def with_context(task: str, context: str | None) -> str:
    if not context:
        return task
    return I18N_DEFAULT.slice("task_with_context").format(task=task, context=context)


def final_answer_now() -> ChatMessage:
    return ChatMessage("user", I18N_DEFAULT.errors("force_final_answer"))


def go_on_after_tool() -> ChatMessage:
    return ChatMessage("user", I18N_DEFAULT.slice("post_tool_reasoning"))


def wrong_tool(name: str, tools: Sequence[ToolSpec]) -> str:
    return I18N_DEFAULT.errors("wrong_tool_name").format(tool=name, tools=names_of(tools))


def _schema_instructions(schema: JsonObject) -> str:
    return I18N_DEFAULT.slice("formatted_task_instructions").format(output_format=_pretty(schema))


def names_of(tools: Sequence[ToolSpec]) -> str:
    return ", ".join(tool.name for tool in tools)


def _describe(tools: Sequence[ToolSpec]) -> str:
    return "\n".join(
        f"Tool Name: {tool.name}\nTool Arguments: {_pretty(tool.parameters)}\nTool Description: {tool.description}"
        for tool in tools
    )


def _fill(template: str, values: dict[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template).rstrip()


def _pretty(value: JsonObject) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
