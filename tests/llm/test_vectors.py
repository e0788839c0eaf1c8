"""Embeddings and rankings of providers that behave and of those that do not."""

import math
from decimal import Decimal
from uuid import uuid4

import pytest

from shared.llm.client import LanguageModels
from shared.llm.config import ModelConfig, Price
from shared.llm.errors import ProviderError
from shared.llm.settings import (
    GoogleSettings,
    ModelKind,
    OllamaSettings,
    OpenAICompatibleSettings,
    OpenAISettings,
    Provider,
)
from shared.llm.tokens import approximate_tokens
from tests.fakes.model_server import FakeModelServer
from tests.llm.conftest import config
from tests.llm.vendor_server import vendor_server


def of_kind(kind: ModelKind, provider: FakeModelServer, price: Price | None = None, **settings: object) -> ModelConfig:
    given = OpenAICompatibleSettings(
        base_url=provider.base_url,
        timeout_seconds=0.5,
        deadline_seconds=20,
        **settings,  # type: ignore[arg-type]
    )
    made = config(given, price=price or Price())
    return ModelConfig(**{name: getattr(made, name) for name in made.__slots__} | {"kind": kind})


@pytest.fixture
def embedding(provider: FakeModelServer) -> ModelConfig:
    return of_kind(ModelKind.EMBEDDING, provider, Price(Decimal(2), Decimal(50)))


@pytest.fixture
def ranking(provider: FakeModelServer) -> ModelConfig:
    return of_kind(ModelKind.RERANK, provider, Price(Decimal(2), Decimal(50)))


