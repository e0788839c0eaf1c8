"""crewAI's model object: a name for the journaled way out. It holds no key and no address, so none can leak."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from crewai.llms.base_llm import BaseLLM
from pydantic import PrivateAttr

from services.orchestration.engine.ports import (
    AgentPlan,
    ChatMessage,
    ModelInfo,
    ModelReply,
    ModelRequest,
    StepCalls,
    ToolSpec,
)
from shared.kit.json import JsonObject

# Rough on purpose: it decides when to shorten a conversation, and an exact count would cost a request.
_BYTES_PER_TOKEN: Final = 4

NO_AGENT: Final = UUID(int=0)
"""The id of crewAI's stock manager, which is no agent of the tenant."""


class StepModel(BaseLLM):
    """The model of one agent in one step. `complete` is the only way to use it."""

    _calls: StepCalls = PrivateAttr()
    _info: ModelInfo = PrivateAttr()
    _agent: AgentPlan = PrivateAttr()

    @classmethod
    def of(cls, agent: AgentPlan, info: ModelInfo, calls: StepCalls) -> "StepModel":
        model = cls(model=info.name)
        model._calls, model._info, model._agent = calls, info, agent
        return model

    async def complete(
        self,
        messages: Sequence[ChatMessage],
        *,
        tools: Sequence[ToolSpec] = (),
        response_schema: JsonObject | None = None,
        stop: Sequence[str] = (),
    ) -> ModelReply:
        request = ModelRequest(
            model_id=self._info.id,
            messages=tuple(messages),
            tools=tuple(tools),
            response_schema=response_schema,
            temperature=self._agent.temperature,
            max_tokens=self._agent.max_tokens,
            stop=tuple(stop),
        )
        agent_id = None if self._agent.id == NO_AGENT else self._agent.id
        return await self._calls.model(request, agent_id=agent_id)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """crewAI's own way in. It would bypass the step's conversation, so nothing of ours leads here."""
        raise NotImplementedError("an agent in a step calls its model through StepModel.complete")

    def supports_function_calling(self) -> bool:
        return self._info.supports_tools

    def get_context_window_size(self) -> int:
        """The room for a request; the rest is for the answer. crewAI knows no model of ours: it says 4,096."""
        window = self._info.context_window
        answer = max(window * 15 // 100, self._agent.max_tokens or 0)
        return window - min(answer, window // 2)

    def get_input_tokens_count(self, messages: Any, tools: Any = None, response_model: Any = None) -> int:
        """An estimate. crewAI's own logs a warning each time, and its OpenAI class makes an HTTP request."""
        texts = [messages] if isinstance(messages, str) else [message.content for message in messages]
        return sum(len(text.encode()) for text in texts) // _BYTES_PER_TOKEN + 1
