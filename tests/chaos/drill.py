"""One drill from its beginning to its table."""

import asyncio
import contextlib
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from shared.database.session import Database, Scope
from shared.executions.submit import Submission, submit
from shared.workflow.states import Lane
from tests.chaos import checks, neighbours
from tests.chaos.checks import Finding
from tests.chaos.client import Person
from tests.chaos.faults import Chaos
from tests.chaos.load import Memory, Office
from tests.chaos.report import print_table
from tests.chaos.workloads import RULES, SYSTEM_RULES, make_trivial, make_workloads
from tests.chaos.world import World, open_world
from tests.worker.drill_jobs import KIND

_QUIET_WITHIN = 180.0
_PAUSE = 0.4
_POISONS = 2
_SCHEDULES = 2
_WAYS_TO_DIE = ["kill", "segfault", "exit"]


async def run(directory: Path, seed: int, seconds: float) -> int:
    """The exit code."""
    async with open_world(directory, seed) as world:
        world.provider.script(*RULES)
        world.system.script(*SYSTEM_RULES)
        people = [await Person.register(world) for _ in range(2)]
        trivial = [await make_trivial(person) for person in people]
        _say("a burst of one tenant beside another")
        findings = [await neighbours.burst(world, people[0], trivial[0], people[1], trivial[1])]
        await _all_ended(world)
        world.provider.reset()
        world.provider.script(*RULES)
        before = {row["id"] for row in await world.query("SELECT id FROM executions")}

        memory, scheduled, poison = await _reign(world, people, trivial[0], seed, seconds)

        findings.append(await neighbours.slow_readers(world, people[0], _longest(memory, people[0])))
        seen = await checks.gather(world, memory, scheduled, poison)
        for id_ in before:
            del seen.executions[id_]
        findings += checks.all_findings(seen)
        return _verdict(world, findings)


async def _reign(
    world: World, people: list[Person], trivial: str, seed: int, seconds: float
) -> tuple[Memory, dict[str, list[datetime]], set[UUID]]:
    memory = Memory()
    dice = random.Random(seed + 1)
    offices = [
        Office(person, await make_workloads(person, world.system.url), memory, random.Random(dice.random()))
        for person in people
    ]
    triggers = [await _schedule(people[0], trivial, number) for number in range(_SCHEDULES)]
    began = datetime.now(UTC)
    poison = {await _submit_poison(world, people[1]) for _ in range(_POISONS)}
    quiet = asyncio.Event()
    keeping = asyncio.create_task(world.keep_workers())
    answering = [asyncio.create_task(office.answer_inbox(quiet)) for office in offices]
    working = [asyncio.create_task(office.work(_PAUSE)) for office in offices]

    _say(f"faults for {seconds:g} s")
    await Chaos(world).reign(seconds)
    world.calm = True
    _say("the faults are over; what was begun is finished")
    for office in offices:
        office.closing.set()
    await asyncio.gather(*working)
    _say("waiting until nothing is open")
    stopped = await _disable(people[0], triggers)
    await _all_ended(world)
    _say("all has ended; streams are read to their ends")
    quiet.set()
    await asyncio.gather(*answering)
    for office in offices:
        await office.all_followed()
    keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping
    return memory, {trigger: _minutes(began, stopped) for trigger in triggers}, poison


async def _schedule(person: Person, workflow: str, number: int) -> str:
    schedule = {"cron": "* * * * *", "missed": "all", "inputs": {"topic": f"schedule-{number}"}}
    about = {"name": f"Every minute {number}", "kind": "schedule", "schedule": schedule}
    return await person.made(f"/workflows/{workflow}/triggers", about)


async def _disable(person: Person, triggers: list[str]) -> datetime:
    """Well between two fire times, so that there is no doubt which were due."""
    seconds = datetime.now(UTC).second
    if not 10 < seconds < 50:
        await asyncio.sleep((70 - seconds) % 60)
    await asyncio.gather(*(person.ask("POST", f"/triggers/{trigger}/disable") for trigger in triggers))
    return datetime.now(UTC)


def _minutes(began: datetime, stopped: datetime) -> list[datetime]:
    """The fire times after the one and before the other."""
    first = began.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return [first + timedelta(minutes=n) for n in range(int((stopped - first) / timedelta(minutes=1)) + 1)]


async def _submit_poison(world: World, person: Person) -> UUID:
    """An execution that ends whatever process runs it. No user could write one: it is put in by the back door."""
    database = Database(world.settings.app_database_url.get_secret_value(), pool_size=1)
    tenant = UUID(person.tenant_id)

    async def nobody() -> None: ...

    try:
        async with database.write(Scope(tenant_id=tenant)) as session:
            spec = {"steps": 1, "seconds": 0.5, "journal": str(world.directory / "drill"), "deadly": _WAYS_TO_DIE}
            asked = Submission(tenant, KIND, "poison", spec, {}, lane=Lane.INGESTION)  # pyright: ignore[reportArgumentType]
            return (await submit(session, asked, nobody)).id
    finally:
        await database.close()


async def _all_ended(world: World) -> None:
    """Waits until nothing is open, or so long that it never will be: then the check of R1 says what is."""
    deadline = time.monotonic() + _QUIET_WITHIN
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, TimeoutError):
            rows = await world.query("SELECT count(*) FROM executions WHERE finished_at IS NULL")
            if rows[0]["count"] == 0:
                return
        await asyncio.sleep(0.5)


def _longest(memory: Memory, person: Person) -> str:
    mine = [each.id for each in memory.accepted if each.tenant_id == person.tenant_id and each.workload == "budget"]
    return (mine or [each.id for each in memory.accepted if each.tenant_id == person.tenant_id])[0]


def _say(what: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {what}", flush=True)


def _verdict(world: World, findings: list[Finding]) -> int:
    print_table(world.faults, findings)
    broken = [finding for finding in findings if finding.violations]
    hollow = [finding.promise for finding in findings if not finding.faults or not finding.runs]
    if hollow:
        print(f"Nothing shown for {', '.join(hollow)}: no fault happened, or nothing ran. Let it run longer.")
    return 1 if broken or hollow else 0
