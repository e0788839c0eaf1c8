import asyncio
import math
from decimal import Decimal
from uuid import UUID

import asyncpg
import pytest

from services.orchestration.adapters.ledger.encoding import encode
from services.orchestration.engine.ports import (
    CallStatus,
    EventRecord,
    ExecutionStatus,
    LedgerBatch,
    StepRef,
    StepStatus,
    Superseded,
    Transition,
)
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from tests.executions.lab import Lab, call, event, step
from tests.executions.support import LedgerView, queue
from tests.support.platform import Account, Platform


async def test_a_batch_becomes_true_together(platform: Platform, lab: Lab, ada: Account, view: LedgerView) -> None:
    row = await queue(platform, ada)
    worker = await lab.worker()
    _, ledger = await worker.take_one()
    writing = step()
    asked = call(writing, input_tokens=10, output_tokens=5, cost=Decimal("0.000125"), model_id=new_id())
    line = EventRecord("tool.call", utcnow(), {"name": "search"}, StepRef("write", "", 2))

    await ledger.write(LedgerBatch(steps=[writing], calls=[asked], events=[event("one"), line]))

    (stored_step,) = await view.steps(row.id)
    assert {name: stored_step[name] for name in ("id", "node", "status", "input", "output", "started_at")} == {
        "id": writing.id,
        "node": "write",
        "status": "running",
        "input": {"topic": "rivers"},
        "output": None,
        "started_at": writing.started_at,
    }
    (stored_call,) = await view.calls(row.id)
    assert (stored_call["step_id"], stored_call["key"], stored_call["effect"]) == (writing.id, "1//llm/1", "read")
    assert (stored_call["response"], stored_call["model_id"]) == ({"text": "Yes."}, asked.model_id)
    stored = await view.execution(row.id)
    assert (stored["input_tokens"], stored["output_tokens"], stored["call_count"]) == (10, 5, 1)
    assert stored["cost"] == Decimal("0.000125")
    assert stored["status"] == "running"
    first, second = (await view.events(row.id))[1:]
    assert (first["type"], first["node"], first["data"]) == ("log", None, {"message": "one"})
    assert (second["node"], second["path"], second["attempt"], second["at"]) == ("write", "", 2, line.at)


async def test_what_is_written_is_told_with_its_seq(platform: Platform, lab: Lab, ada: Account) -> None:
    row = await queue(platform, ada)
    worker = await lab.worker()
    _, ledger = await worker.take_one()
    at = utcnow()

    await ledger.write(LedgerBatch(events=[event("one"), EventRecord("log", at, {"n": 2}, StepRef("a", "", 1))]))
    await ledger.write(LedgerBatch(steps=[step()]))
    await ledger.write(LedgerBatch(events=[event("three")]))

    assert [[line["seq"] for line in lines] for _, lines in worker.published] == [[2, 3], [4]]
    assert {id_ for id_, _ in worker.published} == {row.id}
    assert worker.published[0][1][1] == {
        "seq": 3,
        "type": "log",
        "at": at.isoformat(),
        "step": {"node": "a", "path": "", "attempt": 1},
        "data": {"n": 2},
    }


