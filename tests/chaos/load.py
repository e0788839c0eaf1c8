"""People at work while the world falls apart: they start, answer, cancel, follow, and remember what they were told."""

import asyncio
import random
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from shared.kit.ids import new_id
from tests.chaos.client import Follower, Person
from tests.chaos.workloads import BUDGET_CALLS, Workloads

_ANSWERERS = 5


@dataclass(frozen=True)
class Accepted:
    """An execution that was acknowledged, and the topic by which its calls are known outside."""

    id: str
    tenant_id: str
    workload: str
    topic: str


@dataclass
class Memory:
    """What clients were told; the checks compare it with what is true."""

    accepted: list[Accepted] = field(default_factory=list[Accepted])
    same_key_sent: int = 0
    same_key_wrong: list[str] = field(default_factory=list[str])
    other_body_sent: int = 0
    other_body_wrong: list[str] = field(default_factory=list[str])
    cancelled_at: dict[str, float] = field(default_factory=dict[str, float])
    answered: dict[str, int] = field(default_factory=dict[str, int])
    answers_sent: int = 0
    followers: list[Follower] = field(default_factory=list[Follower])


class Office:
    """One person's work. `work` goes on until `closing`, and then until all that was begun is done."""

    def __init__(self, person: Person, workloads: Workloads, memory: Memory, dice: random.Random) -> None:
        self._person = person
        self._workloads = workloads
        self._memory = memory
        self._dice = dice
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: set[str] = set()
        self.closing = asyncio.Event()

    async def work(self, pause: float) -> None:
        while not self.closing.is_set():
            self._spawn(self._start_one())
            await asyncio.sleep(self._dice.uniform(0.5, 1.5) * pause)
        await self._finish(follow=False)

    async def answer_inbox(self, until: asyncio.Event) -> None:
        """Everything that is asked is answered, by several people at the same moment."""
        while not until.is_set():
            page = await self._person.ask("GET", "/inbox", params={"limit": 50})
            for item in page.json()["items"]:
                if item["id"] not in self._seen:
                    self._seen.add(item["id"])
                    self._spawn(self._answer(item))
            await asyncio.sleep(0.5)

    async def all_followed(self) -> None:
        await self._finish(follow=True)

    # --- starting -----------------------------------------------------------------------------------------

    async def _start_one(self) -> None:
        kind = self._dice.choices(list(self._workloads.weights), list(self._workloads.weights.values()))[0]
        topic, key = f"t{new_id().hex}", new_id().hex
        body: dict[str, Any] = {"inputs": {"topic": topic}}
        if kind == "budget":
            body["budget"] = {"calls": BUDGET_CALLS, "on_exceeded": "fail"}
        path = f"/workflows/{self._workloads.ids[kind]}/execute"
        answer = await self._person.ask("POST", path, json=body, headers={"Idempotency-Key": key})
        assert answer.status_code == 202, answer.text
        execution = answer.json()["id"]
        self._memory.accepted.append(Accepted(execution, self._person.tenant_id, kind, topic))
        if self._dice.random() < 0.3:
            self._spawn(self._start_again(path, body, key, execution))
        if self._dice.random() < 0.3:
            follower = Follower(self._person, execution, random.Random(self._dice.random()))
            self._memory.followers.append(follower)
            self._spawn(follower.follow(), follows=True)
        if self._dice.random() < 0.08:
            self._spawn(self._cancel(execution))

    async def _start_again(self, path: str, body: dict[str, Any], key: str, execution: str) -> None:
        """The same request once more, and another one under the same key."""
        headers = {"Idempotency-Key": key}
        again = await self._person.ask("POST", path, json=body, headers=headers)
        self._memory.same_key_sent += 1
        if again.status_code != 202 or again.json()["id"] != execution:
            self._memory.same_key_wrong.append(f"{key}: {again.status_code} {again.text[:100]}")
        other = {**body, "inputs": {"topic": "another"}}
        refused = await self._person.ask("POST", path, json=other, headers=headers)
        self._memory.other_body_sent += 1
        if refused.status_code != 409:
            self._memory.other_body_wrong.append(f"{key}: {refused.status_code}")

    async def _cancel(self, execution: str) -> None:
        await asyncio.sleep(self._dice.uniform(0, 3))
        answer = await self._person.ask("POST", f"/executions/{execution}/cancel")
        if answer.status_code == 202:
            self._memory.cancelled_at[execution] = time.time()

    # --- answering ----------------------------------------------------------------------------------------

    async def _answer(self, item: dict[str, Any]) -> None:
        """Several at once; and whoever was not answered himself asks until he knows that it is settled."""
        path = f"/inbox/{item['id']}/respond"
        # A payment in doubt is looked up and confirmed, never made again; everything else is let through.
        doubt = {"action": "respond", "payload": "it was paid"}
        body = doubt if item["kind"] == "call_in_doubt" else {"action": "accept"}
        answers = await asyncio.gather(*(self._person.once("POST", path, json=body) for _ in range(_ANSWERERS)))
        self._memory.answers_sent += len(answers)
        won = sum(answer is not None and answer.status_code == 200 for answer in answers)
        last = await self._person.ask("POST", path, json=body)
        self._memory.answers_sent += 1
        self._memory.answered[item["id"]] = won + (last.status_code == 200)

    # --- tasks --------------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None], *, follows: bool = False) -> None:
        task = asyncio.create_task(work, name="follow" if follows else "act")
        self._tasks.add(task)

    async def _finish(self, *, follow: bool) -> None:
        """Waits for what was begun; raises what went wrong in it."""
        wanted = {task for task in self._tasks if follow or task.get_name() != "follow"}
        await asyncio.gather(*wanted)
        self._tasks -= wanted
