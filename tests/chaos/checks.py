"""What was promised, looked at from outside: the providers' journals, the clients' memories, the database."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from tests.chaos.load import Memory
from tests.chaos.workloads import BUDGET_CALLS
from tests.chaos.world import LEASE, WORKERS, World

# A provider's clock is ours. What it received in the same instant as an answer was recorded is not held against us.
_INSTANT = 0.05
_TAKEOVER = LEASE + 15
_CANCEL = 5.0
# Calls that a looping agent may have under way beyond its budget: it makes one at a time.
_IN_FLIGHT = 1
_POISON_ATTEMPTS = 5
# An execution is suspected after two deaths beside a poisonous one. The others are then its own, or the drill's.
_DEATHS_IN_PLENTY = _POISON_ATTEMPTS - 2
_DEADLY = ("worker_kill", "worker_freeze", "failpoint", "postgres_kill")
# What a step or a call says when something was raised that nobody had thought of.
_FAULTS_OF_OURS = ("internal_error", "call_failed")
_SHOWN = 3


@dataclass
class Finding:
    """One line of the table. `faults` were really injected, `runs` really looked at."""

    promise: str
    what: str
    faults: int
    runs: int
    violations: list[str] = field(default_factory=list[str])
    note: str = ""

    @property
    def shown(self) -> str:
        return "; ".join(self.violations[:_SHOWN])


@dataclass
class Evidence:
    """Everything that is looked at, read once when all is quiet."""

    world: World
    memory: Memory
    executions: dict[UUID, dict[str, Any]]
    events: dict[UUID, list[dict[str, Any]]]
    steps: list[dict[str, Any]]
    calls: list[dict[str, Any]]
    waits: list[dict[str, Any]]
    requests: list[dict[str, Any]]
    effects: list[dict[str, Any]]
    scheduled: dict[str, list[datetime]]
    poison: set[UUID]

    def faults(self, *kinds: str) -> int:
        return sum(fault.kind in kinds for fault in self.world.faults)

    @property
    def accepted(self) -> dict[UUID, str]:
        """Acknowledged executions and what they were for."""
        return {UUID(each.id): each.workload for each in self.memory.accepted}


async def gather(world: World, memory: Memory, scheduled: dict[str, list[datetime]], poison: set[UUID]) -> Evidence:
    events: defaultdict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for event in await world.query("SELECT * FROM execution_events ORDER BY execution_id, seq"):
        events[event["execution_id"]].append(event)
    return Evidence(
        world=world,
        memory=memory,
        executions={row["id"]: row for row in await world.query("SELECT * FROM executions")},
        events=events,
        steps=await world.query("SELECT * FROM task_executions"),
        calls=await world.query("SELECT * FROM calls"),
        waits=await world.query("SELECT * FROM waits"),
        requests=world.provider.journal(),
        effects=world.system.journal(),
        scheduled=scheduled,
        poison=poison,
    )


def one_end(seen: Evidence) -> Finding:
    finding = Finding("R1", "one end each", len(seen.world.faults), len(seen.executions))
    for id_, row in seen.executions.items():
        ends = sum(event["type"] == "done" for event in seen.events[id_])
        if row["status"] not in ("succeeded", "failed", "cancelled"):
            finding.violations.append(f"{id_} is {row['status']}")
        elif ends != 1:
            finding.violations.append(f"{id_} ended {ends} times")
    statuses = Counter(row["status"] for row in seen.executions.values())
    finding.note = ", ".join(f"{count} {status}" for status, count in statuses.most_common())
    return finding


def commits_together(seen: Evidence) -> Finding:
    kills = seen.faults("api_kill", "postgres_kill", "worker_kill", "failpoint")
    finding = Finding("R2", "no orphans, no phantoms", kills, len(seen.accepted))
    tops = {id_ for id_, row in seen.executions.items() if row["parent_id"] is None and row["trigger_id"] is None}
    finding.violations += [f"{id_} was accepted and is gone" for id_ in seen.accepted.keys() - tops]
    finding.violations += [f"nobody asked for {id_}" for id_ in tops - seen.accepted.keys() - seen.poison]
    children = {id_ for id_, row in seen.executions.items() if row["parent_id"] is not None}
    asked = {wait["id"]: wait["status"] for wait in seen.waits if wait["kind"] == "child"}
    finding.violations += [f"nobody waited for the child {id_}" for id_ in children - asked.keys()]
    # Who is to stop starts no child any more: what it asked is closed.
    missing = [id_ for id_, status in asked.items() if status != "closed" and id_ not in children]
    finding.violations += [f"there is no child for the wait {id_}" for id_ in missing]
    return finding


def same_key(seen: Evidence) -> Finding:
    memory = seen.memory
    finding = Finding("R3", "one execution per key", memory.same_key_sent + memory.other_body_sent, len(seen.accepted))
    finding.violations += memory.same_key_wrong + memory.other_body_wrong
    ids = Counter(each.id for each in memory.accepted)
    finding.violations += [f"{id_} was answered to {count} keys" for id_, count in ids.items() if count > 1]
    return finding


def superseded(seen: Evidence) -> Finding:
    freezes = seen.faults("worker_freeze")
    finding = Finding("R4", "no stale writes", freezes, len(seen.executions))
    counts = seen.world.refused.values()
    finding.note = f"{sum(n for n, _ in counts):g} writes were refused, {sum(n for _, n in counts):g} leases given up"
    for id_, events in seen.events.items():
        if [event["seq"] for event in events] != list(range(1, len(events) + 1)):
            finding.violations.append(f"the stream of {id_} has gaps or doubles")
    starts: Counter[tuple[UUID, str, str]] = Counter()
    for id_, events in seen.events.items():
        for event in events:
            if event["type"] == "step.finished":
                starts[(id_, event["node"], event["path"])] += 1
    finding.violations += [f"step {key} finished {count} times" for key, count in starts.items() if count > 1]
    return finding


def never_paid_twice(seen: Evidence) -> Finding:
    """A request that the provider got after the ledger had its answer."""
    faults = seen.faults("worker_kill", "failpoint", "worker_freeze", "worker_stop", "postgres_kill")
    recorded: dict[str, dict[str, Any]] = {}
    for call in seen.calls:
        if call["kind"] == "llm" and call["status"] == "succeeded" and not call["copied"]:
            recorded[_texts(call["request"]["messages"])] = call
    finding = Finding("R5", "no recorded call again", faults, len(recorded))
    asked: defaultdict[str, list[float]] = defaultdict(list)
    for request in seen.requests:
        asked[_texts(request["body"]["messages"])].append(request["at"])
    again = 0
    for texts, moments in asked.items():
        again += len(moments) - 1
        known = recorded.get(texts)
        late = 0.0 if known is None else max(moments) - known["finished_at"].timestamp()
        if known is not None and late > _INSTANT:
            where = f"{known['execution_id']} {known['key']}"
            finding.violations.append(f"{where}: asked again {late:.2f} s after its answer was recorded")
    finding.note = f"{again} unrecorded ones were made again"
    return finding


def effects(seen: Evidence) -> Finding:
    faults = seen.faults("worker_kill", "failpoint", "worker_freeze")
    finding = Finding("R6", "effects once", faults, len(seen.effects))
    keys: defaultdict[str, set[str]] = defaultdict(set)
    times: Counter[str] = Counter()
    for effect in seen.effects:
        keys[effect["body"]].add(effect["key"] or "")
        times[effect["body"]] += 1
    for body, sent in keys.items():
        if len(sent) > 1 or "" in sent:
            finding.violations.append(f"{body} came under the keys {sorted(sent)}")
        if body.endswith("-paid") and times[body] > 1:
            finding.violations.append(f"{body} was made {times[body]} times")
    doubts = sum(wait["kind"] == "call_in_doubt" for wait in seen.waits)
    finding.note = f"{sum(times.values()) - len(times)} repeated under their key, {doubts} asked a person"
    return finding


def takeover(seen: Evidence) -> Finding:
    """From the kill to the moment at which the execution is in the queue again, or has ended."""
    held = [(fault, id_) for fault in seen.world.faults if fault.kind == "worker_kill" for id_ in fault.held]
    finding = Finding("R7", f"takeover in {_TAKEOVER:g} s", seen.faults("worker_kill"), len(held))
    waits: list[float] = []
    for fault, id_ in held:
        after = [e["at"].timestamp() - fault.at for e in seen.events[id_] if e["at"].timestamp() > fault.at]
        if not after:
            continue  # it had ended before it was killed
        waits.append(min(after))
        if min(after) > _TAKEOVER and not _database_was_away(seen, fault.at) and not _all_were_away(seen, fault.at):
            finding.violations.append(f"{id_} after {min(after):.1f} s")
    finding.note = f"at most {max(waits, default=0):.1f} s"
    return finding


def disposable(seen: Evidence) -> list[Finding]:
    lost = [str(id_) for id_ in seen.accepted if id_ not in seen.executions]
    redis = Finding("R8", "Redis is disposable", seen.faults("redis_flush", "redis_kill"), len(seen.accepted), lost)
    postgres = Finding("R9", "Postgres restarts", seen.faults("postgres_kill"), len(seen.accepted), list(lost))
    postgres.violations += _faults_of_ours(seen)
    return [redis, postgres]


def _faults_of_ours(seen: Evidence) -> Iterable[str]:
    """Nothing that is injected here makes a step fail otherwise than by what it asked of the world."""
    for id_, events in seen.events.items():
        for event in events:
            code = (event["data"].get("error") or {}).get("code")
            if code in _FAULTS_OF_OURS and event["type"] != "done":
                yield f"{id_}, {event['node']}: {event['data']['error']['message']}"


def poison(seen: Evidence) -> Finding:
    finding = Finding("R10", "poison is set aside", 0, len(seen.poison))
    for id_, row in seen.executions.items():
        failed_so = (row["error"] or {}).get("code") == "poison"
        if id_ in seen.poison:
            finding.faults += row["attempts"]
            if not failed_so or row["attempts"] != _POISON_ATTEMPTS:
                finding.violations.append(f"{id_} is {row['status']} after {row['attempts']} attempts")
        elif failed_so and _deaths(seen, row) < _DEATHS_IN_PLENTY:
            finding.violations.append(f"{id_} was set aside for it")
    return finding


def _deaths(seen: Evidence, row: dict[str, Any]) -> int:
    """How many workers the drill itself ended or froze while the execution was open."""
    began, ended = row["created_at"].timestamp(), row["finished_at"].timestamp()
    return sum(fault.kind in _DEADLY and began <= fault.at <= ended for fault in seen.world.faults)


def cancel(seen: Evidence) -> Finding:
    finding = Finding("R11", "cancel is durable", len(seen.world.faults), len(seen.memory.cancelled_at))
    for text, at in seen.memory.cancelled_at.items():
        below = [id_ for id_, row in seen.executions.items() if row["root_id"] == UUID(text)]
        for id_ in (UUID(text), *below):
            late = [
                event["at"].timestamp() - at
                for event in seen.events[id_]
                if event["type"] == "step.started" and event["at"].timestamp() > at + _CANCEL
            ]
            if late:
                finding.violations.append(f"{id_} started a step {max(late):.1f} s after it")
    return finding


def schedules(seen: Evidence) -> Finding:
    expected = {(trigger, at) for trigger, moments in seen.scheduled.items() for at in moments}
    fired: Counter[tuple[str, datetime]] = Counter()
    for row in seen.executions.values():
        if row["trigger_id"] is not None:
            fired[(str(row["trigger_id"]), _fire_time(row))] += 1
    finding = Finding("R12", "one per fire time", len(seen.world.faults), len(expected))
    finding.violations += [f"{at} of {trigger} was missed" for trigger, at in expected - fired.keys()]
    finding.violations += [f"{key} fired {count} times" for key, count in fired.items() if count > 1]
    return finding


def settled_once(seen: Evidence) -> Finding:
    asked = [wait for wait in seen.waits if wait["kind"] not in ("timer", "child")]
    finding = Finding("R13", "settled once", seen.memory.answers_sent, len(asked))
    finding.violations += [f"{id_} had {won} winners" for id_, won in seen.memory.answered.items() if won > 1]
    finding.violations += [f"{wait['id']} is still open" for wait in seen.waits if wait["status"] == "open"]
    finding.note = ", ".join(f"{count} {kind}" for kind, count in Counter(w["kind"] for w in seen.waits).most_common())
    return finding


def streams(seen: Evidence) -> Finding:
    followers = seen.memory.followers
    finding = Finding("R14", "streams equal the ledger", sum(each.cut_off for each in followers), len(followers))
    for follower in followers:
        stored = [(e["seq"], e["type"], e["data"]) for e in seen.events[UUID(follower.execution_id)]]
        heard = [(e["seq"], e["type"], e["data"]) for e in follower.events]
        if heard != stored:
            finding.violations.append(f"{follower.execution_id}: {len(heard)} heard, {len(stored)} stored")
    return finding


def budgets(seen: Evidence) -> Finding:
    """Calls that were recorded, and those that were made, whose answer a crash may have taken."""
    runs = [each for each in seen.memory.accepted if each.workload == "budget"]
    finding = Finding("R16", "budgets hold", len(runs), len(runs))
    for each in runs:
        spent = sum(call["execution_id"] == UUID(each.id) for call in seen.calls)
        if spent > BUDGET_CALLS + _IN_FLIGHT:
            finding.violations.append(f"{each.id} made {spent} calls of {BUDGET_CALLS}")
    return finding


CHECKS: tuple[Callable[[Evidence], Finding], ...] = (
    one_end,
    commits_together,
    same_key,
    superseded,
    never_paid_twice,
    effects,
    takeover,
    poison,
    cancel,
    schedules,
    settled_once,
    streams,
    budgets,
)


def all_findings(seen: Evidence) -> list[Finding]:
    found = [check(seen) for check in CHECKS] + disposable(seen)
    return sorted(found, key=lambda finding: int(finding.promise[1:]))


def _texts(messages: Iterable[dict[str, Any]]) -> str:
    """A request is known by its texts: every execution has a topic of its own, every turn a conversation."""
    return "\x00".join(f"{message['role']}:{message.get('content') or ''}" for message in messages)


def _database_was_away(seen: Evidence, at: float) -> bool:
    return any(f.kind == "postgres_kill" and at - 5 < f.at < at + _TAKEOVER + 5 for f in seen.world.faults)


def _all_were_away(seen: Evidence, at: float) -> bool:
    """Whether every worker that could have taken over may have met its own end meanwhile, or have been frozen."""
    ends = ("worker_kill", "worker_stop", "worker_freeze", "failpoint")
    return sum(f.kind in ends and at - 3 * LEASE < f.at < at + _TAKEOVER for f in seen.world.faults) > WORKERS


def _fire_time(row: dict[str, Any]) -> datetime:
    """As its idempotency key names it: `schedule:<trigger>:<time>`."""
    return datetime.fromisoformat(row["idempotency_key"].split(":", 2)[2])
