"""How a run ends: the first reason counts, save that a lost ledger ends everything.

That nothing is left but to wait stops nobody, so any other reason that comes before it is written takes its place.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from services.orchestration.engine.ports import WaitRecord
from shared.kit.json import Json, JsonObject


class Reason(Enum):
    DONE = auto()
    FAILED = auto()
    CANCEL = auto()
    PARK = auto()
    PAUSE = auto()
    WAIT = auto()
    LOST = auto()


@dataclass(frozen=True, slots=True)
class Ending:
    reason: Reason
    output: Json = None
    error: JsonObject | None = None
    cause: BaseException | None = None


class EndSignal:
    def __init__(self) -> None:
        self._ending: Ending | None = None
        self._waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def ending(self) -> Ending | None:
        return self._ending

    def end(self, ending: Ending) -> None:
        if self._ending is None or self._ending.reason is Reason.WAIT or ending.reason is Reason.LOST:
            self._ending = ending
        if not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> Ending:
        await self._waiter
        assert self._ending is not None
        return self._ending


class Work(Protocol):
    """What the runner drives: a graph or a job. It ends by telling the signal it was given."""

    def start(self) -> None: ...

    def woken(self, waits: Sequence[WaitRecord]) -> None:
        """All waits as they stand, some of them settled since they were last looked at."""
        ...

    def stop(self) -> set[asyncio.Task[None]]:
        """Tells what still runs to stop, each once; answers with it."""
        ...
