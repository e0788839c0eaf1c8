"""The engine's `Ledger` port: one claimed execution in Postgres."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from services.orchestration.adapters.ledger.claims import Claim
from services.orchestration.adapters.ledger.connections import AWAY, FIRST_PAUSE, LONGEST_PAUSE, Connections
from services.orchestration.adapters.ledger.encoding import encode
from services.orchestration.adapters.ledger.records import (
    CALL_COLUMNS,
    STEP_COLUMNS,
    WAIT_COLUMNS,
    call_record,
    step_record,
    wait_record,
)
from services.orchestration.adapters.ledger.writer import GroupWriter
from services.orchestration.engine.ports import (
    CallRecord,
    EventRecord,
    ExecutionState,
    ExecutionStatus,
    LedgerBatch,
    StepRecord,
    Superseded,
    Transition,
    WaitRecord,
)
from shared.kit.clock import utcnow

_STEPS = f"SELECT {', '.join(STEP_COLUMNS)} FROM task_executions WHERE execution_id = $1 ORDER BY id"
_CALLS = f"SELECT {', '.join(CALL_COLUMNS)} FROM calls WHERE execution_id = $1 ORDER BY id"
_WAITS = f"SELECT {', '.join(WAIT_COLUMNS)} FROM waits WHERE execution_id = $1 ORDER BY id"
_WAKES = "SELECT wakes FROM executions WHERE id = $1"

T = TypeVar("T")


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
        steps, calls, waits = await self._earlier() if claim.epoch > 1 else ([], [], [])
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
            waits=waits,
            wakes=claim.wakes,
            forked=claim.origin is not None and claim.origin.keeps_records,
            depth=claim.depth,
            root_id=claim.root_id,
            budget=claim.budget,
            active_ms=claim.active_ms,
        )

    async def _earlier(self) -> tuple[list[StepRecord], list[CallRecord], list[WaitRecord]]:
        steps, calls = await self.recorded()
        # After the claim has brought `wakes`: one that is settled in between is told a second time, never missed.
        _, waits = await self.waits()
        return steps, calls, waits

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

        async def read(connection: Any) -> tuple[list[StepRecord], list[CallRecord]]:
            steps = await connection.fetch(_STEPS, self._claim.id)
            calls = await connection.fetch(_CALLS, self._claim.id)
            return [step_record(row) for row in steps], [call_record(row) for row in calls]

        return await self._read(read)

    async def waits(self) -> tuple[int, list[WaitRecord]]:
        async def read(connection: Any) -> tuple[int, list[WaitRecord]]:
            # The number first: what is settled between the two is seen, and told once more.
            wakes = await connection.fetchval(_WAKES, self._claim.id)
            return wakes, [wait_record(row) for row in await connection.fetch(_WAITS, self._claim.id)]

        return await self._read(read)

    async def _read(self, read: Callable[[Any], Awaitable[T]]) -> T:
        pause = FIRST_PAUSE
        while not self._lost:
            try:
                async with self._connections.tenant(self._claim.tenant_id) as connection:
                    return await read(connection)
            except AWAY:
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
        raise Superseded(str(self._claim.id))
