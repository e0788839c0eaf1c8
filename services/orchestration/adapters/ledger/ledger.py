"""The engine's `Ledger` port: one claimed execution in Postgres."""

import asyncio
from typing import Any

from services.orchestration.adapters.ledger.claims import Claim
from services.orchestration.adapters.ledger.connections import AWAY, FIRST_PAUSE, LONGEST_PAUSE, Connections, Row
from services.orchestration.adapters.ledger.encoding import encode
from services.orchestration.adapters.ledger.writer import GroupWriter
from services.orchestration.engine.ports import (
    CallKind,
    CallRecord,
    CallStatus,
    Effect,
    EventRecord,
    ExecutionState,
    ExecutionStatus,
    LedgerBatch,
    StepRecord,
    StepStatus,
    Superseded,
    Transition,
)
from shared.kit.clock import utcnow

_STEPS = """
SELECT id, node, type, path, attempt, generation, status, input, output, error, started_at, finished_at
FROM task_executions WHERE execution_id = $1 ORDER BY id
"""
_CALLS = """
SELECT id, step_id, key, kind, effect, name, request_hash, request, status, response, error, model_id, agent_id,
    input_tokens, output_tokens, cost, tries, started_at, finished_at
FROM calls WHERE execution_id = $1 ORDER BY id
"""


class PostgresLedger:
    def __init__(self, claim: Claim, connections: Connections, writer: GroupWriter) -> None:
        self._claim = claim
        self._connections = connections
        self._writer = writer
        self._writes = 0
        self._under_way: set[asyncio.Future[None]] = set()
        self._lost = False

    async def load(self) -> ExecutionState:
        """What the claim brought, and, if another worker had it before, what that one recorded."""
        claim = self._claim
        steps, calls = await self.recorded() if claim.epoch > 1 else ([], [])
        return ExecutionState(
            id=claim.id,
            tenant_id=claim.tenant_id,
            kind=claim.kind,
            spec=claim.spec,
            inputs=claim.inputs,
            attempts=claim.attempts,
            created_at=claim.created_at,
            steps=steps,
            calls=calls,
        )

    async def write(self, batch: LedgerBatch) -> None:
        """Durable when it returns. Waits while the database is away, until the lease is known to be lost."""
        if self._lost:
            raise Superseded(str(self._claim.id))
        await self._write(batch)

    async def release(self) -> None:
        """Hands the execution over to any worker, also when it was given up: if nobody has taken it meanwhile, it is
        not counted as lost with its worker."""
        status = ExecutionStatus.QUEUED
        line = EventRecord("execution.status", utcnow(), {"status": status.value})
        await self._write(LedgerBatch(events=[line], transition=Transition(status)))

    async def _write(self, batch: LedgerBatch) -> None:
        self._writes += 1
        write = encode(self._claim.id, self._claim.epoch, self._writes, batch)
        done = self._writer.write(self._claim.tenant_id, write)
        self._under_way.add(done)
        try:
            await done
        finally:
            self._under_way.discard(done)

    def lose(self) -> None:
        """The lease is no longer ours: writes to come raise `Superseded`. Of those under way the database decides."""
        self._lost = True

    def give_up(self) -> None:
        """Nor will the database be heard before the lease is over: those under way raise `Superseded` as well."""
        self.lose()
        for done in self._under_way:
            if not done.done():
                done.set_exception(Superseded(str(self._claim.id)))

    async def recorded(self) -> tuple[list[StepRecord], list[CallRecord]]:
        """The steps and calls that are on record by now."""
        pause = FIRST_PAUSE
        while not self._lost:
            try:
                async with self._connections.tenant(self._claim.tenant_id) as connection:
                    steps = await connection.fetch(_STEPS, self._claim.id)
                    calls = await connection.fetch(_CALLS, self._claim.id)
                return [_step(row) for row in steps], [_call(row) for row in calls]
            except AWAY:
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
        raise Superseded(str(self._claim.id))


def _step(row: Row) -> StepRecord:
    fields: dict[str, Any] = {**row, "status": StepStatus(row["status"])}
    return StepRecord(**fields)


def _call(row: Row) -> CallRecord:
    fields: dict[str, Any] = {
        **row,
        "kind": CallKind(row["kind"]),
        "effect": Effect(row["effect"]),
        "status": CallStatus(row["status"]),
    }
    return CallRecord(**fields)
