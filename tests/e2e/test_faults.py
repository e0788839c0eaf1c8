"""What is promised when something dies, or when the provider misbehaves. Every fault is shown to have happened."""

import asyncio
from collections import Counter

import pytest
from redis.asyncio import Redis

from tests.fakes.model_server import FakeModelServer
from tests.support.product import Product

pytestmark = pytest.mark.e2e

ROLES = ("Researcher", "Writer", "Reviewer")


def _answered(provider: FakeModelServer) -> list[str]:
    """The prompts that got a whole answer, as the provider itself wrote down."""
    return [str(request["body"]["messages"]) for request in provider.journal() if request.get("answered")]


async def test_kill_9_in_mid_crew_costs_one_call_at_most(mortal: Product, provider: FakeModelServer) -> None:
    ada = await mortal.sign_up()
    provider.script({"match": "Researcher", "answer": "Findings."}, {"latency_ms": 700})
    workflow = await ada.crew(*ROLES)
    first = await mortal.start_worker()
    execution_id = await ada.execute(workflow, {"topic": "tides"})
    async with asyncio.timeout(30):
        while len(provider.journal()) < 2:  # noqa: ASYNC110 - the provider's journal has no event to wait for
            await asyncio.sleep(0.02)

    await mortal.kill(first)
    second = await mortal.start_worker()
    execution = await ada.finished(execution_id, within=40)
    await mortal.kill(second)

    assert execution["status"] == "succeeded", execution["error"]
    assert execution["attempts"] == 1, "the first worker died while it held the execution"
    asked = Counter(str(request["body"]["messages"]) for request in provider.journal())
    repeated = sorted(asked.values())
    assert repeated == [1, 1, 2], "only the call that was under way at the kill was made again"
    assert max(Counter(_answered(provider)).values()) == 1, "no answered call was made twice"
    calls = (await ada.get(f"/executions/{execution_id}/calls"))["items"]
    assert len(calls) == 3


async def test_an_emptied_valkey_loses_nothing(mortal: Product, provider: FakeModelServer) -> None:
    ada = await mortal.sign_up()
    provider.script({"latency_ms": 150})
    workflow = await ada.crew(*ROLES)
    worker = await mortal.start_worker(QUARTERDECK_WORKER_CAPACITY="4")
    ids = [await ada.execute(workflow, {"topic": f"topic {n}"}) for n in range(20)]
    redis = Redis.from_url(mortal.environment["BROKER_URL"])
    states: Counter[str] = Counter()
    async with asyncio.timeout(60):  # until it was emptied while some were queued, some running and some done
        while not (states["queued"] and states["running"] and states["succeeded"]):
            states.update(item["status"] for item in (await ada.get("/executions", limit=100))["items"])
            await redis.flushall()
            await asyncio.sleep(0.2)
    await redis.aclose()

    ended = [await ada.finished(execution_id, within=60) for execution_id in ids]
    await mortal.kill(worker)

    assert {execution["status"] for execution in ended} == {"succeeded"}
    assert len(provider.journal()) == 60


async def test_sigterm_hands_over_at_once(mortal: Product, provider: FakeModelServer) -> None:
    ada = await mortal.sign_up()
    provider.script({"latency_ms": 1500})
    first = await mortal.start_worker()
    execution_id = await ada.execute(await ada.crew("Writer", "Reviewer"), {"topic": "tides"})
    await ada.until(execution_id, "running")
    async with asyncio.timeout(10):
        while not provider.journal():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)

    second = await mortal.start_worker()
    await first.stop()
    mortal.workers.remove(first)
    assert first.process is not None
    assert first.process.exit_code == 0, "it stopped by itself"
    execution = await ada.finished(execution_id, within=20)
    await mortal.kill(second)

    assert execution["status"] == "succeeded", execution["error"]
    assert execution["attempts"] == 0, "handed over, not lost"


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ({"kind": "rate_limit", "retry_after": "0"}, "429"),
        ({"kind": "error", "status": 500}, "500"),
        ({"kind": "garbage"}, ""),
        ({"kind": "truncate"}, ""),
        ({"kind": "drop"}, ""),
        ({"kind": "close"}, ""),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
async def test_a_misbehaving_provider_is_retried_then_named(
    mortal: Product, provider: FakeModelServer, fault: dict[str, object], word: str
) -> None:
    ada = await mortal.sign_up()
    workflow = await ada.crew("Writer")
    worker = await mortal.start_worker()

    provider.script({"fault": fault, "times": 1})
    healed = await ada.finished(await ada.execute(workflow, {"topic": "heals"}))
    after_one = len(provider.journal())
    provider.script({"fault": fault})
    failed = await ada.finished(await ada.execute(workflow, {"topic": "never heals"}), within=90)
    await mortal.kill(worker)

    assert healed["status"] == "succeeded", healed["error"]
    assert after_one == 2, "the fault happened once, then the call was made again"
    assert failed["status"] == "failed"
    assert len(provider.journal()) > after_one + 1, "it was tried more than once"
    message = failed["error"]["message"]
    assert "Scripted" in message or "openai_compatible" in message or "127.0.0.1" in message, message
    assert word in message, message
