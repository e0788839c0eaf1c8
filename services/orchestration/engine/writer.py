"""The way to the ledger: one write at a time, in order, with everything that became true in the meantime.

What is posted lingers a few milliseconds, so that things that happen together are written together: the last
call of a step with the step's end and its successors' starts. `flush` ends the wait; a step calls it before it
turns to the world again, so nothing that was answered can be lost by more than the one call that is under way.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from uuid import UUID

from services.orchestration.engine.aborts import StepStopped
from services.orchestration.engine.ports import (
    CallRecord,
    EventRecord,
    Ledger,
    LedgerBatch,
    StepRecord,
    Transition,
    WaitRecord,
    WaitStatus,
)
from shared.kit import failpoints

LINGER = 0.005


@dataclass(slots=True)
class _Gathered:
    """The next batch. Of a step, call or wait only the latest state is kept."""

    steps: dict[UUID, StepRecord] = field(default_factory=dict[UUID, StepRecord])
    calls: dict[UUID, CallRecord] = field(default_factory=dict[UUID, CallRecord])
    events: list[EventRecord] = field(default_factory=list[EventRecord])
    transition: Transition | None = None
    waits: dict[UUID, WaitRecord] = field(default_factory=dict[UUID, WaitRecord])

    def batch(self) -> LedgerBatch:
        return LedgerBatch(
            list(self.steps.values()),
            list(self.calls.values()),
            self.events,
            self.transition,
            list(self.waits.values()),
        )


class LedgerWriter:
    """After a failed write it is broken for good: `on_broken` hears why once, and every `flush` raises it."""

    def __init__(self, ledger: Ledger, on_broken: Callable[[BaseException], None]) -> None:
        self._ledger = ledger
        self._on_broken = on_broken
        self._loop = asyncio.get_running_loop()
        self._gathered = _Gathered()
        self._posted = 0
        self._wanted = 0
        self._durable = 0
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._broken: BaseException | None = None

    def post(
        self,
        *,
        steps: Iterable[StepRecord] = (),
        calls: Iterable[CallRecord] = (),
        events: Iterable[EventRecord] = (),
        transition: Transition | None = None,
        waits: Iterable[WaitRecord] = (),
    ) -> None:
        """To be written soon, together with what else is posted until then."""
        if self._broken is not None:
            return
        gathered = self._gathered
        for step in steps:
            gathered.steps[step.id] = step
        for call in calls:
            gathered.calls[call.id] = call
        for wait in waits:
            # Asked and taken back between two writes, it was never shown to anybody.
            if wait.status is WaitStatus.OPEN or gathered.waits.pop(wait.id, None) is None:
                gathered.waits[wait.id] = wait
        gathered.events.extend(events)
        if transition is not None:
            gathered.transition = transition
        self._posted += 1
        if self._timer is None:
            self._timer = self._loop.call_later(LINGER, self._write_soon)

    async def flush(self) -> None:
        """Returns when all that was posted is durable."""
        if self._broken is not None:
            raise self._broken
        if self._durable >= self._posted:
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append((self._posted, waiter))
        self._write_soon()
        await waiter

    async def barrier(self) -> None:
        """`flush` for a step, before it turns to the world. Raises `StepStopped`, which nothing swallows."""
        try:
            await self.flush()
        except Exception as broken:
            raise StepStopped("the ledger takes no more from this worker") from broken

    async def close(self, grace: float) -> None:
        """Nothing is written any more, whoever still posts; a write under way gets `grace` seconds to end."""
        self._broken = self._broken or RuntimeError("the execution has ended")
        self._stop_timer()
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=grace)

    def _write_soon(self) -> None:
        self._stop_timer()
        self._wanted = self._posted
        if self._task is None and self._broken is None:
            # A task of its own: cancelling the step that waits must not cancel the write.
            self._task = self._loop.create_task(self._write())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _write(self) -> None:
        try:
            while self._durable < self._wanted:
                gathered, self._gathered = self._gathered, _Gathered()
                posted = self._posted
                self._stop_timer()
                await self._write_batch(gathered.batch())
                self._durable = posted
                self._wake()
        except BaseException as broken:  # noqa: BLE001  # whatever it is, the run must hear of it
            self._break(broken)
        finally:
            self._task = None

    async def _write_batch(self, batch: LedgerBatch) -> None:
        if not failpoints.armed:
            await self._ledger.write(batch)
            return
        kind = "write" if batch.transition is None else "end"
        await failpoints.reach(f"ledger.{kind}.before")
        await self._ledger.write(batch)
        await failpoints.reach(f"ledger.{kind}.after")

    def _wake(self) -> None:
        waiting: list[tuple[int, asyncio.Future[None]]] = []
        for goal, waiter in self._waiters:
            if goal > self._durable:
                waiting.append((goal, waiter))
            elif not waiter.done():
                waiter.set_result(None)
        self._waiters = waiting

    def _break(self, broken: BaseException) -> None:
        self._broken = broken
        self._stop_timer()
        for _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(broken)
        self._waiters.clear()
        self._on_broken(broken)
