"""Claims executions as far as there is room, runs them, and lets go of them all when told to leave."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol
from uuid import UUID

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

from services.orchestration.adapters.ledger.claims import Claim
from services.orchestration.adapters.ledger.connections import AWAY
from services.orchestration.adapters.ledger.ledger import PostgresLedger
from services.orchestration.engine import events
from services.orchestration.engine.failures import error_object
from services.orchestration.engine.ports import (
    ExecutionStatus,
    Ledger,
    LedgerBatch,
    StepStatus,
    Superseded,
    Transition,
)
from services.orchestration.worker import metrics
from services.orchestration.worker.holdings import Held, Holdings, Runner
from shared.kit import failpoints
from shared.kit.clock import utcnow
from shared.kit.logging import get_logger

log = get_logger(__name__)

# The doorbell is what brings work; this only finds what was not heard, because Redis was away or emptied.
_POLL = 2.0
# A ring that found no room here is passed on after a moment, and only so often: it may be of use to nobody.
_PASS_ON = 0.1
_PASSES_PER_POLL = 5
_LET_GO = 2.0
_GIVEN_UP = 300.0  # how long the database is waited for to hand over what was given up while it was away


class Queue(Protocol):
    async def take(self, room: dict[str, int], *, suspects: bool, held: Iterable[UUID]) -> list[Claim]: ...


class Bell(Protocol):
    async def ring(self) -> None: ...


class Host:
    """`open_ledger` and `make_runner` make a claim into something that runs."""

    def __init__(
        self,
        queue: Queue,
        holdings: Holdings,
        bell: Bell,
        open_ledger: Callable[[Claim], PostgresLedger],
        make_runner: Callable[[Ledger], Runner],
        clock: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._holdings = holdings
        self._bell = bell
        self._open_ledger = open_ledger
        self._make_runner = make_runner
        self._clock = clock
        self._look = asyncio.Event()
        self._leaving = False
        self._passing_on: asyncio.Task[None] | None = None
        self._passes: deque[float] = deque(maxlen=_PASSES_PER_POLL)

    def hear(self) -> None:
        """The doorbell rang."""
        metrics.RINGS.inc()
        self._look.set()
        full = len(self._holdings.room()) < len(self._holdings.capacity)
        if (full or self._leaving) and self._may_pass_on():
            # It may have rung for what there is no room for here. Whoever has waited longest hears it next.
            self._passing_on = asyncio.create_task(self._pass_on())

    async def run(self) -> None:
        """Claims until it is cancelled. Cancelled in the middle of a claim, it first lets go of what that took."""
        while True:
            claiming = asyncio.ensure_future(self._claim())
            try:
                await asyncio.shield(claiming)
            except asyncio.CancelledError:
                await asyncio.wait((claiming,))
                raise
            try:
                async with asyncio.timeout(_POLL * random.uniform(0.75, 1.25)):
                    await self._look.wait()
            except TimeoutError:
                pass
            self._look.clear()

    async def leave(self, within: float) -> None:
        """Hands over everything: running steps are stopped and stay open for the next worker. Call it once, with
        `run` still going or already cancelled; nothing is started any more."""
        self._leaving = True
        held = {each.task: each for each in self._holdings if each.task is not None}
        for each in held.values():
            each.runner.park()
        if held:
            _, holding = await asyncio.wait(held, timeout=within)
            await asyncio.gather(*(self._let_go(held[task]) for task in holding))
            await self._bell.ring()

    async def _claim(self) -> None:
        room = self._holdings.room()
        if not room or self._leaving:
            return
        try:
            suspects, held = self._holdings.may_take_suspect(), self._holdings.epochs()
            claims = await self._queue.take(room, suspects=suspects, held=held)
        except AWAY as error:
            log.warning("could not look for work", error=repr(error))
            return
        for claim in claims:
            if self._leaving:
                await self._release(claim, self._open_ledger(claim), within=_LET_GO)
            else:
                self._start(claim)
        if claims and (self._leaving or len(self._holdings.room()) < len(room)):
            # What was handed back waits again; and a lane that is full now may have more waiting for others.
            await self._bell.ring()

    def _start(self, claim: Claim) -> None:
        ledger = self._open_ledger(claim)
        held = Held(claim, ledger, self._make_runner(ledger), claimed_at=self._clock())
        held.task = asyncio.create_task(self._run(held))
        held.task.add_done_callback(lambda _: self._ended(held))
        self._holdings.add(held)
        metrics.CLAIMED.labels(claim.lane).inc()
        if claim.epoch == 1:
            metrics.QUEUED_SECONDS.observe(max(0.0, (utcnow() - claim.created_at).total_seconds()))
        if claim.cancel_requested:
            held.cancel()
        elif claim.pause_requested:
            held.pause()

    async def _run(self, held: Held) -> None:
        claim = held.claim
        try:
            outcome: str = await held.runner.run()
        except Exception as error:
            log.error("an execution could not be carried on", execution_id=str(claim.id), exc_info=error)
            outcome = await self._fail(held.ledger, error)
        if held.given_up:
            # It runs no longer; once the database is back, somebody may go on with it at once.
            self._holdings.remove(held)
            await self._release(held.claim, held.ledger, within=_GIVEN_UP)
        metrics.OUTCOMES.labels(outcome).inc()
        log.info("execution let go", execution_id=str(claim.id), tenant_id=str(claim.tenant_id), outcome=outcome)

    async def _fail(self, ledger: PostgresLedger, error: Exception) -> str:
        """Ends what the engine could not end. Failing that too, the reaper finds it when its lease is over."""
        now = utcnow()
        failed = ExecutionStatus.FAILED
        told = error_object("internal_error", f"an internal error ({type(error).__name__}); the worker's log has more")
        try:
            steps, _ = await ledger.recorded()
            closed = [
                replace(step, status=StepStatus.FAILED, error=told, finished_at=now)
                for step in steps
                if step.status in (StepStatus.RUNNING, StepStatus.WAITING)
            ]
            lines = [events.step_finished(step) for step in closed]
            lines += [events.execution_status(failed, now), events.done(failed, None, told, now)]
            await ledger.write(LedgerBatch(steps=closed, events=lines, transition=Transition(failed, None, told)))
        except (Superseded, asyncpg.PostgresError, *AWAY):
            return "dropped"
        return failed.value

    def _ended(self, held: Held) -> None:
        self._holdings.remove(held)
        # There is room now; and one that went to wait may have been answered in that moment, and be queued again.
        self._look.set()

    async def _let_go(self, held: Held) -> None:
        """Of one whose steps would not stop in time: released all the same, and what it still writes is refused."""
        log.warning("released while a step still runs", execution_id=str(held.claim.id))
        held.runner.abandon()
        await self._release(held.claim, held.ledger, within=_LET_GO)

    async def _release(self, claim: Claim, ledger: PostgresLedger, within: float) -> None:
        try:
            async with asyncio.timeout(within):
                if failpoints.armed:
                    await failpoints.reach("worker.release")
                await ledger.release()
        except (Superseded, asyncpg.PostgresError, *AWAY) as error:
            log.warning("not handed over", execution_id=str(claim.id), error=repr(error))

    def _may_pass_on(self) -> bool:
        if self._passing_on is not None:
            return False
        return len(self._passes) < _PASSES_PER_POLL or self._clock() - self._passes[0] > _POLL

    async def _pass_on(self) -> None:
        self._passes.append(self._clock())
        await asyncio.sleep(_PASS_ON)
        self._passing_on = None
        await self._bell.ring()
