"""An agent's work on one task: ask the model, use the tools it calls for, until it gives its answer.

It takes the place of crewAI's executor, which is a state machine with a thread for every step. The conversation is
the one crewAI would have had (`tests/crewai/test_prompts.py` compares them), and it depends on nothing but what the
journal answers: no clock, no random number and no object's address ever enters a message.
"""

from dataclasses import dataclass, replace
from typing import Final

from crewai.agents.parser import AgentAction
from crewai.utilities.agent_utils import format_answer

from services.orchestration.engine.ports import AgentPlan, ChatMessage, ModelReply, StepCalls, StepFailed, ToolCall
from services.orchestration.runtimes.crewai import compaction, prompts
from services.orchestration.runtimes.crewai.model import StepModel
from services.orchestration.runtimes.crewai.structured import NOT_GIVEN, read_answer
from services.orchestration.runtimes.crewai.toolbox import ToolBox
from shared.kit.json import Json, JsonObject, dumps, loads

_NOT_AN_OBJECT: Final = "Error: the Action Input must be a JSON object."


@dataclass(frozen=True, slots=True)
class Answer:
    """`data` holds the value of `text`, when the task asks for JSON of a schema."""

    text: str
    data: Json = None


class AgentLoop:
    def __init__(
        self,
        agent: AgentPlan,
        model: StepModel,
        toolbox: ToolBox,
        calls: StepCalls,
        schema: JsonObject | None = None,
    ) -> None:
        self._agent = agent
        self._model = model
        self._toolbox = toolbox
        self._calls = calls
        self._schema = schema
        # A model that cannot call tools is told to write its calls down, and they are read out of its text.
        self._in_text = bool(toolbox.specs) and not model.supports_function_calling()
        self._messages: list[ChatMessage] = []

    async def run(self, task: str) -> Answer:
        self._messages = prompts.opening(self._agent, self._toolbox.specs, task, text_tools=self._in_text)
        for _ in range(self._agent.max_iterations):
            reply = await self._ask(with_tools=True)
            answer = await (self._read_text(reply) if self._in_text else self._read(reply))
            if answer is not None:
                return await self._finish(answer)
            if self._toolbox.in_circles:
                return await self._answer_without_tools("it repeats a tool call that gives the same result")
        return await self._answer_without_tools(f"it used up its {self._agent.max_iterations} iterations")

    async def _ask(self, *, with_tools: bool) -> ModelReply:
        if compaction.outgrown(self._messages, self._model):
            self._calls.log("info", f"{self._agent.name}: the conversation outgrew the model and is summarised")
            self._messages = await compaction.summarised(self._messages, self._model)
        tools = self._toolbox.specs if with_tools else ()
        return await self._model.complete(
            self._messages,
            tools=() if self._in_text else tools,
            # Asked for together with tools, a schema would keep the model from calling them.
            response_schema=None if tools else self._schema,
            stop=(prompts.TEXT_TOOLS_STOP,) if self._in_text and with_tools else (),
        )

    async def _read(self, reply: ModelReply) -> ModelReply | None:
        """The reply if it is the answer; else its tool calls are made and None is returned."""
        if not reply.tool_calls:
            return reply
        self._messages.append(ChatMessage("assistant", reply.text, tool_calls=reply.tool_calls))
        results = await self._toolbox.use(reply.tool_calls)
        for call, result in zip(reply.tool_calls, results, strict=True):
            text = compaction.clip(result, self._model)
            self._messages.append(ChatMessage("tool", text, tool_call_id=call.id))
        return None

    async def _read_text(self, reply: ModelReply) -> ModelReply | None:
        """The same for a model that writes its calls down."""
        # Not every provider knows stop words: what the model made up as a tool's result is dropped.
        written = reply.text.split(prompts.TEXT_TOOLS_STOP)[0]
        step = format_answer(written)
        if not isinstance(step, AgentAction):
            return replace(reply, text=str(step.output))
        result = compaction.clip(await self._use_written(step), self._model)
        self._messages.append(ChatMessage("assistant", f"{written}{prompts.TEXT_TOOLS_STOP} {result}"))
        self._messages.append(prompts.go_on_after_tool())
        return None

    async def _use_written(self, step: AgentAction) -> str:
        try:
            arguments: Json = loads(step.tool_input or "{}")
        except ValueError:
            return _NOT_AN_OBJECT
        if not isinstance(arguments, dict):
            return _NOT_AN_OBJECT
        return (await self._toolbox.use([ToolCall(id="", name=step.tool, arguments=arguments)]))[0]

    async def _answer_without_tools(self, reason: str) -> Answer:
        self._calls.log("warning", f"{self._agent.name}: {reason}, so its answer is asked for without tools")
        self._messages.append(prompts.final_answer_now())
        reply = await self._ask(with_tools=False)
        if self._in_text:
            step = format_answer(reply.text)
            reply = replace(reply, text=step.text if isinstance(step, AgentAction) else str(step.output))
        return await self._finish(reply)

    async def _finish(self, reply: ModelReply) -> Answer:
        if self._schema is not None:
            return await self._finish_in_schema(reply, self._schema)
        if not reply.text.strip():
            raise StepFailed(f"{self._agent.name}: the model gave an empty answer", code="answer_empty")
        return Answer(reply.text)

    async def _finish_in_schema(self, reply: ModelReply, schema: JsonObject) -> Answer:
        """An agent with tools answers in free text first: often that is the JSON already, else it is asked again."""
        answer = _structured(reply, schema)
        if answer is None:
            if reply.text.strip():
                self._messages.append(ChatMessage("assistant", reply.text))
            self._messages.append(prompts.answer_in_schema(schema))
            answer = _structured(await self._ask(with_tools=False), schema)
        if answer is None:
            raise StepFailed(
                f"{self._agent.name}: the model's answer is not JSON of the task's output schema",
                code="answer_not_in_schema",
            )
        return answer


def _structured(reply: ModelReply, schema: JsonObject) -> Answer | None:
    value = reply.data if reply.data is not None else read_answer(reply.text, schema)
    if value is NOT_GIVEN:
        return None
    return Answer(dumps(value), value)
