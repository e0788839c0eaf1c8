"""Graphs that wait for a time and for a person, while the workers are killed under them."""

import asyncio
import random
import signal
from typing import Any
from uuid import UUID

from sqlalchemy import text

from shared.database.session import Scope
from shared.executions.submit import submit
from shared.workflow.states import ExecutionKind
from tests.executions.support import owner_connection, submission
from tests.worker.processes import LANE, LEASE, Yard, busiest

GRAPH = {
    "spec": 1,
    "nodes": [
        {"id": "rest", "type": "delay", "config": {"for_ms": 700}},
        {"id": "ask", "type": "approval", "config": {"title": "Go on?", "payload": "1 + 1"}},
        {"id": "say", "type": "transform", "config": {"expression": "nodes.ask.output.payload + 40"}},
    ],
    "edges": [{"from": "rest", "to": "ask"}, {"from": "ask", "to": "say", "port": "approved"}],
    "outputs": {"sum": "nodes.say.output"},
}
_ANSWER = text('SELECT won FROM ledger_settle_wait(:id, \'answered\', \'{"action": "accept", "value": null}\', NULL)')


async def _start(yard: Yard) -> UUID:
    resources = yard.platform.resources
    spec = {"graph": GRAPH, "agents": {}, "models": {}}
    async with resources.database.write(Scope(yard.account.tenant_id)) as session:
        asked = submission(yard.account, kind=ExecutionKind.WORKFLOW, lane=LANE, spec=spec)
        return (await submit(session, asked, resources.doorbell.ring)).id


async def _answer_all(yard: Yard, answered: dict[UUID, int]) -> None:
    """Whatever is asked is answered three times at once, at the moment it is seen."""
    connection = await owner_connection(yard.platform)  # the yard's own is at work meanwhile
    try:
        while True:
            rows = await connection.fetch(
                "SELECT id FROM waits WHERE tenant_id = $1 AND kind = 'approval' AND status = 'open'",
                yard.account.tenant_id,
            )
            for row in rows:
                won = await asyncio.gather(*(_answer(yard, row["id"]) for _ in range(3)))
                answered[row["id"]] = answered.get(row["id"], 0) + sum(won)
            await asyncio.sleep(0.01)
    finally:
        await connection.close()


async def _answer(yard: Yard, wait_id: UUID) -> bool:
    async with yard.platform.resources.database.write(Scope(yard.account.tenant_id)) as session:
        return bool((await session.execute(_ANSWER, {"id": wait_id})).scalar_one())


async def test_no_answer_and_no_timer_is_missed_while_workers_are_killed(yard: Yard) -> None:
    """R13, R1."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - a failure is repeated with it
    chance = random.Random(seed)
    workers = await yard.start_many(2)
    answered: dict[UUID, int] = {}
    answering = asyncio.create_task(_answer_all(yard, answered))
    ids: list[UUID] = []
    for _ in range(2):
        ids += [await _start(yard) for _ in range(6)]
        await asyncio.sleep(chance.uniform(0, 1.2))
        victim = await busiest(workers)
        victim.signal(signal.SIGKILL)
        assert await victim.ended(5) == -signal.SIGKILL
        workers.remove(victim)
        workers.append(await yard.start())
    ended: list[dict[str, Any]] = await yard.all_ended(ids, within=LEASE + 40)
    answering.cancel()

    assert {row["status"] for row in ended} == {"succeeded"}, [row["error"] for row in ended]
    assert {str(row["output"]) for row in ended} == {"{'sum': 42}"}
    assert sorted(answered.values()) == [1] * 12, "each was settled once"
    for id_ in ids:
        waits = await yard.view.waits(id_)
        assert sorted((each["kind"], each["status"]) for each in waits) == [
            ("approval", "answered"),
            ("timer", "expired"),
        ]
        assert [line["type"] for line in await yard.view.events(id_)].count("done") == 1
