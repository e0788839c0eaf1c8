"""What a job asks of models: on record and paid once, whenever its worker dies."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from services.orchestration.engine.job_calls import KEPT
from services.orchestration.engine.jobs import JobSteps
from services.orchestration.engine.ports import CallFailed, CallKind, CallRecord, Embeddings, Usage
from services.orchestration.engine.runner import Outcome
from tests.engine.fakes import MODEL, Crash, FakeModels, MemoryLedger, World, ask
from tests.engine.test_budget import FakeBudgets

COUNT = 5


@dataclass
class Embedding(FakeModels):
    """Vectors that say what their text was; `embedded` counts what was paid."""

    embedded: Counter[str] = field(default_factory=Counter[str])
    fails: int = 0

    async def embed(self, tenant_id: UUID, model_id: UUID, texts: Sequence[str]) -> Embeddings:
        if self.fails:
            self.fails -= 1
            raise CallFailed("not now", code="provider_unavailable", source="fake", retryable=True)
        self.embedded.update(texts)
        return Embeddings([[float(ord(text[0])), 0.5] for text in texts], Usage(len(texts), 0, Decimal("0.01")))


@dataclass
class Indexing:
    """Embeds a text at a time and keeps what it gets, as a database would."""

    kept: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    async def __call__(self, steps: JobSteps) -> Any:
        await steps.step("embed", lambda: self._embed(steps))
        return await steps.step("summary", lambda: self._summary(steps))

    async def _embed(self, steps: JobSteps) -> Any:
        for text in [f"{letter}-text" for letter in "abcde"]:
            if text not in self.kept:
                [vector] = await steps.embed(MODEL, [text])
                await asyncio.sleep(0)  # where a worker may die, too
                self.kept[text] = vector
        return len(self.kept)

    async def _summary(self, steps: JobSteps) -> Any:
        return [(await steps.complete(ask(question))).text for question in ("one", "two", "one")]


def job(handler: Any, **parts: Any) -> tuple[World, MemoryLedger, Embedding]:
    models = Embedding()
    return World(models=models, jobs={"ingestion": handler}, **parts), MemoryLedger({}, {}, kind="ingestion"), models


def calls_of(ledger: MemoryLedger, kind: CallKind) -> list[CallRecord]:
    return [call for call in ledger.calls.values() if call.kind is kind]


async def test_calls_are_on_record_with_what_they_cost() -> None:
    handler = Indexing()
    world, ledger, models = job(handler)
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert ledger.ended is not None
    assert ledger.ended.output == ["re: one", "re: two", "re: one"]
    assert handler.kept["c-text"] == [99.0, 0.5]
    embeddings = calls_of(ledger, CallKind.EMBEDDING)
    assert [(call.name, call.model_id, call.input_tokens, call.cost) for call in embeddings] == [
        ("fake-model", MODEL, 1, Decimal("0.01"))
    ] * COUNT
    assert {call.request["texts"] for call in embeddings} == {1}  # type: ignore[index, call-overload]
    assert all(set(call.request) == {"model_id", "texts", "hash"} for call in embeddings)  # type: ignore[arg-type]
    assert [call.response for call in embeddings] == [{"dimensions": 2, "count": 1}] * COUNT, "kept elsewhere by then"
    assert models.made == ["one", "two", "one"], "asked twice, answered twice"
    assert [e.data["input_tokens"] for e in ledger.events if e.type == "usage"] == [1] * COUNT + [10] * 3


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("write", range(14))
async def test_a_killed_job_pays_nothing_that_is_on_record_again(write: int, after: bool) -> None:
    handler = Indexing()
    world, ledger, models = job(handler)
    ledger.crash_at, ledger.crash_after_write = write, after
    try:
        await world.run(ledger)
    except Crash:
        pass
    else:
        assert len(ledger.batches) <= write, "the crash came"
        return
    on_record, paid = len(ledger.calls), sum(models.embedded.values()) + len(models.made)
    ledger.crash_at = None
    if ledger.ended is None:
        assert await world.run(ledger) is Outcome.SUCCEEDED
    assert len(handler.kept) == COUNT
    in_all = sum(models.embedded.values()) + len(models.made)
    assert in_all - paid == COUNT + 3 - on_record
    assert in_all <= COUNT + 3 + 1, "the one under way, at most"
    assert len(ledger.calls) == COUNT + 3, "and all that was used is on record"


async def test_a_worker_that_dies_before_it_kept_the_vectors_finds_them_on_record() -> None:
    class Forgetful(Indexing):
        died = False

        async def _embed(self, steps: JobSteps) -> Any:
            vectors = await steps.embed(MODEL, ["x"])
            if not self.died:
                self.died = True
                await asyncio.sleep(0.05)  # the record is written meanwhile
                ledger.superseded = True
                await asyncio.sleep(10)
            self.kept["x"] = vectors[0]
            return None

    handler = Forgetful()
    world, ledger, models = job(handler)
    running = asyncio.create_task(world.run(ledger))
    await asyncio.sleep(0.15)
    running.cancel()
    await asyncio.wait([running])
    [call] = calls_of(ledger, CallKind.EMBEDDING)
    assert "vectors" in call.response  # type: ignore[operator]
    ledger.superseded = False
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert handler.kept == {"x": [120.0, 0.5]}
    assert models.embedded == {"x": 1}, "paid once"


async def test_vectors_that_were_let_go_of_are_paid_anew_and_on_record_anew() -> None:
    async def handler(steps: JobSteps) -> Any:
        async def run() -> Any:
            for number in range(KEPT + 3):
                await steps.embed(MODEL, [f"{number}"])
            kept = sum("vectors" in call.response for call in live())
            return [kept, await steps.embed(MODEL, ["0"])]

        return await steps.step("embed", run)

    def live() -> list[Any]:
        return calls_of(ledger, CallKind.EMBEDDING)

    world, ledger, models = job(handler)
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert ledger.ended is not None
    kept, vectors = ledger.ended.output  # type: ignore[misc]
    assert kept <= KEPT + 1
    assert vectors == [[48.0, 0.5]]
    assert models.embedded["0"] == 2
    assert len(live()) == KEPT + 4


async def test_many_texts_are_calls_of_their_own() -> None:
    async def handler(steps: JobSteps) -> Any:
        async def run() -> Any:
            return len(await steps.embed(MODEL, [f"{number}" for number in range(150)]))

        return await steps.step("embed", run)

    world, ledger, _ = job(handler)
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert ledger.ended is not None
    assert ledger.ended.output == 150
    assert [call.input_tokens for call in calls_of(ledger, CallKind.EMBEDDING)] == [64, 64, 22]


@pytest.mark.parametrize("asks_a_person", [False, True])
async def test_a_call_that_no_budget_has_room_for_fails_the_job(asks_a_person: bool) -> None:
    handler = Indexing()
    budgets = FakeBudgets(3, asks_a_person=asks_a_person)
    world, ledger, models = job(handler, budgets=budgets)
    assert await world.run(ledger) is Outcome.FAILED
    assert ledger.ended is not None
    assert ledger.ended.error is not None
    assert ledger.ended.error["code"] == "budget_exceeded"
    assert sum(models.embedded.values()) == 3
    assert not ledger.wait_rows, "a job waits for nobody"
    assert budgets.settled == [call.id for call in ledger.calls.values()]
    assert {charge.model_id for charge in budgets.charges} == {MODEL}


async def test_a_call_that_failed_is_named_so_that_a_retry_makes_that_one_again() -> None:
    handler = Indexing()
    world, ledger, models = job(handler)
    models.fails = 1
    assert await world.run(ledger) is Outcome.FAILED
    [call] = ledger.calls.values()
    error = ledger.steps["embed", ""].error
    assert error is not None
    assert (error["code"], error["call"]) == ("provider_unavailable", call.key)


async def test_models_are_asked_within_steps_alone() -> None:
    async def handler(steps: JobSteps) -> Any:
        return await steps.embed(MODEL, ["x"])

    world, ledger, models = job(handler)
    assert await world.run(ledger) is Outcome.FAILED
    assert not models.embedded
