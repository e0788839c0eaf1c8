"""Questions that a model writes: by real workers, from a scripted model; drafts until somebody approves them."""

import asyncio
from typing import Any

import pytest

from shared.kit.json import JsonObject
from tests.fakes.model_server import FakeModelServer
from tests.support.product import Client, Product
from tests.support.running import ada, asked, product, provider, provider_process, refused

__all__ = ["ada", "product", "provider", "provider_process"]  # fixtures

PIERS = ["Amsterdam", "Bilbao", "Calais", "Dover", "Esbjerg", "Faro"]


def passage(place: str) -> str:
    return f"The pier of {place} was built by the harbour company of {place} and is open to all ships at night."


def rule(place: str, question: str, **more: Any) -> JsonObject:
    return {"last": f"pier of {place}", "data": {"question": question}, **more}


async def shelve(client: Client, *places: str) -> tuple[str, dict[str, str]]:
    """A set over a base with a document for each place, and the documents' ids."""
    base = (await client.post("/knowledge-bases", {"name": "Piers"}))["id"]
    documents: dict[str, str] = {}
    for place in places:
        body = {"name": f"{place}.txt", "text": passage(place), "format": "text"}
        documents[place] = (await client.post(f"/knowledge-bases/{base}/text-content", body))["id"]
    async with asyncio.timeout(60):
        ready = f"/knowledge-bases/{base}/documents"
        while len((await client.get(ready, status="ready"))["items"]) < len(places):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return (await client.post("/evaluation-sets", {"name": "Piers", "knowledge_base_ids": [base]}))["id"], documents


async def generate(client: Client, set_id: str, **fields: Any) -> str:
    started = await client.post(f"/evaluation-sets/{set_id}/generate", {"model_id": client.model_id, **fields})
    assert started["kind"] == "evaluation"
    return started["id"]


async def drafts(client: Client, set_id: str, **params: Any) -> list[dict[str, Any]]:
    return (await client.get(f"/evaluation-sets/{set_id}/questions", **params))["items"]


async def test_drafts_are_written_from_passages_all_over_the_documents(ada: Client, provider: FakeModelServer) -> None:
    set_id, documents = await shelve(ada, *PIERS)
    provider.script(*(rule(place, f" When can ships\nland at {place}? ") for place in PIERS))
    done = await ada.finished(await generate(ada, set_id, count=6, seed=7))

    assert (done["status"], done["output"]["questions"]) == ("succeeded", 6)
    found = await drafts(ada, set_id)
    assert sorted(one["text"] for one in found) == [f"When can ships land at {place}?" for place in PIERS]
    for one in found:
        place = one["text"].split()[-1].rstrip("?")
        assert (one["status"], one["source"], one["passage"]) == ("draft", "generated", passage(place))
        expected = {"document_id": documents[place], "name": f"{place}.txt", "grade": 1, "deleted": False}
        assert one["expected"] == [expected]
    assert done["call_count"] == 6
    assert (await ada.get("/executions", kind="evaluation"))["items"][0]["id"] == done["id"]


async def test_drafts_count_for_nothing_until_they_are_approved(ada: Client, provider: FakeModelServer) -> None:
    set_id, _ = await shelve(ada, "Amsterdam", "Bilbao")
    provider.script(rule("Amsterdam", "When is Amsterdam open?"), rule("Bilbao", "When is Bilbao open?"))
    await ada.finished(await generate(ada, set_id, count=2))
    run = f"/evaluation-sets/{set_id}/runs"
    assert await refused(ada, run, {"modes": ["keyword"]}) == (409, "evaluation_without_questions")

    one, _ = await drafts(ada, set_id, status="draft")
    assert await ada.post(f"/evaluation-sets/{set_id}/questions/approve", {"ids": [one["id"]]}) == {"changed": 1}
    started = await ada.post(run, {"modes": ["keyword"]})
    assert (await ada.finished(started["execution_id"]))["status"] == "succeeded"
    assert (await ada.get(f"/evaluation-runs/{started['id']}"))["total"] == 1


