"""Runs by the real worker: what is measured, kept, compared, cancelled; and what becomes of deleted documents."""

import asyncio
import math
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from services.knowledge_base.evaluation import measuring
from services.orchestration.module import SERVICE as ORCHESTRATION
from tests.knowledge.evaluation import RUNS, SETS, ask_for, finished, make_set, results, run, start_run
from tests.knowledge.support import Library, Valve, working
from tests.knowledge.test_kills import LEASE, kill_when, worker_process
from tests.support.platform import Platform

PILOTS = "The harbour pilot is called Marlow. He comes on board by a ladder."
TIDES = "High water at Dover is at noon on Fridays."
BREAD = "Knead the dough for ten minutes and let it rise in a warm place."
MODES = ["vector", "keyword", "hybrid"]


class Shelf:
    """A knowledge base of three documents and a set for it."""

    def __init__(self, base: str, set_id: str, pilots: str, tides: str, bread: str) -> None:
        self.base, self.set_id = base, set_id
        self.pilots, self.tides, self.bread = pilots, tides, bread


@pytest.fixture
async def shelf(library: Library, worker: None) -> Shelf:
    base = await library.base()
    named = (("pilots.txt", PILOTS), ("tides.txt", TIDES), ("bread.txt", BREAD))
    documents = [await library.ready(base, text, name) for name, text in named]
    return Shelf(base, await make_set(library, base), *documents)


def of_mode(detail: dict[str, Any], mode: str) -> dict[str, Any]:
    return next(one for one in detail["metrics"] if one["mode"] == mode)


async def test_a_run_measures_every_question_in_every_mode(library: Library, shelf: Shelf) -> None:
    await ask_for(library, shelf.set_id, "Who guides ships into the harbour as a pilot?", shelf.pilots)
    await ask_for(library, shelf.set_id, "How long is dough kneaded?", shelf.bread)
    # What nobody would find: the tides by a question about dough.
    await ask_for(library, shelf.set_id, "For how many minutes do I knead the dough?", shelf.tides, grade=2)
    started = await start_run(library, shelf.set_id, modes=MODES, top_k=1)
    assert (started["status"], started["metrics"]) == ("queued", [])
    done = await finished(library, started["id"])

    assert (done["status"], done["total"], done["measured"], done["compared"]) == ("succeeded", 9, 9, None)
    assert [one["mode"] for one in done["metrics"]] == MODES
    for mode in MODES:
        rows = await results(library, done["id"], mode=mode)
        assert [row["outcome"] for row in rows[:2]] == ["perfect", "perfect"]
        astray = rows[2]
        rank = next((f["rank"] for f in astray["found"] if f["document_id"] == shelf.tides), None)
        assert (astray["rank"], rank is None or rank > 1) == (rank, True)
        assert astray["outcome"] == ("missed" if rank is None else "partial")
        gain = 0 if rank is None else 1 / math.log2(rank + 1)
        assert astray["ndcg_10"] == pytest.approx(gain)
        figures = of_mode(done, mode)
        assert (figures["questions"], figures["failed"], figures["unanswerable"]) == (3, 0, 0)
        assert figures["ndcg_10"] == pytest.approx((2 + gain) / 3)
        assert figures["recall"] == pytest.approx(2 / 3)
        assert figures["mrr"] == pytest.approx((2 + (1 / rank if rank else 0)) / 3)
        assert 0 <= figures["latency_p50_ms"] <= figures["latency_p95_ms"] < 10_000
        assert isinstance(figures["latency_p50_ms"], int)
    best = (await results(library, done["id"], mode="hybrid"))[0]["found"][0]
    assert best | {"chunk_id": "", "score": 0} == {
        "rank": 1,
        "document_id": shelf.pilots,
        "name": "pilots.txt",
        "chunk_id": "",
        "page": None,
        "score": 0,
        "grade": 1,
        "deleted": False,
    }


async def test_results_are_paged_and_filtered(library: Library, shelf: Shelf) -> None:
    good = await ask_for(library, shelf.set_id, "harbour pilot Marlow", shelf.pilots)
    bad = await ask_for(library, shelf.set_id, "dough", shelf.tides)
    done = await run(library, shelf.set_id, modes=["keyword"])

    assert [row["question_id"] for row in await results(library, done["id"], outcome="perfect")] == [good["id"]]
    assert [row["question_id"] for row in await results(library, done["id"], outcome="missed")] == [bad["id"]]
    assert await results(library, done["id"], outcome="failed") == []
    assert [row["question_id"] for row in await results(library, done["id"], q="MARLOW")] == [good["id"]]
    first = (await library.http.get(f"{RUNS}/{done['id']}/results", params={"limit": 1})).json()
    rest = await results(library, done["id"], limit=1, cursor=first["next_cursor"])
    assert [row["question_id"] for row in (*first["items"], *rest)] == [good["id"], bad["id"]]


