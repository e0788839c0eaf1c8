"""What this worker holds: the executions it has claimed and not yet let go."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol
from uuid import UUID

from services.orchestration.adapters.ledger.claims import Claim
from services.orchestration.adapters.ledger.ledger import PostgresLedger
from services.orchestration.engine.runner import Outcome


class Runner(Protocol):
    """The engine's hold on one execution: see `ExecutionRunner`."""

    async def run(self) -> Outcome: ...

    def cancel(self) -> None: ...

    def park(self) -> None: ...

    def pause(self) -> None: ...

    def wake(self) -> None: ...

    def abandon(self) -> None: ...


class Held:
    """One claimed execution while it runs. `renewed_at` is when its lease was last known to be ours."""

    def __init__(self, claim: Claim, ledger: PostgresLedger, runner: Runner, claimed_at: float) -> None:
        self.claim = claim
        self.ledger = ledger
        self.runner = runner
        self.claimed_at = claimed_at
        self.renewed_at = claimed_at
        self.given_up = False
        self.task: asyncio.Task[None] | None = None
        self._told_to_cancel = False
        self._told_to_pause = False
        self._wakes = claim.wakes

    def cancel(self) -> None:
        """Somebody asked for it; asking again is no news."""
        if not self._told_to_cancel:
            self._told_to_cancel = True
            self.runner.cancel()

    def pause(self) -> None:
        if not self._told_to_pause:
            self._told_to_pause = True
            self.runner.pause()

    def wake(self, wakes: int) -> None:
        """So often has a wait been settled by now."""
        if wakes > self._wakes:
            self._wakes = wakes
            self.runner.wake()

    def lose(self) -> None:
        """Another worker has it."""
        self.ledger.lose()
        self.runner.abandon()

    def give_up(self) -> None:
        """The database is away, and another worker may have it any moment."""
        self.given_up = True
        self.ledger.give_up()
        self.runner.abandon()


class Holdings:
    """`capacity` is how many of each lane run at once. A suspect that has run for `probation` seconds and killed
    nobody no longer keeps other suspects away."""

    def __init__(self, capacity: Mapping[str, int], probation: float, clock: Callable[[], float]) -> None:
        self.capacity = dict(capacity)
        self._probation = probation
        self._clock = clock
        self._held: dict[UUID, Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        return iter(list(self._held.values()))

    def get(self, execution_id: UUID) -> Held | None:
        return self._held.get(execution_id)

    def add(self, held: Held) -> None:
        self._held[held.claim.id] = held

    def remove(self, held: Held) -> None:
        if self._held.get(held.claim.id) is held:
            del self._held[held.claim.id]

    def room(self) -> dict[str, int]:
        """Of the lanes that have any."""
        taken = self.by_lane()
        left = {lane: capacity - taken[lane] for lane, capacity in self.capacity.items()}
        return {lane: room for lane, room in left.items() if room > 0}

    def by_lane(self) -> Counter[str]:
        return Counter(held.claim.lane for held in self._held.values())

    def may_take_suspect(self) -> bool:
        now = self._clock()
        return not any(held.claim.suspect and now - held.claimed_at < self._probation for held in self)

    def epochs(self) -> dict[UUID, int]:
        return {held.claim.id: held.claim.epoch for held in self._held.values()}
