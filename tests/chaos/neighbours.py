"""Tenants that are in one another's way: a burst of one, and readers that do not read."""

import asyncio
import statistics
import time
from uuid import UUID

import httpx

from tests.chaos.checks import Finding
from tests.chaos.client import Person
from tests.chaos.world import World

_PROBES = 12
_BURST = 400
# What a person would not notice, and a clock on a busy machine cannot tell.
_UNNOTICED = 1.0
_NOISE = 0.2
_STALLED = 40
_READS = 60
_MOST_MEMORY = 80.0


async def burst(world: World, noisy: Person, noisy_work: str, quiet: Person, quiet_work: str) -> Finding:
    """R17: how long the quiet tenant's executions wait before they start, alone and beside a burst."""
    finding = Finding("R17", "no tenant starves", _BURST, 2 * _PROBES)
    alone = await _waits(world, quiet, quiet_work)
    inputs = {"inputs": {"topic": "burst"}}
    made = await asyncio.gather(
        *(noisy.ask("POST", f"/workflows/{noisy_work}/execute", json=inputs) for _ in range(_BURST))
    )
    beside = await _waits(world, quiet, quiet_work)
    running = await world.query("SELECT count(*) FROM executions WHERE status IN ('queued', 'running')")
    finding.note = f"median {alone:.2f} s alone, {beside:.2f} s beside, {running[0]['count']} of the burst still open"
    if running[0]["count"] == 0:
        finding.violations.append("the burst was over before it could be in anybody's way")
    if beside > max(2 * alone, alone + _UNNOTICED):
        finding.violations.append(f"{beside:.2f} s beside a burst, {alone:.2f} s alone")
    await asyncio.gather(*(noisy.ask("POST", f"/executions/{each.json()['id']}/cancel") for each in made))
    return finding


async def _waits(world: World, person: Person, workflow: str) -> float:
    ids: list[str] = []
    for _ in range(_PROBES):
        answer = await person.ask("POST", f"/workflows/{workflow}/execute", json={"inputs": {"topic": "probe"}})
        ids.append(answer.json()["id"])
        await asyncio.sleep(0.1)
    while True:
        rows = await world.query("SELECT created_at, started_at FROM executions WHERE id = ANY ($1)", [*map(UUID, ids)])
        if all(row["started_at"] for row in rows):
            return statistics.median((row["started_at"] - row["created_at"]).total_seconds() for row in rows)
        await asyncio.sleep(0.1)


async def slow_readers(world: World, person: Person, execution_id: str) -> Finding:
    """R15: others' answers and the API's memory, while many hold a stream open and read nothing of it."""
    finding = Finding("R15", "slow readers hurt nobody", _STALLED, 2 * _READS)
    alone = await _p95(person, execution_id)
    memory = world.api_memory()
    connections = await asyncio.gather(*(_stall(world, person, execution_id) for _ in range(_STALLED)))
    await asyncio.sleep(1)
    beside = await _p95(person, execution_id)
    grown = world.api_memory() - memory
    for writer in connections:
        writer.close()
    finding.note = f"p95 {alone * 1000:.0f} ms alone, {beside * 1000:.0f} ms beside, the API grew by {grown:.0f} MB"
    if beside > max(1.2 * alone, alone + _NOISE):
        finding.violations.append(f"p95 {beside * 1000:.0f} ms beside them")
    if grown > _MOST_MEMORY:
        finding.violations.append(f"{grown:.0f} MB for {_STALLED} of them")
    return finding


async def _stall(world: World, person: Person, execution_id: str) -> asyncio.StreamWriter:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.api.port, limit=1024)
    request = (
        f"GET /api/v1/executions/{execution_id}/events HTTP/1.1\r\nHost: 127.0.0.1:{world.api.port}\r\n"
        f"Authorization: {person.http.headers['Authorization']}\r\n\r\n"
    )
    writer.write(request.encode())
    await reader.readline()  # it has begun; the rest is never read
    return writer


async def _p95(person: Person, execution_id: str) -> float:
    taken: list[float] = []
    for _ in range(_READS):
        began = time.perf_counter()
        answer: httpx.Response = await person.ask("GET", f"/executions/{execution_id}")
        assert answer.status_code == 200
        taken.append(time.perf_counter() - began)
    return sorted(taken)[int(0.95 * len(taken))]
