"""Models that embed and models that rank: what they may be used for, and what stays while they are used."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from services.agents.module import SERVICE as AGENTS
from services.knowledge_base.module import SERVICE as KNOWLEDGE
from services.models.module import SERVICE as MODELS
from services.workflows.module import SERVICE as WORKFLOWS
from shared.database.session import Scope
from shared.database.tables.budgets import Budget, BudgetReservation
from shared.database.tables.knowledge import KnowledgeBase, KnowledgeIndex
from shared.database.tables.models import ModelUse
from shared.kit.ids import new_id
from shared.knowledge.embedding import hold_embedding_model
from shared.knowledge.errors import EmbeddingModelGone, RerankFailed
from shared.knowledge.rerank import Reranker
from shared.llm.refusals import BudgetExceeded, ProviderUnavailable
from shared.llm.tenant import TenantModels
from tests.fakes.model_server import FakeModelServer
from tests.models.conftest import CANARY, Api
from tests.support.platform import Account, Platform


def of(account: Account) -> Scope:
    return Scope(account.tenant_id, account.user_id)


def problems(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    return {detail["field"]: detail["code"] for detail in answer.json()["error"]["details"]}


async def indexed(platform: Platform, account: Account, model_id: str, status: str = "active") -> str:
    """A knowledge base with an index by this model."""
    tenant = account.tenant_id
    base = KnowledgeBase(
        id=new_id(), tenant_id=tenant, name="Handbook", embedding_model="m", chunk_size=128, chunk_overlap=16
    )
    index = KnowledgeIndex(
        id=new_id(), tenant_id=tenant, knowledge_base_id=base.id, model_id=UUID(model_id), model_name="m", status=status
    )
    async with platform.resources.database.write(Scope(tenant)) as session:
        session.add(base)
        await session.flush()
        session.add(index)
    return str(base.id)


async def test_a_model_is_of_a_kind(api: Api) -> None:
    chat = await api.create(name="chat")
    embedding = await api.create(name="embedding", kind="embedding", settings={"dimensions": 64})
    await api.create(name="rerank", kind="rerank")
    assert (chat["kind"], chat["context_window"]) == ("chat", 32_768)
    assert (embedding["kind"], embedding["context_window"]) == ("embedding", 512)
    found = (await api.call("GET", "?kind=embedding")).json()["items"]
    assert [(item["name"], item["settings"]["dimensions"]) for item in found] == [("embedding", 64)]
    assert (await api.call("GET", "?kind=x")).status_code == 422
    items = (await api.call("GET", "/providers")).json()["items"]
    kinds = {item["provider"]: item["kinds"] for item in items}
    assert kinds == {
        "local": ["chat"],
        "openai_compatible": ["chat", "embedding", "rerank"],
        "openai": ["chat", "embedding"],
        "anthropic": ["chat"],
        "google": ["chat", "embedding"],
        "ollama": ["chat", "embedding"],
    }


async def test_known_embedding_models_have_their_prices(api: Api) -> None:
    body = {"name": "o", "kind": "embedding", "provider": "openai", "api_key": CANARY}
    small = (await api.call("POST", json=body | {"model": "text-embedding-3-small"})).json()
    assert (small["context_window"], small["effective_input_price"]) == (8191, "0.02")
    new = (await api.call("POST", json=body | {"name": "n", "model": "text-embedding-9"})).json()
    assert (new["context_window"], new["effective_input_price"]) == (8191, "0")


async def test_what_a_kind_cannot_do_is_refused(api: Api) -> None:
    chat, embedding = await api.create(name="chat"), await api.create(name="embedding", kind="embedding")
    anthropic = {"name": "a", "provider": "anthropic", "model": "claude", "kind": "embedding", "api_key": CANARY}
    assert problems(await api.call("POST", json=anthropic)) == {"kind": "kind_not_offered"}
    default = api.body(name="d", kind="embedding", is_default=True)
    assert problems(await api.call("POST", json=default)) == {"is_default": "model_kind_wrong"}
    falls_back = api.body(name="f", settings={"fallback_model_ids": [chat["id"], embedding["id"]]})
    assert problems(await api.call("POST", json=falls_back)) == {"settings.fallback_model_ids.1": "model_kind_wrong"}
    falls_back = api.body(name="f", kind="embedding", settings={"fallback_model_ids": [embedding["id"]]})
    assert problems(await api.call("POST", json=falls_back)) == {"settings.fallback_model_ids": "model_kind_wrong"}
    assert problems(await api.call("POST", json=api.body(name="x", kind="vision"))) == {"kind": "enum"}


async def test_agents_and_crews_run_on_chat_models(api: Api, platform: Platform, ada: Account) -> None:
    embedding, rerank = [await api.create(name=kind, kind=kind) for kind in ("embedding", "rerank")]
    agents = await platform.client(AGENTS, ada)
    agent = {"name": "Ada", "role": "r", "goal": "g", "backstory": "", "model_id": embedding["id"]}
    assert problems(await agents.post("/api/v1/agents", json=agent)) == {"model_id": "model_kind_wrong"}

    chat = await api.create(name="chat")
    made = await agents.post("/api/v1/agents", json={**agent, "model_id": chat["id"]})
    assert made.status_code == 201, made.text
    task = {"name": "t", "description": "d", "expected_output": "e"}
    config = {
        "agent_ids": [made.json()["id"]],
        "tasks": [task],
        "process": "hierarchical",
    }
    graph = {"spec": 1, "nodes": [{"id": "c", "type": "crew", "config": config}], "edges": [], "outputs": {}}
    workflows = await platform.client(WORKFLOWS, ada)
    for manager, wrong in ((rerank, True), (chat, False)):
        config["manager_model_id"] = manager["id"]
        body = {"name": manager["name"], "graph": graph}
        workflow = await workflows.post("/api/v1/workflows", json=body)
        assert workflow.status_code == 201, workflow.text
        told = await workflows.post(f"/api/v1/workflows/{workflow.json()['id']}/validate")
        assert ("model_kind_wrong" in told.text) is wrong, told.text
    bases = await platform.client(KNOWLEDGE, ada)
    base = (await bases.post("/api/v1/knowledge-bases", json={"name": "b"})).json()["id"]
    for judge, wrong in ((embedding, True), (rerank, False), (chat, False)):
        search = {"knowledge_base_ids": [base], "query": "q", "rerank_model_id": judge["id"]}
        node = {"id": "s", "type": "knowledge_search", "config": search}
        body = {"name": f"by {judge['name']}", "graph": {"spec": 1, "nodes": [node], "edges": [], "outputs": {}}}
        told = await workflows.post("/api/v1/workflows", json=body)
        assert ("model_kind_wrong" in told.text) is wrong, told.text

    # Whoever runs on it keeps it what it is.
    changed = await api.call("PUT", f"/{chat['id']}", json=api.body(name="chat", kind="embedding"))
    assert (changed.status_code, changed.json()["error"]["code"]) == (409, "model_in_use")


@pytest.mark.parametrize("status", ["active", "building"])
async def test_a_model_that_a_knowledge_base_is_indexed_by_stays_as_it_is(
    status: str, api: Api, platform: Platform, ada: Account
) -> None:
    model = await api.create(name="E", kind="embedding", settings={"dimensions": 64})
    base = await indexed(platform, ada, model["id"], status)
    path = f"/{model['id']}"
    body = {"name": "E", "kind": "embedding"}
    for refused in (
        await api.call("DELETE", path),
        await api.call("PUT", path, json=api.body(**body, model="another", settings={"dimensions": 64})),
        await api.call("PUT", path, json=api.body(**body, settings={"dimensions": 65})),
        await api.call("PUT", path, json=api.body(**body, settings={})),
        await api.call("PUT", path, json=api.body(name="E")),
    ):
        error = refused.json()["error"]
        assert (refused.status_code, error["code"]) == (409, "model_in_use"), refused.text
        assert [(each["field"], each["message"]) for each in error["details"]] == [
            (f"knowledge_bases.{base}", "Handbook")
        ]
    kept = api.body(**body, input_price="3", settings={"dimensions": 64, "timeout_seconds": 9})
    assert (await api.call("PUT", path, json=kept)).status_code == 200, "what its vectors do not depend on"
    async with platform.resources.database.write(Scope(ada.tenant_id)) as session:
        await session.delete(await session.get_one(KnowledgeBase, UUID(base)))
    assert (await api.call("DELETE", path)).status_code == 204


async def test_a_trial_tells_what_the_kind_gives(api: Api, provider: FakeModelServer) -> None:
    usage = {"prompt_tokens": 12, "completion_tokens": 0}
    provider.script({"path": "embeddings", "usage": usage}, {"path": "rerank", "data": [-2.0, 2.0], "usage": usage})
    embedding = await api.create(name="e", kind="embedding", input_price="100", settings={"dimensions": 64})
    found = (await api.test(embedding)).json()
    assert (found["kind"], found["dimensions"], found["scores"], found["text"]) == ("embedding", 64, None, "")
    assert (found["input_tokens"], found["output_tokens"], found["cost"]) == (12, 0, "0.0012")
    rerank = await api.create(name="r", kind="rerank")
    found = (await api.test(rerank)).json()
    assert (found["kind"], found["dimensions"], found["input_tokens"]) == ("rerank", None, 12)
    assert found["scores"] == pytest.approx([0.1192029, 0.8807970])
    provider.fail("nan", path="embeddings")
    assert (await api.test(embedding)).json()["error"]["code"] == "provider_unavailable"


# --- spent outside of executions ------------------------------------------------------------------------------


async def month(platform: Platform, ada: Account, **limits: Any) -> dict[str, Any]:
    client = await platform.client(MODELS, ada)
    given = {"name": "Month", "scope": "tenant", "period": "month", **limits}
    answer = await client.post("/api/v1/budgets", json=given)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def spent(platform: Platform, ada: Account, budget: dict[str, Any]) -> dict[str, Any]:
    client = await platform.client(MODELS, ada)
    found = (await client.get(f"/api/v1/budgets/{budget['id']}")).json()
    assert found["reserved"] == {"tokens": 0, "cost": "0", "calls": 0}
    return found["spent"]


async def test_a_search_s_embeddings_are_in_the_model_s_usage_and_in_budgets(
    api: Api, platform: Platform, ada: Account, provider: FakeModelServer
) -> None:
    provider.script({"path": "embeddings", "usage": {"prompt_tokens": 50, "completion_tokens": 0}})
    budget = await month(platform, ada, tokens=1000)
    model = await api.create(kind="embedding", input_price="1000")
    embedder = await platform.resources.embedders.of(of(ada), UUID(model["id"]))
    assert (embedder.name, embedder.max_tokens) == ("Test model", 512)
    found = await embedder.embed(["a question"])
    assert found.usage.cost == Decimal("0.05")
    await api.test(model)
    provider.fail("error", path="embeddings")
    with pytest.raises(ProviderUnavailable):
        await embedder.embed(["another"])
    now = datetime.now(UTC)
    span = f"from={(now - timedelta(days=1)).isoformat()}&to={(now + timedelta(days=1)).isoformat()}"
    usage = (await api.call("GET", f"/{model['id']}/usage?{span.replace('+00:00', 'Z')}")).json()
    assert (usage["calls"], usage["failed_calls"], usage["input_tokens"], usage["cost"]) == (3, 1, 100, "0.1")
    assert await spent(platform, ada, budget) == {"tokens": 100, "cost": "0.1", "calls": 3}
    async with platform.resources.database.read(of(ada)) as session:
        uses = (await session.scalars(select(ModelUse).order_by(ModelUse.started_at))).all()
        assert [(use.purpose, use.kind, use.status, use.created_by) for use in uses] == [
            ("embedding", "embedding", "succeeded", ada.user_id),
            ("test", "embedding", "succeeded", ada.user_id),
            ("embedding", "embedding", "failed", ada.user_id),
        ]
    async with platform.resources.database.read(Scope(new_id())) as session:
        assert (await session.scalars(select(ModelUse))).all() == []


async def test_who_searches_does_not_wait_for_an_embedding_model_that_hangs(
    api: Api, platform: Platform, ada: Account, provider: FakeModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.knowledge.embedding._LONGEST_SECONDS", 1.0)
    provider.script({"path": "embeddings", "fault": {"kind": "hang"}})
    model = await api.create(kind="embedding")
    embedder = await platform.resources.embedders.of(of(ada), UUID(model["id"]))
    async with asyncio.timeout(20):
        with pytest.raises(ProviderUnavailable):
            await embedder.embed(["x"])
    assert len(provider.journal("embeddings")) == 1


@pytest.mark.parametrize("on_exceeded", ["fail", "wait"])
async def test_a_budget_that_is_used_up_stops_the_call_before_it_is_made(
    on_exceeded: str, api: Api, platform: Platform, ada: Account, provider: FakeModelServer
) -> None:
    await month(platform, ada, calls=1, on_exceeded=on_exceeded)
    model = await api.create(kind="embedding")
    assert (await api.test(model)).status_code == 200
    refused = await api.test(model)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "budget_exceeded")
    assert "'Month'" in refused.json()["error"]["message"]
    with pytest.raises(BudgetExceeded):
        await (await platform.resources.embedders.of(of(ada), UUID(model["id"]))).embed(["x"])
    assert len(provider.journal("embeddings")) == 1
    async with platform.resources.database.read(of(ada)) as session:
        assert (await session.scalars(select(BudgetReservation))).all() == []
        assert len((await session.scalars(select(ModelUse))).all()) == 1, "what was not made is no use"
        assert len((await session.scalars(select(Budget))).all()) == 1


async def test_a_ranking_is_paid_by_whoever_asks_for_it(
    api: Api, platform: Platform, ada: Account, provider: FakeModelServer
) -> None:
    """A search over the API by accounts, one within an execution by its step, which has the usage."""
    provider.script({"path": "rerank", "usage": {"prompt_tokens": 30, "completion_tokens": 0}})
    budget = await month(platform, ada, calls=1)
    model = await api.create(kind="rerank", input_price="1000")
    resources = platform.resources
    unaccounted = TenantModels(resources.database, resources.cipher, resources.models, accounts=None)
    for models in (unaccounted, resources.tenant_models, unaccounted):
        reranker = Reranker(models)
        config = await reranker.find(of(ada), UUID(model["id"]))
        ranked = await reranker.rank(of(ada), config, "old ship", ["an old ship", "bread"])
        assert (ranked.scores, ranked.usage.cost) == ([1.0, 0.0], Decimal("0.03"))
    assert await spent(platform, ada, budget) == {"tokens": 30, "cost": "0.03", "calls": 1}
    async with resources.database.read(of(ada)) as session:
        assert (await session.scalars(select(ModelUse.purpose))).all() == ["rerank"]
    with pytest.raises(RerankFailed, match="Month"):
        await Reranker(resources.tenant_models).rank(of(ada), config, "old ship", ["bread"])


async def test_whoever_makes_an_index_holds_its_model(api: Api, platform: Platform, ada: Account, bob: Account) -> None:
    model, chat = await api.create(name="e", kind="embedding"), await api.create(name="c")
    resources = platform.resources
    async with resources.database.write(of(ada)) as session:
        assert (await hold_embedding_model(session, UUID(model["id"]))).name == "e"
        with pytest.raises(EmbeddingModelGone):
            await hold_embedding_model(session, UUID(chat["id"]))
    for scope, id_ in ((of(ada), chat["id"]), (of(bob), model["id"]), (of(ada), str(new_id()))):
        with pytest.raises(EmbeddingModelGone):
            await resources.embedders.of(scope, UUID(id_))
    async with resources.database.write(of(bob)) as session:
        with pytest.raises(EmbeddingModelGone):
            await hold_embedding_model(session, UUID(model["id"]))
