"""A provider that answers 429, 500, garbage, half a stream or nothing; counted by the provider's own journal."""

import asyncio
import time

import pytest

from shared.llm.circuit import CircuitLimits
from shared.llm.client import LanguageModels
from shared.llm.config import ModelConfig
from shared.llm.errors import ProviderError
from shared.llm.retry import RetryPolicy
from shared.llm.settings import LocalSettings, OpenAICompatibleSettings, Provider
from shared.net.policy import EgressPolicy
from tests.fakes.model_server import FakeModelServer
from tests.llm.conftest import QUICK, Watcher, ask, config

TRIES = QUICK.attempts
CODES = {
    "rate_limit": "provider_rate_limited",
    "error": "provider_unavailable",
    "garbage": "provider_garbage",
    "truncate": "provider_truncated",
    "drop": "provider_unavailable",
    "stall": "provider_timeout",
    "hang": "provider_timeout",
    "close": "provider_unavailable",
}


@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("streamed", [False, True])
async def test_two_failures_and_then_an_answer(
    kind: str, streamed: bool, models: LanguageModels, compatible: ModelConfig, provider: FakeModelServer
) -> None:
    provider.script({"fault": {"kind": kind}, "times": 2, "answer": "all is well"}, {"answer": "all is well"})
    watcher = Watcher()
    reply = await models.complete(compatible, ask(), watcher if streamed else None)
    assert reply.text == "all is well"
    assert len(provider.journal()) == 3
    assert watcher.text() == ("all is well" if streamed else ""), "nothing is shown twice"


@pytest.mark.parametrize(("kind", "code"), CODES.items())
async def test_failures_without_end_name_the_provider_and_the_cause(
    kind: str, code: str, models: LanguageModels, compatible: ModelConfig, provider: FakeModelServer
) -> None:
    provider.fail(kind)
    with pytest.raises(ProviderError, match=rf"openai_compatible \(test-model\): .*\(tried {TRIES} times\)") as failure:
        await models.complete(compatible, ask(), Watcher())
    error = failure.value
    assert (error.code, error.retryable) == (code, True)
    assert len(provider.journal()) == TRIES
    assert "sk-canary-key" not in repr(error) + str(error)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
async def test_a_refusal_is_not_repeated(
    status: int, models: LanguageModels, compatible: ModelConfig, provider: FakeModelServer
) -> None:
    provider.fail("error", status=status, message="the key sk-canary-key is not\nwelcome")
    with pytest.raises(ProviderError, match=rf"answered {status}: the key \*\*\* is not welcome$") as failure:
        await models.complete(compatible, ask())
    assert (failure.value.status, failure.value.retryable) == (status, False)
    assert len(provider.journal()) == 1


async def test_retry_after_is_honoured(
    models: LanguageModels, compatible: ModelConfig, provider: FakeModelServer
) -> None:
    provider.fail("rate_limit", times=1, retry_after="0.6")
    begun = time.monotonic()
    await models.complete(compatible, ask())
    assert 0.6 <= time.monotonic() - begun < 2
    arrived = [entry["at"] for entry in provider.journal()]
    assert arrived[1] - arrived[0] >= 0.6


async def test_a_long_retry_after_is_handed_on_at_once(
    models: LanguageModels, compatible: ModelConfig, provider: FakeModelServer
) -> None:
    provider.fail("rate_limit", retry_after="3600")
    begun = time.monotonic()
    with pytest.raises(ProviderError, match="answered 429") as failure:
        await models.complete(compatible, ask())
    assert time.monotonic() - begun < 1
    assert (failure.value.retry_after, failure.value.retryable) == (3600, True)
    assert len(provider.journal()) == 1


async def test_the_deadline_ends_everything(models: LanguageModels, provider: FakeModelServer) -> None:
    record = config(OpenAICompatibleSettings(base_url=provider.base_url, timeout_seconds=60, deadline_seconds=1))
    provider.fail("hang")
    begun = time.monotonic()
    with pytest.raises(ProviderError, match="did not answer in time") as failure:
        await models.complete(record, ask(), Watcher())
    assert time.monotonic() - begun < 1.5
    assert failure.value.code == "provider_timeout"


