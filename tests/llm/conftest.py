from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from shared.llm.circuit import CircuitLimits
from shared.llm.client import LanguageModels
from shared.llm.config import ModelConfig, Price
from shared.llm.providers.registry import LocalEndpoint
from shared.llm.retry import RetryPolicy
from shared.llm.settings import OpenAICompatibleSettings, Provider, ProviderSettings
from shared.llm.types import ChatRequest, Delta, Message
from shared.net.policy import EgressPolicy
from tests.fakes.model_server import FakeModelServer

QUICK = RetryPolicy(base=0.01, longest_asked=2.0, circuit_patience=0.3)
# So high that only the tests about circuits meet an open one.
PATIENT = CircuitLimits(threshold=100)


@pytest.fixture(scope="session")
def provider_process() -> Iterator[FakeModelServer]:
    with FakeModelServer() as server:
        yield server


@pytest.fixture
def provider(provider_process: FakeModelServer) -> FakeModelServer:
    provider_process.reset()
    return provider_process


@pytest.fixture
async def models(provider: FakeModelServer) -> AsyncIterator[LanguageModels]:
    local = LocalEndpoint(provider.base_url, "local-key", "served-name")
    opened = LanguageModels(EgressPolicy(["127.0.0.1:*"]), local, retry_policy=QUICK, circuit_limits=PATIENT)
    yield opened
    await opened.close()


def config(
    settings: ProviderSettings,
    provider: Provider = Provider.OPENAI_COMPATIBLE,
    *,
    price: Price = Price(),  # noqa: B008 - frozen
    api_key: str | None = "sk-canary-key",
    model: str = "test-model",
) -> ModelConfig:
    return ModelConfig(
        tenant_id=uuid4(),
        id=uuid4(),
        version=1,
        name="Test model",
        provider=provider,
        model=model,
        settings=settings,
        context_window=8192,
        supports_tools=True,
        price=price,
        api_key=api_key,
    )


@pytest.fixture
def compatible(provider: FakeModelServer) -> ModelConfig:
    return config(OpenAICompatibleSettings(base_url=provider.base_url, timeout_seconds=0.5, deadline_seconds=20))


def ask(text: str = "Hello", **options: object) -> ChatRequest:
    messages = (Message("system", "You are a tester."), Message("user", text))
    return ChatRequest(messages, **options)  # type: ignore[arg-type]


class Watcher:
    """What someone who watches the stream has on the screen."""

    def __init__(self) -> None:
        self.deltas: list[Delta] = []

    def __call__(self, delta: Delta) -> None:
        self.deltas.append(delta)

    def text(self, kind: str = "message") -> str:
        return "".join(delta.text for delta in self.deltas if delta.kind == kind)
