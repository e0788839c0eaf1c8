"""Throttles what an attacker would repeat. Counts live in Redis, and in this process while Redis is away."""

import time

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import Redis

from shared.kit.logging import get_logger
from shared.web.errors import AppError

log = get_logger(__name__)


class TooManyRequests(AppError):
    status = 429
    code = "too_many_requests"
    message = "Too many requests. Wait a little, then try again."

    def __init__(self, retry_after: float) -> None:
        super().__init__(headers={"Retry-After": str(max(1, round(retry_after)))})


class Throttle:
    def __init__(self, broker_url: str, redis: Redis) -> None:
        """Shares the connections of `redis`, which `broker_url` leads to."""
        storage = RedisStorage(
            f"async+{broker_url}",
            implementation="redispy",
            key_prefix="throttle",
            connection_pool=redis.connection_pool,  # pyright: ignore[reportArgumentType] - handed on to redis-py as it is
        )
        self._shared = MovingWindowRateLimiter(storage)
        self._local = MovingWindowRateLimiter(MemoryStorage())

    async def check(self, rule: str, *identity: str) -> None:
        """Counts one request of `identity` under `rule` ("10/minute"); raises TooManyRequests over it."""
        item = parse(rule)
        try:
            await _hit(self._shared, item, identity)
        except TooManyRequests:
            raise
        except Exception as error:  # noqa: BLE001 - the storage's own errors are many; the local count stands in
            log.warning("throttle counts in this process only", cause=type(error).__name__)
            await _hit(self._local, item, identity)

    async def forget(self, rule: str, *identity: str) -> None:
        """Starts the count of `identity` anew, as after a success."""
        item = parse(rule)
        await self._local.clear(item, *identity)
        try:
            await self._shared.clear(item, *identity)
        except Exception as error:  # noqa: BLE001 - as above
            log.warning("throttle could not be cleared", cause=type(error).__name__)


async def _hit(limiter: MovingWindowRateLimiter, item: RateLimitItem, identity: tuple[str, ...]) -> None:
    if not await limiter.hit(item, *identity):
        window = await limiter.get_window_stats(item, *identity)
        raise TooManyRequests(window.reset_time - time.time())