async def test_a_run_is_compared_with_the_one_before(library: Library, shelf: Shelf) -> None:
    question = await ask_for(library, shelf.set_id, "knead the dough", shelf.tides)
    await ask_for(library, shelf.set_id, "harbour pilot", shelf.pilots)
    first = await run(library, shelf.set_id, modes=["keyword"])
    body = {"text": "knead the dough", "expected": [{"document_id": shelf.bread}]}
    assert (await library.http.put(f"{SETS}/{shelf.set_id}/questions/{question['id']}", json=body)).status_code == 200
    second = await run(library, shelf.set_id, modes=["keyword", "vector"])

    assert first["compared"] is None
    compared = second["compared"]
    [change] = compared["modes"]
    assert (compared["run_id"], change["mode"]) == (first["id"], "keyword")
    assert (change["questions"], change["better"], change["worse"]) == (2, 1, 0)
    assert change["ndcg_10"] == change["recall"] == change["mrr"] == pytest.approx(0.5)
    [better] = compared["questions"]
    assert better == {
        "question_id": question["id"],
        "question": "knead the dough",
        "mode": "keyword",
        "ndcg_10": 1.0,
        "ndcg_10_before": 0.0,
        "rank": 1,
        "rank_before": None,
    }
    backwards = await finished(library, first["id"], compare_to=second["id"])
    assert [(one["better"], one["worse"]) for one in backwards["compared"]["modes"]] == [(0, 1)]
    listed = (await library.http.get(f"{SETS}/{shelf.set_id}/runs")).json()["items"]
    assert [one["id"] for one in listed] == [second["id"], first["id"]]


