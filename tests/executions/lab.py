"""A ledger with several workers of it, each of them a few objects in this process."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from services.orchestration.adapters.ledger.claims import Claim, Claims
from services.orchestration.adapters.ledger.connections import Connections
from services.orchestration.adapters.ledger.ledger import PostgresLedger
from services.orchestration.adapters.ledger.writer import GroupWriter
from services.orchestration.engine.ports import (
    CallKind,
    CallRecord,
    CallStatus,
    Child,
    Effect,
    EventRecord,
    ExecutionStatus,
    LedgerBatch,
    StepRecord,
    StepStatus,
    Transition,
    WaitKind,
    WaitRecord,
    WaitStatus,
)
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from shared.kit.json import loads
from tests.support.platform import Platform

MAX_ATTEMPTS = 5
ALL = {"default": 100, "ingestion": 100}


@dataclass
class LabWorker:
    """What one worker process has of the ledger. `published` is what watchers heard, `rejected` counts stale writes."""

    connections: Connections
    claims: Claims
    writer: GroupWriter
    effects: "Told"

    @property
    def published(self) -> list[tuple[UUID, Any]]:
        return self.effects.lines

    @property
    def rejected(self) -> int:
        return self.effects.stale

    async def take(
        self, room: Mapping[str, int] = ALL, *, suspects: bool = True, held: Iterable[UUID] = ()
    ) -> list[Claim]:
        return await self.claims.take(room, suspects=suspects, held=held)

    async def take_one(self) -> tuple[Claim, PostgresLedger]:
        (claim,) = await self.take({"default": 1})
        return claim, self.ledger(claim)

    async def waiting(self, *waits: WaitRecord, **fields: Any) -> tuple[Claim, WaitRecord]:
        """Takes the one execution that is queued, has a step of it wait for these (or for an approval), and lets go."""
        claim, ledger = await self.take_one()
        asking = step("ask", status=StepStatus.WAITING)
        asked = waits or (wait(asking, **fields),)
        await ledger.write(LedgerBatch(steps=[asking], waits=list(asked)))
        await ledger.write(parked(claim.wakes))
        return claim, asked[0]

    def ledger(self, claim: Claim) -> PostgresLedger:
        return PostgresLedger(claim, self.connections, self.writer)


def parked(wakes: int) -> LedgerBatch:
    """The last write of a holder that waits, and has seen so many waits settled."""
    line = EventRecord("execution.status", utcnow(), {"status": "waiting"})
    return LedgerBatch(events=[line], transition=Transition(ExecutionStatus.WAITING, wakes=wakes))


@dataclass
class Told:
    """What follows from committed writes, kept."""

    lines: list[tuple[UUID, Any]] = field(default_factory=list[tuple[UUID, Any]])
    stale: int = 0
    items: list[UUID] = field(default_factory=list[UUID])
    rings: int = 0
    sweeps: int = 0

    def published(self, execution_id: UUID, events: bytes) -> None:
        self.lines.append((execution_id, loads(events)))

    def rejected(self) -> None:
        self.stale += 1

    def asked(self, tenant_id: UUID, wait_ids: Sequence[UUID]) -> None:
        self.items += wait_ids

    def queued(self) -> None:
        self.rings += 1

    def ended(self) -> None:
        self.sweeps += 1


@dataclass
class Lab:
    platform: Platform
    _workers: list[LabWorker] = field(default_factory=list[LabWorker])

    async def worker(self, name: str = "worker", lease: float = 30.0) -> LabWorker:
        connections = await Connections.open(
            self.platform.settings.app_database_url.get_secret_value(), size=3, patience=10
        )
        effects = Told()
        writer = GroupWriter(connections, effects)
        claims = Claims(connections, name, lease, MAX_ATTEMPTS)
        made = LabWorker(connections, claims, writer, effects)
        self._workers.append(made)
        return made

    async def close(self) -> None:
        for worker in self._workers:
            await worker.connections.close()


@asynccontextmanager
async def open_lab(platform: Platform) -> AsyncGenerator[Lab]:
    lab = Lab(platform)
    try:
        yield lab
    finally:
        await lab.close()


def step(node: str = "write", **fields: Any) -> StepRecord:
    given: dict[str, Any] = {
        "id": new_id(),
        "node": node,
        "type": "agent_task",
        "path": "",
        "attempt": 1,
        "generation": 1,
        "status": StepStatus.RUNNING,
        "input": {"topic": "rivers"},
        "started_at": utcnow(),
    }
    return StepRecord(**{**given, **fields})


def call(of: StepRecord, key: str = "1//llm/1", **fields: Any) -> CallRecord:
    given: dict[str, Any] = {
        "id": new_id(),
        "step_id": of.id,
        "key": key,
        "kind": CallKind.LLM,
        "effect": Effect.READ,
        "name": "Scripted",
        "request_hash": "abc",
        "request": {"messages": []},
        "status": CallStatus.SUCCEEDED,
        "response": {"text": "Yes."},
        "started_at": utcnow(),
        "finished_at": utcnow(),
    }
    return CallRecord(**{**given, **fields})


def wait(of: StepRecord, kind: WaitKind = WaitKind.APPROVAL, **fields: Any) -> WaitRecord:
    given: dict[str, Any] = {
        "id": new_id(),
        "step_id": of.id,
        "key": f"1//wait/{new_id().hex}",
        "kind": kind,
        "title": "May I?",
        "request": {"amount": 7},
        "request_hash": "abc",
        "status": WaitStatus.OPEN,
        "created_at": utcnow(),
    }
    return WaitRecord(**{**given, **fields})


def child(of: StepRecord, **fields: Any) -> WaitRecord:
    """A wait for a child execution."""
    given: dict[str, Any] = {"name": "Part", "spec": {"graph": {}}, "inputs": {"n": 1}, "workflow_id": UUID(int=8)}
    return wait(of, WaitKind.CHILD, child=Child(**{**given, **fields}))


def event(text: str = "line", type_: str = "log") -> EventRecord:
    return EventRecord(type_, utcnow(), {"message": text})