async def test_a_step_and_a_call_are_written_over_by_what_became_of_them(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    row = await queue(platform, ada)
    worker = await lab.worker()
    _, ledger = await worker.take_one()
    writing = step()
    asked = call(writing, status=CallStatus.FAILED, response=None, error={"code": "rate_limit"}, input_tokens=7)
    await ledger.write(LedgerBatch(steps=[writing], calls=[asked]))

    writing.status, writing.output, writing.attempt, writing.finished_at = StepStatus.SUCCEEDED, "done", 2, utcnow()
    asked.status, asked.response, asked.error = CallStatus.SUCCEEDED, {"text": "Yes."}, None
    asked.tries, asked.input_tokens, asked.cost = 2, 20, Decimal("0.5")
    await ledger.write(LedgerBatch(steps=[writing], calls=[asked]))

    (stored_step,) = await view.steps(row.id)
    assert (stored_step["status"], stored_step["output"], stored_step["attempt"]) == ("succeeded", "done", 2)
    (stored_call,) = await view.calls(row.id)
    assert (stored_call["status"], stored_call["tries"], stored_call["error"]) == ("succeeded", 2, None)
    totals = await view.execution(row.id)
    assert (totals["input_tokens"], totals["cost"], totals["call_count"]) == (20, Decimal("0.5"), 1)


@pytest.mark.parametrize("status", [ExecutionStatus.SUCCEEDED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED])
async def test_an_end_releases_the_execution_and_is_the_only_one(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView, status: ExecutionStatus
) -> None:
    row = await queue(platform, ada)
    worker = await lab.worker()
    _, ledger = await worker.take_one()

    end = LedgerBatch(events=[event(type_="done")], transition=Transition(status, {"a": 1}, {"code": "x"}))
    await ledger.write(end)

    stored = await view.execution(row.id)
    assert (stored["status"], stored["output"], stored["error"]) == (status.value, {"a": 1}, {"code": "x"})
    assert stored["finished_at"] is not None
    assert stored["lease_until"] is None
    with pytest.raises(Superseded):
        await ledger.write(end)
    assert [line["type"] for line in await view.events(row.id)] == ["execution.status", "done"]


async def test_a_handed_over_execution_goes_on_elsewhere_with_all_that_was_recorded(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    row = await queue(platform, ada)
    first = await lab.worker("first")
    _, ledger = await first.take_one()
    writing = step(output={"a": [1, None, "ö"]})
    asked = call(writing, agent_id=new_id(), cost=Decimal("0.1"), tries=3)
    await ledger.write(LedgerBatch(steps=[writing], calls=[asked], transition=Transition(ExecutionStatus.QUEUED)))

    second = await lab.worker("second")
    claim, resumed = await second.take_one()
    state = await resumed.load()

    assert (claim.epoch, state.attempts) == (2, 0)
    assert state.steps == [writing]
    assert state.calls == [asked]
    assert state.calls[0].kind is asked.kind
    stored = await view.execution(row.id)
    assert (stored["worker"], stored["finished_at"]) == ("second", None)


async def test_a_superseded_workers_write_changes_nothing(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    """R4."""
    row = await queue(platform, ada)
    stale, fresh = await lab.worker("stale"), await lab.worker("fresh")
    _, old = await stale.take_one()
    writing = step()
    await old.write(LedgerBatch(steps=[writing], events=[event("mine")]))
    await view.run("UPDATE executions SET lease_until = now() - interval '1 s' WHERE id = $1", row.id)
    await fresh.claims.reap()
    _, new = await fresh.take_one()
    before = await view.execution(row.id), await view.steps(row.id), await view.events(row.id)

    writing.status = StepStatus.FAILED
    for batch in (
        LedgerBatch(steps=[writing], calls=[call(writing)], events=[event("stale")]),
        LedgerBatch(events=[event("stale")], transition=Transition(ExecutionStatus.SUCCEEDED, "stale")),
        LedgerBatch(transition=Transition(ExecutionStatus.QUEUED)),
    ):
        with pytest.raises(Superseded):
            await old.write(batch)

    assert before == (await view.execution(row.id), await view.steps(row.id), await view.events(row.id))
    assert await view.calls(row.id) == []
    assert stale.rejected == 3
    assert len(stale.published) == 1, "nothing stale was told to anybody"
    await new.write(LedgerBatch(events=[event("fresh")]))


async def test_writes_that_wait_together_share_a_transaction_and_hurt_no_neighbour(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    rows = [await queue(platform, ada) for _ in range(12)]
    worker = await lab.worker()
    ledgers = {claim.id: worker.ledger(claim) for claim in await worker.take()}
    superseded, refused = rows[3].id, rows[5].id
    await view.run("UPDATE executions SET epoch = epoch + 1 WHERE id = $1", superseded)
    twin = step()
    await ledgers[rows[0].id].write(LedgerBatch(steps=[twin]))

    def batch(execution_id: UUID) -> LedgerBatch:
        # Two steps of one node and path: the database refuses the second.
        steps = [step("same"), step("same")] if execution_id == refused else [step("own")]
        return LedgerBatch(steps=steps, events=[event(str(execution_id))])

    outcomes = await asyncio.gather(*(each.write(batch(id_)) for id_, each in ledgers.items()), return_exceptions=True)

    by_id = dict(zip(ledgers, outcomes, strict=True))
    assert isinstance(by_id.pop(superseded), Superseded)
    assert isinstance(by_id.pop(refused), asyncpg.UniqueViolationError)
    assert set(by_id.values()) == {None}
    for row in rows:
        written = row.id in by_id
        assert [line["data"].get("message") for line in (await view.events(row.id))[1:]] == [str(row.id)] * written
        assert [each["node"] for each in await view.steps(row.id)][-1:] == ["own"] * written


async def test_group_commit_costs_few_transactions(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    for _ in range(50):
        await queue(platform, ada)
    worker = await lab.worker()
    ledgers = [worker.ledger(claim) for claim in await worker.take()]
    marks: set[int] = set()

    await asyncio.gather(*(ledger.write(LedgerBatch(events=[event()])) for ledger in ledgers))

    for row in await view.connection.fetch(
        "SELECT DISTINCT v.xmin::text AS x FROM execution_events v JOIN executions e ON e.id = v.execution_id"
        " WHERE e.tenant_id = $1 AND v.type = 'log'",
        ada.tenant_id,
    ):
        marks.add(int(row["x"]))
    assert len(ledgers) == 50
    assert len(marks) <= 3, "the first alone, the others as one"


async def test_many_writes_of_one_execution_keep_their_order(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    row = await queue(platform, ada)
    worker = await lab.worker()
    _, ledger = await worker.take_one()

    await asyncio.gather(*(ledger.write(LedgerBatch(events=[event(str(n))])) for n in range(30)))

    assert [line["data"]["message"] for line in (await view.events(row.id))[1:]] == [str(n) for n in range(30)]


async def test_a_write_whose_answer_was_lost_is_not_applied_twice(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    row = await queue(platform, ada)
    worker = await lab.worker()
    claim, _ = await worker.take_one()
    writing = step()
    first = encode(claim.id, claim.epoch, 1, LedgerBatch(calls=[call(writing, input_tokens=3)], events=[event("1")]))
    last = encode(
        claim.id,
        claim.epoch,
        2,
        LedgerBatch(events=[event(type_="done")], transition=Transition(ExecutionStatus.SUCCEEDED)),
    )

    for write in (first, first, last, last, first):
        await worker.writer.write(ada.tenant_id, write)

    assert [line["type"] for line in await view.events(row.id)] == ["execution.status", "log", "done"]
    assert (await view.execution(row.id))["input_tokens"] == 3
    assert len(worker.published) == 2
    assert worker.rejected == 0


async def test_odd_characters_cost_a_character_and_not_an_execution(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    row = await queue(platform, ada)
    worker = await lab.worker()
    _, ledger = await worker.take_one()
    odd = "a\x00b\ud800"
    writing = step(input={odd: odd}, output=[math.nan, 10**25], error={"message": odd}, node=odd)
    asked = call(writing, key=odd, request={"text": odd}, response=odd, name=odd)

    await ledger.write(
        LedgerBatch(
            steps=[writing],
            calls=[asked],
            events=[EventRecord("message.delta", utcnow(), {"text": odd}, StepRef(odd, "", 1))],
            transition=Transition(ExecutionStatus.FAILED, odd, {"message": odd}),
        )
    )

    shown = "a\\u0000b\\ud800"
    (stored,) = await view.steps(row.id)
    assert (stored["node"], stored["input"]) == (shown, {shown: shown})
    assert stored["output"] == [None, 1e25]
    (stored_call,) = await view.calls(row.id)
    assert (stored_call["key"], stored_call["request"], stored_call["response"]) == (shown, {"text": shown}, shown)
    assert (await view.execution(row.id))["output"] == shown
    assert (await view.events(row.id))[-1]["data"] == {"text": shown}
    assert worker.published[-1][1][0]["data"] == {"text": shown}


async def test_a_lost_lease_frees_those_who_wait_for_the_database(platform: Platform, lab: Lab, ada: Account) -> None:
    await queue(platform, ada)
    worker = await lab.worker()
    _, ledger = await worker.take_one()
    await worker.connections.close()  # as if the database were away for good

    waiting = asyncio.create_task(ledger.write(LedgerBatch(events=[event()])))
    done, _ = await asyncio.wait((waiting,), timeout=0.3)
    assert not done, "it waits for the database to come back"
    ledger.give_up()

    with pytest.raises(Superseded):
        await asyncio.wait_for(waiting, 2)
    with pytest.raises(Superseded):
        await ledger.write(LedgerBatch(events=[event()]))


async def test_what_was_given_up_is_handed_over_unless_somebody_has_it(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    kept, taken = await queue(platform, ada), await queue(platform, ada)
    worker = await lab.worker()
    ledgers = {claim.id: worker.ledger(claim) for claim in await worker.take()}
    await view.run("UPDATE executions SET epoch = epoch + 1 WHERE id = $1", taken.id)
    for ledger in ledgers.values():
        ledger.give_up()

    await ledgers[kept.id].release()
    with pytest.raises(Superseded):
        await ledgers[taken.id].release()

    assert (await view.execution(kept.id))["status"] == "queued"
    assert (await view.execution(kept.id))["attempts"] == 0
    assert (await view.events(kept.id))[-1]["data"] == {"status": "queued"}
    assert (await view.execution(taken.id))["status"] == "running"


async def test_writes_go_on_over_broken_connections(
    platform: Platform, lab: Lab, ada: Account, view: LedgerView
) -> None:
    """R9, without the restart: every connection of the worker is cut while it writes."""
    row = await queue(platform, ada)
    worker = await lab.worker()
    _, ledger = await worker.take_one()
    cut = written = 0

    async def write_on() -> None:
        nonlocal written
        while cut < 8:
            await ledger.write(LedgerBatch(events=[event(str(written))]))
            written += 1

    writing = asyncio.create_task(write_on())
    while not writing.done():
        await asyncio.sleep(0.02)
        cut += await view.connection.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE application_name = 'quarterdeck worker' AND datname = current_database()"
        )
    await writing

    assert [line["data"]["message"] for line in (await view.events(row.id))[1:]] == [str(n) for n in range(written)]


async def test_a_write_reads_nothing_of_what_ran_before(platform: Platform, lab: Lab, ada: Account) -> None:
    """The planner has no statistics of young tables, and a connection keeps the plans that it made then."""
    await queue(platform, ada)
    worker = await lab.worker()
    _, ledger = await worker.take_one()
    writing = step()
    await ledger.write(LedgerBatch(steps=[writing]))
    await ledger.write(LedgerBatch(calls=[call(writing, key=new_id().hex) for _ in range(1_000)]))

    async def read() -> int:
        (row,) = await worker.connections.fetch("SELECT pg_stat_get_xact_tuples_fetched('calls'::regclass) AS count")
        return row["count"]

    before = await read()
    await ledger.write(LedgerBatch(calls=[call(writing, key="last")], events=[event()]))
    assert await read() - before < 100