async def test_what_is_there_or_cannot_be_asked_is_passed_over(ada: Client, provider: FakeModelServer) -> None:
    set_id, documents = await shelve(ada, *PIERS)
    typed = {"text": "Who built it?", "expected": [{"document_id": documents["Faro"]}]}
    await ada.post(f"/evaluation-sets/{set_id}/questions", typed)
    provider.script(
        rule("Amsterdam", "who  BUILT it?"),
        rule("Bilbao", ""),
        {"match": "pier of Calais", "answer": "This is no JSON."},
        rule("Dover", "Which pier is in Dover?"),
        rule("Esbjerg", "which pier is in dover?"),
        rule("Faro", "Which pier is in Faro?"),
    )
    done = await ada.finished(await generate(ada, set_id, count=6))

    assert (done["status"], done["output"]["questions"]) == ("succeeded", 2)
    written = {one["text"].casefold() for one in await drafts(ada, set_id, status="draft")}
    assert written == {"which pier is in dover?", "which pier is in faro?"}


async def test_a_rejected_question_is_not_written_again(ada: Client, provider: FakeModelServer) -> None:
    set_id, documents = await shelve(ada, "Amsterdam", "Bilbao")
    provider.script(rule("Amsterdam", "Is it open?"), rule("Bilbao", "Is Bilbao open?"))
    only = {"count": 1, "document_ids": [documents["Amsterdam"]]}
    await ada.finished(await generate(ada, set_id, **only))
    [one] = await drafts(ada, set_id)
    await ada.post(f"/evaluation-sets/{set_id}/questions/reject", {"ids": [one["id"]]})

    again = await ada.finished(await generate(ada, set_id, **only))
    assert (again["status"], again["error"]["code"]) == ("failed", "evaluation_without_new_questions")
    assert [(q["text"], q["status"]) for q in await drafts(ada, set_id)] == [("Is it open?", "rejected")]


@pytest.mark.parametrize("after", [1, 3])
async def test_a_killed_worker_asks_nothing_twice_and_stores_nothing_twice(
    product: Product, ada: Client, provider: FakeModelServer, after: int
) -> None:
    set_id, _ = await shelve(ada, *PIERS)
    provider.script(*(rule(place, f"When can ships land at {place}?", latency_ms=150) for place in PIERS))
    execution = await generate(ada, set_id, count=6)
    async with asyncio.timeout(30):
        while len(await drafts(ada, set_id)) < after:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    before = {one["id"] for one in await drafts(ada, set_id)}
    [worker] = product.workers
    await product.kill(worker)
    await product.start_worker()
    done = await ada.finished(execution)

    assert (done["status"], done["output"]["questions"], done["attempts"]) == ("succeeded", 6, 1)
    found = await drafts(ada, set_id)
    assert len({one["text"] for one in found}) == len(found) == 6
    assert before <= {one["id"] for one in found}
    # The call that was under way when the worker died is the only one that may be made again.
    assert len(asked(provider)) in (6, 7)


async def test_what_generation_needs(ada: Client, product: Product) -> None:
    base = (await ada.post("/knowledge-bases", {"name": "Empty"}))["id"]
    set_id = (await ada.post("/evaluation-sets", {"name": "Empty", "knowledge_base_ids": [base]}))["id"]
    path = f"/evaluation-sets/{set_id}/generate"
    assert await refused(ada, path, {"count": 1}) == (409, "evaluation_without_documents")
    set_id, _ = await shelve(await product.sign_up("Eve"), "Faro")
    assert await refused(ada, f"/evaluation-sets/{set_id}/generate", {}) == (404, "evaluation_set_not_found")


async def test_only_chat_models_of_the_tenant_write(ada: Client, product: Product) -> None:
    eve = await product.sign_up("Eve")
    set_id, _ = await shelve(ada, "Faro")
    foreign = {"model_id": eve.model_id}
    answer = await refused(ada, f"/evaluation-sets/{set_id}/generate", foreign)
    assert answer == (422, "evaluation_model_unusable")
