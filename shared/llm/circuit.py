"""A circuit per provider endpoint: while it is out of order, callers wait their turn instead of piling on."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass


class CircuitOpen(Exception):
    """The endpoint was failing and no try was allowed within the caller's patience."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("the endpoint keeps failing")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class CircuitLimits:
    """Opens after `threshold` failures in a row, first for `pause` seconds, doubling up to `longest_pause`."""

    threshold: int = 5
    pause: float = 1.0
    longest_pause: float = 30.0


class Circuit:
    """Closed: everybody passes. Open: nobody. After the pause one caller tries; its outcome closes or reopens."""

    def __init__(self, limits: CircuitLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._failures = 0
        self._opened = 0
        self._open_until = 0.0
        self._trying = False
        self._settled = asyncio.Event()

    @property
    def is_open(self) -> bool:
        return self._opened > 0

    async def admit(self, patience: float) -> bool:
        """Returns when a try may be made, with whether it is the one that decides about an open circuit.

        Every try must end in `succeeded`, `failed` or `abandoned`, told the same. Raises `CircuitOpen` when no try
        may be made for longer than `patience` seconds.
        """
        give_up_at = self._clock() + patience
        while self.is_open:
            now = self._clock()
            if now >= self._open_until and not self._trying:
                self._trying = True
                return True
            # Not the event alone: the pause ends without anybody telling.
            wake_at = give_up_at if self._trying else min(self._open_until, give_up_at)
            if now >= give_up_at:
                raise CircuitOpen(max(0.0, self._open_until - now))
            await self._wait(wake_at - now)
        return False

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._settled.wait()
        except TimeoutError:
            return

    def succeeded(self, deciding: bool) -> None:
        self._failures = self._opened = 0
        self._settle(deciding)

    def failed(self, deciding: bool) -> None:
        self._failures += 1
        if deciding or (not self.is_open and self._failures >= self._limits.threshold):
            pause = min(self._limits.pause * 2**self._opened, self._limits.longest_pause)
            self._opened += 1
            self._open_until = self._clock() + pause
        self._settle(deciding)

    def abandoned(self, deciding: bool) -> None:
        """The try was cancelled and says nothing about the endpoint."""
        self._settle(deciding)

    def _settle(self, deciding: bool) -> None:
        if deciding or not self.is_open:
            self._trying = False
            self._settled.set()
            self._settled = asyncio.Event()