async def test_vectors_are_of_unit_length_in_order_and_paid_by_what_went_in(
    models: LanguageModels, embedding: ModelConfig, provider: FakeModelServer
) -> None:
    provider.script({"path": "embeddings", "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 0}})
    found = await models.embed(embedding, ["sail", "mast", "sail"])
    assert [len(vector) for vector in found.vectors] == [384] * 3
    assert all(math.isclose(math.hypot(*vector), 1) for vector in found.vectors)
    assert found.vectors[0] == found.vectors[2] != found.vectors[1]
    assert (found.usage.input_tokens, found.usage.output_tokens, found.usage.cost) == (1_000_000, 0, Decimal(2))
    [request] = provider.journal("embeddings")
    assert request["headers"]["authorization"] == "Bearer sk-canary-key"
    assert request["body"] == {"model": "test-model", "input": ["sail", "mast", "sail"], "encoding_format": "float"}


async def test_many_texts_are_several_requests_and_none_are_none(
    models: LanguageModels, embedding: ModelConfig, provider: FakeModelServer
) -> None:
    texts = [f"text {number}" for number in range(250)]
    found = await models.embed(embedding, texts)
    assert (await models.embed(embedding, [])).vectors == []
    sizes = [len(request["body"]["input"]) for request in provider.journal("embeddings")]
    assert sizes == [96, 96, 58]
    alone = await models.embed(embedding, [texts[249]])
    assert found.vectors[249] == alone.vectors[0]
    provider.reset()
    await models.embed(embedding, ["word " * 60_000, "word " * 60_000, "short"])
    assert [len(request["body"]["input"]) for request in provider.journal("embeddings")] == [1, 2]


@pytest.mark.parametrize(
    ("kind", "code", "said", "tries"),
    [
        ("rate_limit", "provider_rate_limited", "answered 429", 4),
        ("error", "provider_unavailable", "answered 500", 4),
        ("garbage", "provider_garbage", "cannot be read", 4),
        ("truncate", "provider_garbage", "cannot be read", 4),
        ("drop", "provider_unavailable", "broke off", 4),
        ("hang", "provider_timeout", "in time", 4),
        ("nan", "provider_garbage", "cannot be read", 4),
        ("wrong_count", "model_output_invalid", "sent 1 embeddings for 2 texts", 2),
        ("wrong_dimension", "model_output_invalid", "different dimensions", 2),
        ("zero", "model_output_invalid", "no direction", 2),
    ],
)
async def test_what_no_vector_can_be_made_of_is_told(
    kind: str,
    code: str,
    said: str,
    tries: int,
    models: LanguageModels,
    embedding: ModelConfig,
    provider: FakeModelServer,
) -> None:
    provider.fail(kind, path="embeddings")
    with pytest.raises(ProviderError) as failed:
        await models.embed(embedding, ["one", "two"])
    assert failed.value.code == code
    assert said in failed.value.cause
    assert len(provider.journal("embeddings")) == tries
    provider.fail(kind, times=1, path="embeddings")
    assert len((await models.embed(embedding, ["one", "two"])).vectors) == 2, "a passing trouble is tried again"


async def test_a_model_keeps_to_its_dimensions(models: LanguageModels, provider: FakeModelServer) -> None:
    asked = of_kind(ModelKind.EMBEDDING, provider, dimensions=64)
    assert len((await models.embed(asked, ["one"])).vectors[0]) == 64
    assert provider.journal("embeddings")[0]["body"]["dimensions"] == 64
    provider.fail("wrong_dimension", path="embeddings")
    with pytest.raises(ProviderError, match="63 dimensions in place of 64"):
        await models.embed(asked, ["one"])

    unasked = of_kind(ModelKind.EMBEDDING, provider)
    provider.script()
    await models.embed(unasked, ["one"])
    provider.fail("wrong_dimension", path="embeddings")
    with pytest.raises(ProviderError, match="383 dimensions in place of 384"):
        await models.embed(unasked, ["another"])


async def test_texts_are_ranked_in_the_order_they_were_given_in(
    models: LanguageModels, ranking: ModelConfig, provider: FakeModelServer
) -> None:
    provider.script({"path": "rerank", "usage": {"prompt_tokens": 500_000, "completion_tokens": 0}})
    found = await models.rerank(ranking, "old ship", ["a new ship", "bread", "the old ship"])
    assert found.scores == [0.5, 0.0, 1.0]
    assert found.usage.cost == Decimal(1)
    [request] = provider.journal("rerank")
    documents = ["a new ship", "bread", "the old ship"]
    assert request["body"] == {"model": "test-model", "query": "old ship", "documents": documents, "top_n": 3}
    assert (await models.rerank(ranking, "old ship", [])).scores == []


async def test_logits_become_scores(models: LanguageModels, ranking: ModelConfig, provider: FakeModelServer) -> None:
    provider.script({"path": "rerank", "data": [-4000.0, 0.0, 2.0]})
    assert (await models.rerank(ranking, "q", ["a", "b", "c"])).scores == pytest.approx([0, 0.5, 0.8807970])
    provider.script({"path": "rerank", "data": [0.0, 0.5]})
    told = of_kind(ModelKind.RERANK, provider, rerank_scores="logit")
    assert (await models.rerank(told, "q", ["a", "b"])).scores == pytest.approx([0.5, 0.6224593])


@pytest.mark.parametrize(
    ("kind", "code"),
    [("error", "provider_unavailable"), ("wrong_count", "model_output_invalid"), ("nan", "provider_garbage")],
)
async def test_a_ranking_that_is_none_is_told(
    kind: str, code: str, models: LanguageModels, ranking: ModelConfig, provider: FakeModelServer
) -> None:
    provider.fail(kind, path="rerank")
    with pytest.raises(ProviderError) as failed:
        await models.rerank(ranking, "q", ["a", "b"])
    assert failed.value.code == code


async def test_a_model_is_asked_for_what_it_is(
    models: LanguageModels, embedding: ModelConfig, ranking: ModelConfig, provider: FakeModelServer
) -> None:
    from tests.llm.conftest import ask  # noqa: PLC0415

    for call in (
        models.complete(embedding, ask()),
        models.rerank(embedding, "q", ["a"]),
        models.embed(ranking, ["a"]),
    ):
        with pytest.raises(ProviderError) as refused:
            await call
        assert (refused.value.code, refused.value.retryable) == ("model_kind_wrong", False)
    assert provider.journal(None) == []


async def test_the_other_providers_are_asked_in_their_own_words(models: LanguageModels) -> None:
    async with vendor_server() as server:
        server.embeddings = [[3.0, 4.0], [0.0, 2.0]]
        asked = {
            Provider.OPENAI: OpenAISettings(base_url=f"{server.url}/v1", dimensions=2, organization="org"),
            Provider.OLLAMA: OllamaSettings(base_url=server.url, context_length=2048),
            Provider.GOOGLE: GoogleSettings(base_url=server.url, dimensions=2),
        }
        for provider, settings in asked.items():
            made = config(settings, provider, model="m")
            record = ModelConfig(
                **{name: getattr(made, name) for name in made.__slots__} | {"kind": ModelKind.EMBEDDING, "id": uuid4()}
            )
            found = await models.embed(record, ["one", "two"])
            assert found.vectors == [[0.6, 0.8], [0.0, 1.0]]
            assert found.usage.input_tokens == (2 if provider is Provider.GOOGLE else 11), "Google does not say"
        openai, ollama, google = server.requests
    assert openai[0] == "/v1/embeddings"
    assert (openai[1]["authorization"], openai[1]["openai-organization"]) == ("Bearer sk-canary-key", "org")
    assert ollama[0] == "/api/embed"
    assert ollama[2] == {"model": "m", "input": ["one", "two"], "truncate": False, "options": {"num_ctx": 2048}}
    assert google[0] == "/v1beta/models/m:batchEmbedContents"
    assert google[1]["x-goog-api-key"] == "sk-canary-key"
    parts = {"model": "models/m", "content": {"parts": [{"text": "two"}]}, "outputDimensionality": 2}
    assert google[2]["requests"][1] == parts


def test_tokens_are_guessed_rather_too_many() -> None:
    assert approximate_tokens("") == 0
    assert approximate_tokens("The captain stands on the quarterdeck.") == 11
    assert approximate_tokens("2026-11-20") == 10, "some tokenizers take each digit apart"
    assert approximate_tokens("船の甲板") >= 4
    assert approximate_tokens("\ud800") == 2, "also of what no text should have in it"
    assert approximate_tokens("a" * 1000) >= 500
