"""One short call of a model, to see whether it answers."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from services.models.errors import ModelNotFound
from services.models.schemas import ModelTested
from shared.auth.principal import Principal
from shared.database.session import Scope
from shared.llm.config import ModelConfig
from shared.llm.refusals import ModelGone
from shared.llm.retry import RetryPolicy
from shared.llm.settings import ModelKind
from shared.llm.tenant import TenantModels
from shared.llm.types import ChatRequest, Message, Usage
from shared.web.resources import Resources

_REQUEST = ChatRequest((Message("user", "Greet me in one short sentence."),), max_tokens=60)
_QUERY = "Where does the captain stand?"
_TEXTS = (
    "Bread needs flour, water, salt and time.",
    "The quarterdeck is a raised deck behind the main mast of a ship.",
)
_SHOWN_CHARACTERS = 200
_PURPOSE = "test"
# Whoever tries a model out wants to see its trouble, not to wait for it to pass.
_NO_RETRIES = RetryPolicy(attempts=1, output_attempts=1, circuit_patience=0)


async def run(app: Resources, caller: Principal, model_id: UUID) -> ModelTested:
    try:
        config = await app.tenant_models.config(caller.scope, model_id)
    except ModelGone:
        raise ModelNotFound from None
    begun = time.monotonic()
    found = await _TRIALS[config.kind](app.tenant_models, caller.scope, config)
    return ModelTested(
        kind=config.kind,
        latency_ms=round((time.monotonic() - begun) * 1000),
        text=found.text,
        dimensions=found.dimensions,
        scores=found.scores,
        input_tokens=found.usage.input_tokens,
        output_tokens=found.usage.output_tokens,
        cost=found.usage.cost,
    )


@dataclass(frozen=True, slots=True)
class _Found:
    usage: Usage
    text: str = ""
    dimensions: int | None = None
    scores: list[float] | None = None


async def _chat(models: TenantModels, scope: Scope, config: ModelConfig) -> _Found:
    reply = await models.complete(scope, config, _REQUEST, _PURPOSE, retry_policy=_NO_RETRIES)
    return _Found(reply.usage, text=reply.text[:_SHOWN_CHARACTERS])


async def _embedding(models: TenantModels, scope: Scope, config: ModelConfig) -> _Found:
    found = await models.embed(scope, config, _TEXTS, _PURPOSE, retry_policy=_NO_RETRIES)
    return _Found(found.usage, dimensions=len(found.vectors[0]))


async def _rerank(models: TenantModels, scope: Scope, config: ModelConfig) -> _Found:
    ranked = await models.rerank(scope, config, _QUERY, _TEXTS, _PURPOSE, retry_policy=_NO_RETRIES)
    return _Found(ranked.usage, scores=ranked.scores)


_TRIALS: dict[ModelKind, Callable[[TenantModels, Scope, ModelConfig], Awaitable[_Found]]] = {
    ModelKind.CHAT: _chat,
    ModelKind.EMBEDDING: _embedding,
    ModelKind.RERANK: _rerank,
}
