"""A world that answers nothing: whatever is not on record, a replay cannot have."""

from collections.abc import Sequence
from typing import NoReturn
from uuid import UUID

from services.orchestration.engine.budget import Unlimited
from services.orchestration.engine.ports import (
    CallFailed,
    CodeReply,
    CodeRequest,
    DeltaSink,
    Embeddings,
    Found,
    HttpReply,
    HttpRequest,
    KnowledgeRequest,
    ModelInfo,
    ModelReply,
    ModelRequest,
    Models,
    Outside,
    ToolContext,
    ToolReply,
    Tools,
    ToolSpec,
)
from shared.kit.json import JsonObject

NOT_RECORDED = "not_recorded"


class Refusals:
    """What was asked for in vain."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def refuse(self, what: str) -> NoReturn:
        self.asked.append(what)
        raise CallFailed(
            f"{what} is asked for something that is not on record", code=NOT_RECORDED, source=what, retryable=False
        )


def refusing(outside: Outside, refusals: Refusals) -> Outside:
    """What models and tools are is read as ever, and agents work as ever: through their step's journal alone."""
    return Outside(
        models=_Models(outside.models, refusals),
        tools=_Tools(outside.tools, refusals),
        knowledge=_Knowledge(refusals),
        agents=outside.agents,
        http=_Http(refusals),
        sandbox=_Sandbox(refusals),
        budgets=Unlimited(),
    )


class _Models:
    def __init__(self, real: Models, refusals: Refusals) -> None:
        self._real = real
        self._refusals = refusals

    async def describe(self, tenant_id: UUID, model_id: UUID) -> ModelInfo:
        return await self._real.describe(tenant_id, model_id)

    async def complete(self, tenant_id: UUID, request: ModelRequest, on_delta: DeltaSink) -> ModelReply:
        self._refusals.refuse("a model")

    async def embed(self, tenant_id: UUID, model_id: UUID, texts: Sequence[str]) -> Embeddings:
        self._refusals.refuse("a model")


class _Tools:
    def __init__(self, real: Tools, refusals: Refusals) -> None:
        self._real = real
        self._refusals = refusals

    def describe(self, name: str) -> ToolSpec:
        return self._real.describe(name)

    async def call(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolReply:
        self._refusals.refuse(f"the tool {name!r}")


class _Knowledge:
    def __init__(self, refusals: Refusals) -> None:
        self._refusals = refusals

    async def search(self, tenant_id: UUID, request: KnowledgeRequest) -> Found:
        self._refusals.refuse("a knowledge base")


class _Http:
    def __init__(self, refusals: Refusals) -> None:
        self._refusals = refusals

    async def send(self, tenant_id: UUID, request: HttpRequest, idempotency_key: str) -> HttpReply:
        self._refusals.refuse("an address")


class _Sandbox:
    def __init__(self, refusals: Refusals) -> None:
        self._refusals = refusals

    async def run(self, request: CodeRequest) -> CodeReply:
        self._refusals.refuse("code")
