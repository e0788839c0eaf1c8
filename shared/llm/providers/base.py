from dataclasses import dataclass
from typing import Protocol

import aiohttp

from shared.llm.config import ModelConfig
from shared.llm.types import ChatReply, ChatRequest, DeltaSink

# No model writes that much; a server that sends more is broken or means harm.
MAX_ANSWER_BYTES = 32 * 1024 * 1024


class ChatProvider(Protocol):
    """One model at one provider: a single try, without retries, prices or validation of structured output.

    With `on_delta` the answer is streamed. Raises `ProviderError`.
    """

    async def chat(self, request: ChatRequest, on_delta: DeltaSink | None) -> ChatReply: ...


@dataclass(frozen=True, slots=True)
class Connection:
    """How a provider is reached: where, with which key, over which session of the running event loop.

    `served_as` is the model's name there, where that is not the record's to say.
    """

    config: ModelConfig
    base_url: str
    api_key: str | None
    session: aiohttp.ClientSession
    served_as: str | None = None

    @property
    def model(self) -> str:
        return self.served_as or self.config.model
