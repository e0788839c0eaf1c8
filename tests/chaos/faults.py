"""What is done to the world, by a plan that a seed decides."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from asyncpg import PostgresError  # pyright: ignore[reportMissingTypeStubs]
from redis.asyncio import Redis

from tests.chaos.workloads import RULES, SYSTEM_RULES
from tests.chaos.world import LEASE, World

# How often each comes up. All of them are worth having; a kill of a worker is what the product must shrug off most.
_WEIGHTS = {
    "worker_kill": 6,
    "worker_freeze": 2,
    "worker_stop": 2,
    "api_kill": 2,
    "redis_flush": 3,
    "redis_kill": 1,
    "postgres_kill": 2,
    "provider_fault": 4,
    "system_fault": 2,
}
# All after the system has done what it was asked to: whoever asked does not learn it.
SYSTEM_FAULTS = ("drop", "half", "garbage")
PROVIDER_FAULTS = ("rate_limit", "error", "garbage", "truncate", "drop", "close")


class Chaos:
    def __init__(self, world: World) -> None:
        self._world = world
        self._dice = world.dice
        self._frozen: set[asyncio.Task[None]] = set()
        self._happened: set[str] = set()
        self._ways: dict[str, Callable[[], Awaitable[bool]]] = {
            "worker_kill": self._worker_kill,
            "worker_freeze": self._worker_freeze,
            "worker_stop": self._worker_stop,
            "api_kill": self._api_kill,
            "redis_flush": self._redis_flush,
            "redis_kill": self._redis_kill,
            "postgres_kill": self._postgres_kill,
            "provider_fault": self._provider_fault,
            "system_fault": self._system_fault,
        }

    async def reign(self, seconds: float) -> None:
        """Every kind once, in an order of chance, then as the dice say, until the time is over; nothing is left
        frozen or away."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        first = list(self._ways)
        self._dice.shuffle(first)
        while loop.time() < until or first:
            kind = first.pop() if first else self._dice.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
            happened = False
            with contextlib.suppress(OSError, TimeoutError, PostgresError):  # the database may be away
                happened = await self._ways[kind]()
            if not happened and kind not in self._happened:
                first.insert(0, kind)
            self._happened |= {kind} if happened else set()
            await self._world.read_refusals()
            await asyncio.sleep(self._dice.uniform(0.5, 3.0))
        if self._frozen:
            await asyncio.wait(self._frozen)
        self._world.provider.script(*RULES)
        self._world.system.script(*SYSTEM_RULES)

    async def _worker_kill(self) -> bool:
        worker = self._world.live_worker()
        if worker is None or worker.process is None:
            return False
        held = await self._world.held_by(worker)
        self._world.ended(worker)
        worker.process.kill()
        self._world.note("worker_kill", f"pid {worker.process.pid}", held)
        return True

    async def _worker_freeze(self) -> bool:
        worker = self._world.live_worker()
        if worker is None or worker.process is None or self._frozen:
            return False
        pid = worker.process.pid
        held = await self._world.held_by(worker)
        os.kill(pid, signal.SIGSTOP)
        self._world.note("worker_freeze", f"pid {pid} for {3 * LEASE:g} s", held)

        async def thaw() -> None:
            await asyncio.sleep(3 * LEASE)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(1.0)
            await self._world.read_refusals()

        task = asyncio.create_task(thaw())
        self._frozen.add(task)
        task.add_done_callback(self._frozen.discard)
        return True

    async def _worker_stop(self) -> bool:
        worker = self._world.live_worker()
        if worker is None or worker.process is None:
            return False
        self._world.ended(worker)
        worker.process.signal(signal.SIGTERM)
        self._world.note("worker_stop", f"pid {worker.process.pid}")
        return True

    async def _api_kill(self) -> bool:
        assert self._world.api.process is not None
        self._world.api.process.kill()
        await self._world.api.process.wait(5)
        self._world.note("api_kill", "the API")
        await asyncio.sleep(self._dice.uniform(0, 0.5))
        await self._world.api.start()
        return True

    async def _redis_flush(self) -> bool:
        url = self._world.settings.broker_url.get_secret_value()
        redis: Redis = Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]
        async with redis:
            await redis.flushall()
        self._world.note("redis_flush", "FLUSHALL")
        return True

    async def _redis_kill(self) -> bool:
        assert self._world.valkey.process is not None
        self._world.valkey.process.kill()
        await self._world.valkey.process.wait(5)
        self._world.note("redis_kill", "Valkey")
        await asyncio.sleep(self._dice.uniform(0.2, 2))
        await self._world.valkey.start()
        return True

    async def _postgres_kill(self) -> bool:
        assert self._world.postgres.process is not None
        self._world.postgres.process.kill()
        await self._world.postgres.process.wait(5)
        self._world.note("postgres_kill", "Postgres")
        await asyncio.sleep(self._dice.uniform(0.2, 2))
        await self._world.postgres.start()
        return True

    async def _provider_fault(self) -> bool:
        kind, times = self._dice.choice(PROVIDER_FAULTS), self._dice.randint(1, 8)
        fault: dict[str, Any] = {"fault": {"kind": kind}, "times": times}
        if kind == "rate_limit":
            fault["fault"]["retry_after"] = "1"
        await asyncio.to_thread(self._world.provider.script, fault, *RULES)
        self._world.note("provider_fault", f"{kind} x{times}")
        return True

    async def _system_fault(self) -> bool:
        kind, times = self._dice.choice(SYSTEM_FAULTS), self._dice.randint(1, 4)
        fault = {"behave": kind, "times": times}
        await asyncio.to_thread(self._world.system.script, fault, *SYSTEM_RULES)
        self._world.note("system_fault", f"{kind} x{times}")
        return True