async def test_runs_of_other_sets_are_not_compared(library: Library, shelf: Shelf) -> None:
    await ask_for(library, shelf.set_id, "pilot", shelf.pilots)
    other_set = await make_set(library, shelf.base, name="Other")
    await ask_for(library, other_set, "pilot", shelf.pilots)
    one = await run(library, shelf.set_id, modes=["keyword"])
    two = await run(library, other_set, modes=["keyword"])

    answer = await library.http.get(f"{RUNS}/{one['id']}", params={"compare_to": two["id"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "evaluation_run_not_comparable")
    assert two["compared"] is None


async def test_reprocessing_changes_nothing_and_deletion_is_told(library: Library, shelf: Shelf) -> None:
    await ask_for(library, shelf.set_id, "harbour pilot", shelf.pilots)
    await ask_for(library, shelf.set_id, "high water at Dover", shelf.tides, shelf.bread)
    assert (await library.http.post(f"/api/v1/documents/{shelf.pilots}/reprocess", json={})).status_code == 202
    await library.processed(shelf.pilots)
    first = await run(library, shelf.set_id, modes=["vector"])
    assert [row["rank"] for row in await results(library, first["id"])] == [1, 1]

    for document in (shelf.pilots, shelf.bread):
        assert (await library.http.delete(f"/api/v1/documents/{document}")).status_code == 204
    second = await run(library, shelf.set_id, modes=["vector"])
    figures = of_mode(second, "vector")
    # One question cannot be answered any more; of the other what is left of its documents is found.
    assert (figures["questions"], figures["unanswerable"], figures["recall"]) == (1, 1, 1)
    lost, left = await results(library, second["id"])
    assert (lost["outcome"], lost["error"]["code"]) == ("failed", "expected_documents_deleted")
    assert [one["deleted"] for one in left["expected"]] == [False, True]
    assert second["compared"]["modes"][0]["questions"] == 1


async def test_only_approved_questions_are_asked_and_those_of_the_beginning(library: Library, shelf: Shelf) -> None:
    await ask_for(library, shelf.set_id, "harbour pilot", shelf.pilots)
    rejected = await ask_for(library, shelf.set_id, "dough", shelf.bread)
    await library.http.post(f"{SETS}/{shelf.set_id}/questions/reject", json={"ids": [rejected["id"]]})
    done = await run(library, shelf.set_id, modes=["keyword"])

    assert done["total"] == 1


async def test_a_run_is_started_once_per_key(library: Library, shelf: Shelf) -> None:
    await ask_for(library, shelf.set_id, "harbour pilot", shelf.pilots)

    async def start(**body: Any) -> httpx.Response:
        headers = {"Idempotency-Key": "once"}
        return await library.http.post(f"{SETS}/{shelf.set_id}/runs", json=body, headers=headers)

    answers = await asyncio.gather(*(start(modes=["keyword"]) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len((await library.http.get(f"{SETS}/{shelf.set_id}/runs")).json()["items"]) == 1
    assert (await start(modes=["vector"])).status_code == 409


class Held:
    """The search from the `after`th question on, until it may go on."""

    def __init__(self, after: int = 0) -> None:
        self.began, self.go_on = asyncio.Event(), asyncio.Event()
        self.left = after
        self.asked: list[str] = []
        self._find = measuring.Finder.find

    async def find(self, finder: measuring.Finder, question: str, mode: Any, count: int) -> Any:
        self.asked.append(question)
        self.left -= 1
        if self.left < 0:
            self.began.set()
            await self.go_on.wait()
        return await self._find(finder, question, mode, count)

    def put(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def find(finder: measuring.Finder, question: str, mode: Any, count: int) -> Any:
            return await self.find(finder, question, mode, count)

        monkeypatch.setattr(measuring.Finder, "find", find)


async def test_a_cancelled_run_stops_and_keeps_what_it_measured(
    library: Library, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "_AT_ONCE", 1)
    for n in range(3):
        await ask_for(library, shelf.set_id, f"harbour pilot {n}", shelf.pilots)
    held = Held(after=3)  # the first question is asked twice
    held.put(monkeypatch)
    started = await start_run(library, shelf.set_id, modes=["keyword"])
    await held.began.wait()
    orchestration = await library.platform.client(ORCHESTRATION, library.account)
    cancelled = await orchestration.post(f"/api/v1/executions/{started['execution_id']}/cancel")
    assert cancelled.status_code in (200, 202), cancelled.text
    done = await finished(library, started["id"])
    held.go_on.set()
    await library.settled()

    assert (done["status"], done["measured"], done["total"], done["metrics"]) == ("cancelled", 2, 3, [])
    assert len(held.asked) == 4
    assert [row["outcome"] for row in await results(library, started["id"])] == ["perfect", "perfect", "open"]


async def test_a_set_may_be_deleted_under_a_run(
    library: Library, platform: Platform, embeddings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "_AT_ONCE", 1)
    held = Held()
    base = await library.base()
    async with working(platform.resources):
        document = await library.ready(base, PILOTS)
        set_id = await make_set(library, base)
        for n in range(3):
            await ask_for(library, set_id, f"harbour pilot {n}", document)
        held.put(monkeypatch)
        started = await start_run(library, set_id, modes=["keyword"])
        await held.began.wait()
        assert (await library.http.delete(f"{SETS}/{set_id}")).status_code == 204
        held.go_on.set()
        await library.settled()
        [row] = await library.sql("SELECT status, output FROM executions WHERE kind = 'evaluation'")
        assert (row.status, row.output) == ("succeeded", {"gone": True})
        assert (await library.http.get(f"{RUNS}/{started['id']}")).status_code == 404
        assert (await library.sql("SELECT count(*) FROM evaluation_results"))[0][0] == 0


async def test_another_worker_goes_on_where_one_was_killed(
    library: Library,
    platform: Platform,
    chroma: Valve,
    embeddings: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was measured stays as it is, and only what was not is asked."""
    base = await library.base()
    async with working(platform.resources, LEASE):
        document = await library.ready(base, PILOTS)
    set_id = await make_set(library, base)
    for n in range(30):
        await ask_for(library, set_id, f"harbour pilot {n}", document)
    started = await start_run(library, set_id, modes=["vector", "hybrid", "keyword"])
    measured = "SELECT ordinal, measured_at FROM evaluation_results WHERE measured_at IS NOT NULL"

    async def half_done() -> bool:
        return 0 < len(await library.sql(measured)) < 90

    async with worker_process(library, chroma, tmp_path / "log") as process:
        await kill_when(process, half_done)
    before = {row.ordinal: row.measured_at for row in await library.sql(measured)}
    assert 0 < len(before) < 90

    held = Held(after=1000)
    held.put(monkeypatch)
    async with working(platform.resources, LEASE):
        done = await finished(library, started["id"])
    assert (done["status"], done["measured"], done["total"]) == ("succeeded", 90, 90)
    after = {row.ordinal: row.measured_at for row in await library.sql(measured)}
    assert before.items() <= after.items()
    # The first search in each mode loads what it needs and is not measured.
    assert len(held.asked) == 90 - len(before) + 3
    assert {one["questions"] for one in done["metrics"]} == {30}


async def test_executions_of_this_kind_are_listed(library: Library, shelf: Shelf) -> None:
    await ask_for(library, shelf.set_id, "harbour pilot", shelf.pilots)
    done = await run(library, shelf.set_id, modes=["keyword"])

    [row] = await library.sql("SELECT id, name, lane FROM executions WHERE kind = 'evaluation'")
    assert (row.id, row.name, row.lane) == (UUID(done["execution_id"]), "Evaluate Questions", "ingestion")
