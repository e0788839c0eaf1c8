"""What policies no longer keep is removed, from what has ended alone, and whoever reads it can tell."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from services.execution_monitoring.module import SERVICE as MONITORING
from services.orchestration.adapters.ledger.connections import AWAY, Connections
from services.orchestration.worker.pruning import Pruner
from shared.database.session import Scope
from shared.events.stream import stream
from shared.executions.retention import JournalPruned, Pruned, require_journal
from shared.kit.json import JsonObject
from tests.retention.conftest import History
from tests.support.platform import Account, Platform

Prune = Callable[[], Awaitable[None]]

WHOLE = [
    "execution.status",
    "message.delta",
    "log",
    "log",
    "reasoning.delta",
    "step.finished",
    "execution.status",
    "done",
]
WITHOUT_DELTAS = ["execution.status", "log", "step.finished", "execution.status", "done"]


async def streamed(platform: Platform, account: Account, execution: UUID, after: int = 0) -> list[JsonObject]:
    resources = platform.resources
    events: list[JsonObject] = []
    async with asyncio.timeout(10):
        async for lines in stream(resources.database, resources.hub, Scope(account.tenant_id), execution, after):
            events += lines
    return events


async def test_streamed_text_goes_first(history: History, prune: Prune) -> None:
    """By the defaults, after a week."""
    young, old = await history.ended(days=6), await history.ended(days=8)
    await prune()
    assert await history.stream(young) == WHOLE
    assert await history.stream(old) == WITHOUT_DELTAS
    assert (await history.row(young)).pruned is None
    assert (await history.row(old)).pruned == ["deltas"]


async def test_of_an_old_stream_its_end_is_left(history: History, prune: Prune) -> None:
    await history.put(event_days=30)
    old = await history.ended(days=31)
    await prune()
    assert await history.stream(old) == ["done"]
    assert (await history.row(old)).pruned == ["deltas", "events"]
    assert (await history.row(old)).output == {"text": "Long."}


async def test_calls_keep_their_numbers(history: History, prune: Prune) -> None:
    await history.put(call_days=30)
    old = await history.ended(days=31)
    await prune()
    (call,) = await history.view.calls(old)
    assert (call["request"], call["response"], call["input_tokens"]) == (None, None, 7)
    assert await history.stream(old) == WHOLE
    (step,) = await history.view.steps(old)
    assert step["output"] == {"text": "Long."}


async def test_outputs_go_with_the_stream_that_repeats_them(history: History, prune: Prune) -> None:
    await history.put(output_days=30)
    old = await history.ended(days=31)
    await prune()
    (step,) = await history.view.steps(old)
    assert (step["input"], step["output"], step["status"]) == (None, None, "succeeded")
    assert await history.stream(old) == ["done"]
    assert (await history.row(old)).pruned == ["deltas", "events", "outputs"]


async def test_whole_executions_go_with_what_is_below_them(history: History, prune: Prune) -> None:
    await history.put(execution_days=30)
    root = await history.ended(days=31)
    child = await history.ended(days=31, parent_id=root, root_id=root, depth=1)
    retried = await history.ended(days=1, origin_id=root, origin="retry")
    busy = await history.ended(days=31)
    running = await history.seeder.execution(parent_id=busy, root_id=busy, depth=1, status="running")
    await prune()
    left = await history.view.connection.fetch(
        "SELECT id FROM executions WHERE tenant_id = $1", history.account.tenant_id
    )
    assert {row["id"] for row in left} == {retried, busy, running}
    assert (await history.row(retried)).origin_id is None
    for table in ("task_executions", "calls", "execution_events"):
        count = await history.view.connection.fetchval(
            f"SELECT count(*) FROM {table} WHERE execution_id = ANY ($1)", [root, child]
        )
        assert count == 0, table


async def test_what_has_not_ended_loses_nothing(history: History, prune: Prune) -> None:
    await history.put(delta_days=1, event_days=1, call_days=1, output_days=1, execution_days=1)
    open_ones: list[UUID] = []
    for status in ("queued", "running", "waiting", "paused"):
        execution = await history.ended(days=100)
        await history.view.run("UPDATE executions SET status = $2, finished_at = NULL WHERE id = $1", execution, status)
        open_ones.append(execution)
    await prune()
    for execution in open_ones:
        assert await history.stream(execution) == WHOLE
        assert (await history.row(execution)).pruned is None
    await history.view.run("UPDATE executions SET status = 'cancelled' WHERE id = ANY ($1)", open_ones)


async def test_each_tenant_has_its_own_policy(history: History, platform: Platform, bob: Account, prune: Prune) -> None:
    await history.put()  # Ada keeps everything, Bob set nothing
    other = History(platform, bob, history.view)
    mine, his = await history.ended(days=50), await other.ended(days=50)
    await prune()
    assert await history.stream(mine) == WHOLE
    assert await other.stream(his) == WITHOUT_DELTAS


async def test_a_policy_that_keeps_less_reaches_back(history: History, prune: Prune) -> None:
    old, older = await history.ended(days=5), await history.ended(days=20)
    await prune()
    assert (await history.stream(old), await history.stream(older)) == (WHOLE, WITHOUT_DELTAS)
    await history.put(delta_days=2, event_days=10)
    await prune()
    assert (await history.stream(old), await history.stream(older)) == (WITHOUT_DELTAS, ["done"])


async def test_any_number_may_prune_at_once_and_be_cut_off(
    history: History, connections: Connections, prune: Prune
) -> None:
    """Three at once, and each time the one that is at work is killed in the middle of it."""
    await history.put(delta_days=1, call_days=1)
    executions = [await history.ended(days=2 + n / 100) for n in range(120)]
    await history.view.run(
        "INSERT INTO pruning (tenant_id, due_at) SELECT id, now() FROM tenants ON CONFLICT DO NOTHING"
    )
    for execution in (executions[-1], executions[-20]):
        async with history.view.connection.transaction():
            await history.view.run("SELECT 1 FROM executions WHERE id = $1 FOR UPDATE", execution)
            running = [asyncio.ensure_future(Pruner(connections).prune_all()) for _ in range(3)]
            assert await _kill_while(running, history) > 0
        assert any(isinstance(each.exception(), AWAY) for each in running)
        await history.view.run("UPDATE pruning SET due_at = now()")
    await prune()
    for execution in executions:
        assert await history.stream(execution) == WITHOUT_DELTAS
        (call,) = await history.view.calls(execution)
        assert (call["request"], call["response"]) == (None, None)
        assert (await history.row(execution)).pruned == ["calls", "deltas"]


async def _kill_while(running: list[asyncio.Future[None]], history: History) -> int:
    """Kills whoever waits for a lock in the middle of pruning, until all are done; how many that were."""
    kill = """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE query LIKE 'SELECT * FROM ledger_prune%' AND wait_event_type = 'Lock'
    """
    killed = 0
    async with asyncio.timeout(30):
        while not all(each.done() for each in running):
            killed += len(await history.view.connection.fetch(kill))
            await asyncio.wait(running, timeout=0.01)
            await history.view.run("SELECT pg_stat_clear_snapshot()")
    return killed


# --- what readers see ------------------------------------------------------------------------------------------


async def test_the_stream_says_first_that_something_is_gone(history: History, platform: Platform, prune: Prune) -> None:
    old = await history.ended(days=8)
    whole = await streamed(platform, history.account, old)
    assert [event["seq"] for event in whole] == list(range(1, 9))
    await prune()
    notice, *left = await streamed(platform, history.account, old)
    assert (notice["seq"], notice["type"]) == (0, "pruned")
    assert notice["data"] == {"pruned": ["deltas"], "before": 8}
    assert [event["seq"] for event in left] == [1, 4, 6, 7, 8]
    assert left == [event for event in whole if event["seq"] in (1, 4, 6, 7, 8)]
    # Taken up in the middle it says so again, under the reader's own seq, and at the end there is nothing to say.
    again = await streamed(platform, history.account, old, after=4)
    assert [(event["seq"], event["type"]) for event in again][:2] == [(4, "pruned"), (6, "step.finished")]
    assert await streamed(platform, history.account, old, after=8) == []


async def test_a_stream_of_which_only_the_end_is_left_ends(history: History, platform: Platform, prune: Prune) -> None:
    await history.put(event_days=1)
    old = await history.ended(days=2)
    await prune()
    notice, done = await streamed(platform, history.account, old)
    assert notice["data"] == {"pruned": ["deltas", "events"], "before": 8}
    assert (done["seq"], done["type"]) == (8, "done")


async def test_history_says_what_is_gone(history: History, platform: Platform, prune: Prune) -> None:
    old, young = await history.ended(days=8), await history.ended(days=1)
    await prune()
    client = await platform.client(MONITORING, history.account)
    listed = {item["id"]: item["pruned"] for item in (await client.get("/api/v1/executions")).json()["items"]}
    assert listed == {str(old): ["deltas"], str(young): []}
    assert (await history.detail(old))["events_pruned_before"] == 8
    assert (await history.detail(young))["events_pruned_before"] is None


@pytest.mark.parametrize(("part", "refused"), [("delta", False), ("event", False), ("call", True), ("output", True)])
async def test_what_has_no_journal_any_more_is_not_run_from_it(
    history: History, prune: Prune, part: str, refused: bool
) -> None:
    await history.put(**{f"{part}_days": 1})
    old = await history.ended(days=2)
    await prune()
    row = await history.row(old)
    assert Pruned(f"{part}s") in (row.pruned or [])
    if refused:
        with pytest.raises(JournalPruned):
            require_journal(row)
    else:
        require_journal(row)
