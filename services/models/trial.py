"""One short call of a model, to see whether it answers."""

import time
from dataclasses import replace
from uuid import UUID

from services.models import service
from services.models.errors import ModelKeyUnreadable, ProviderRefused, ProviderUnavailable
from services.models.schemas import ModelTested
from shared.auth.principal import Principal
from shared.llm.config import ModelConfig
from shared.llm.errors import ProviderError
from shared.llm.records import model_config
from shared.llm.retry import RetryPolicy
from shared.llm.types import ChatRequest, Message
from shared.security.encryption import CannotDecrypt
from shared.web.resources import Resources

_REQUEST = ChatRequest((Message("user", "Greet me in one short sentence."),), max_tokens=60)
_DEADLINE_SECONDS = 120.0
_SHOWN_CHARACTERS = 200
# Whoever tries a model out wants to see its trouble, not to wait for it to pass.
_NO_RETRIES = RetryPolicy(attempts=1, output_attempts=1, circuit_patience=0)


async def run(app: Resources, caller: Principal, model_id: UUID) -> ModelTested:
    """Holds no database connection while the provider thinks."""
    config = await _config(app, caller, model_id)
    begun = time.monotonic()
    try:
        reply = await app.models.complete(config, _REQUEST, retry_policy=_NO_RETRIES)
    except ProviderError as error:
        raise (ProviderUnavailable if error.retryable else ProviderRefused)(error) from error
    return ModelTested(
        latency_ms=round((time.monotonic() - begun) * 1000),
        text=reply.text[:_SHOWN_CHARACTERS],
        input_tokens=reply.usage.input_tokens,
        output_tokens=reply.usage.output_tokens,
        cost=reply.usage.cost,
    )


async def _config(app: Resources, caller: Principal, model_id: UUID) -> ModelConfig:
    async with app.database.read(caller.scope) as session:
        row = await service.find(session, model_id)
        try:
            config = model_config(row, app.cipher)
        except CannotDecrypt as error:
            raise ModelKeyUnreadable from error
    deadline = min(config.settings.deadline_seconds, _DEADLINE_SECONDS)
    return replace(config, settings=config.settings.model_copy(update={"deadline_seconds": deadline}))
