"""A tenant's models by their ids, for whoever is no execution: a search, a trial."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

from shared.database.session import Database, Scope
from shared.database.tables.models import Model
from shared.llm.accounts import Accounts, Use
from shared.llm.client import LanguageModels
from shared.llm.config import ModelConfig
from shared.llm.errors import ProviderError
from shared.llm.records import model_config
from shared.llm.refusals import ModelGone, ModelKeyUnreadable, ModelKindWrong, refusal
from shared.llm.retry import RetryPolicy
from shared.llm.settings import ModelKind
from shared.llm.tokens import approximate_tokens
from shared.llm.types import ChatReply, ChatRequest, Embedded, Ranked, Usage
from shared.security.encryption import CannotDecrypt, Cipher

# What a model is taken to answer at least, as the engine takes it.
_ANSWER_TOKENS = 256
# Somebody waits for it; and it is less than it takes until a reservation counts as left behind.
_LONGEST_SECONDS = 100.0


class TenantModels:
    """All that is spent is held against budgets and on record, unless there are no `accounts`: then whoever calls must
    record the usage that comes back, as a step's journal does.

    Raises `ModelGone`, `ModelKindWrong`, `ModelKeyUnreadable`, `BudgetExceeded`, `ProviderRefused`,
    `ProviderUnavailable`. Holds no database connection while the provider thinks.
    """

    def __init__(self, database: Database, cipher: Cipher, models: LanguageModels, accounts: Accounts | None) -> None:
        self._database = database
        self._cipher = cipher
        self._models = models
        self._accounts = accounts

    async def config(self, scope: Scope, model_id: UUID, kind: ModelKind | None = None) -> ModelConfig:
        async with self._database.read(scope) as session:
            row = await session.get(Model, model_id)
        if row is None:
            raise ModelGone
        if kind is not None and row.kind != kind:
            raise ModelKindWrong(f"The model {row.name!r} is of kind {row.kind}, and a {kind} model is needed here.")
        try:
            return model_config(row, self._cipher)
        except CannotDecrypt as error:
            raise ModelKeyUnreadable from error

    async def complete(
        self,
        scope: Scope,
        model: UUID | ModelConfig,
        request: ChatRequest,
        purpose: str,
        *,
        retry_policy: RetryPolicy | None = None,
    ) -> ChatReply:
        config = await self._resolved(scope, model, ModelKind.CHAT)
        asked = sum(approximate_tokens(message.content) for message in request.messages)
        expected = config.price.of(asked, request.max_tokens or _ANSWER_TOKENS)
        async with self._spending(scope, config, purpose, expected) as use:
            reply = await self._models.complete(config, request, retry_policy=retry_policy)
            use.used = reply.usage
        return reply

    async def embed(
        self,
        scope: Scope,
        model: UUID | ModelConfig,
        texts: Sequence[str],
        purpose: str,
        *,
        retry_policy: RetryPolicy | None = None,
    ) -> Embedded:
        config = await self._resolved(scope, model, ModelKind.EMBEDDING)
        expected = config.price.of(sum(map(approximate_tokens, texts)), 0)
        async with self._spending(scope, config, purpose, expected) as use:
            found = await self._models.embed(config, texts, retry_policy=retry_policy)
            use.used = found.usage
        return found

    async def rerank(
        self,
        scope: Scope,
        model: UUID | ModelConfig,
        query: str,
        texts: Sequence[str],
        purpose: str,
        *,
        retry_policy: RetryPolicy | None = None,
    ) -> Ranked:
        config = await self._resolved(scope, model, ModelKind.RERANK)
        expected = config.price.of(sum(map(approximate_tokens, [query, *texts])), 0)
        async with self._spending(scope, config, purpose, expected) as use:
            ranked = await self._models.rerank(config, query, texts, retry_policy=retry_policy)
            use.used = ranked.usage
        return ranked

    async def _resolved(self, scope: Scope, model: UUID | ModelConfig, kind: ModelKind) -> ModelConfig:
        config = model if isinstance(model, ModelConfig) else await self.config(scope, model, kind)
        deadline = min(config.settings.deadline_seconds, _LONGEST_SECONDS)
        return replace(config, settings=config.settings.model_copy(update={"deadline_seconds": deadline}))

    @asynccontextmanager
    async def _spending(self, scope: Scope, config: ModelConfig, purpose: str, expected: Usage) -> AsyncGenerator[Use]:
        try:
            if self._accounts is None:
                yield Use(config, purpose)
                return
            async with self._accounts.use(scope, config, purpose, expected) as use:
                yield use
        except ProviderError as error:
            raise refusal(error) from error