async def test_slow_tokens_are_not_a_failure(
    models: LanguageModels, compatible: ModelConfig, provider: FakeModelServer
) -> None:
    provider.script({"answer": "slow but sure", "chunks": 13, "chunk_delay_ms": 60})
    reply = await models.complete(compatible, ask(), Watcher())
    assert reply.text == "slow but sure"
    assert len(provider.journal()) == 1


async def test_cancelling_a_call_closes_it_at_the_provider(
    models: LanguageModels, compatible: ModelConfig, provider: FakeModelServer
) -> None:
    provider.fail("hang")
    call = asyncio.create_task(models.complete(compatible, ask(), Watcher()))
    await asyncio.sleep(0.2)
    assert provider.stats()["in_flight"] == 1
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.sleep(0.2)
    assert provider.stats()["in_flight"] == 0


async def test_what_the_watcher_raises_passes_through(
    models: LanguageModels, compatible: ModelConfig, provider: FakeModelServer
) -> None:
    class Aborted(BaseException):
        pass

    def abort(_: object) -> None:
        raise Aborted

    with pytest.raises(Aborted):
        await models.complete(compatible, ask(), abort)
    assert len(provider.journal()) == 1


async def test_an_open_circuit_spares_the_provider_and_closes_by_one_try(provider: FakeModelServer) -> None:
    limits = CircuitLimits(threshold=3, pause=0.6)
    policy = RetryPolicy(attempts=1, circuit_patience=0.1)
    models = LanguageModels(EgressPolicy(["127.0.0.1:*"]), retry_policy=policy, circuit_limits=limits)
    record = config(OpenAICompatibleSettings(base_url=provider.base_url))
    provider.fail("error")
    for _ in range(3):
        with pytest.raises(ProviderError, match="answered 500"):
            await models.complete(record, ask())
    for _ in range(3):
        with pytest.raises(ProviderError, match="keeps failing") as failure:
            await models.complete(record, ask())
    assert failure.value.retry_after is not None
    assert len(provider.journal()) == 3

    stranger = config(OpenAICompatibleSettings(base_url=provider.base_url))
    with pytest.raises(ProviderError, match="answered 500"):
        await models.complete(stranger, ask())  # another tenant's circuit is its own

    await asyncio.sleep(0.5)
    provider.reset()
    provider.script({"answer": "back", "latency_ms": 30})
    replies = await asyncio.gather(*(models.complete(record, ask()) for _ in range(10)))
    assert [reply.text for reply in replies] == ["back"] * 10
    arrived = [entry["at"] for entry in provider.journal()]
    assert arrived[1] - arrived[0] >= 0.03, "one went first"
    await models.close()


async def test_a_private_address_is_refused_without_a_connection(provider: FakeModelServer) -> None:
    models = LanguageModels(EgressPolicy(), retry_policy=QUICK)
    with pytest.raises(ProviderError, match="private") as failure:
        await models.complete(config(OpenAICompatibleSettings(base_url=provider.base_url)), ask())
    assert (failure.value.code, failure.value.retryable) == ("address_blocked", False)
    assert provider.journal(None) == []
    await models.close()


async def test_nothing_listens(models: LanguageModels) -> None:
    with pytest.raises(ProviderError, match="connection failed") as failure:
        await models.complete(config(OpenAICompatibleSettings(base_url="http://127.0.0.1:9/v1")), ask())
    assert failure.value.code == "provider_unavailable"


async def test_an_installation_without_a_model_of_its_own_says_so() -> None:
    models = LanguageModels(EgressPolicy())
    with pytest.raises(ProviderError, match="runs no model of its own"):
        await models.complete(config(LocalSettings(), Provider.LOCAL), ask())
    await models.close()


async def test_a_redirect_is_not_followed(
    models: LanguageModels, compatible: ModelConfig, provider: FakeModelServer
) -> None:
    provider.fail("error", status=307)
    with pytest.raises(ProviderError, match="answered 307"):
        await models.complete(compatible, ask())
