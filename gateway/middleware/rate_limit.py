"""How often a caller may ask. The rules are slowapi's, the counts stand in Valkey for all gateways together.

Counting every request in Valkey would cost as much as forwarding it, so a gateway takes a caller's quota out of
Valkey in blocks of a few percent and spends it here. No more is ever let through than the rule says;
several gateways may let through less by a block each. While Valkey is away each gateway counts for itself.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from slowapi.wrappers import Limit, LimitGroup
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.routing import ROUTE, Route, Traffic
from shared.auth.principal import Principal
from shared.kit.logging import get_logger
from shared.kit.settings import Settings
from shared.net.addresses import line_of
from shared.web.throttle import TooManyRequests

log = get_logger(__name__)

BLOCKS_IN_A_RULE = 20
REMEMBERED_CALLERS = 20_000
# Valkey is asked again this long after it failed to answer.
RETRY_SECONDS = 5.0
_VALKEY_TIMEOUT = 0.5


def caller(scope: Scope) -> str:
    """Whose quota a request is taken from: the person's, the API key's, or that of the address it comes from."""
    principal: Principal | None = scope["state"].get("principal")
    if principal is None:
        return address(scope)
    return f"key:{principal.api_key_id}" if principal.api_key_id else f"user:{principal.user_id}"


def address(scope: Scope) -> str:
    client = scope.get("client")
    return f"address:{line_of(client[0]) if client else '-'}"


def _rules(text: str, name: str) -> tuple[Limit, ...]:
    """`text` as slowapi takes it: "1200/minute; 20000/day"."""
    group = LimitGroup(
        text,
        key_function=caller,
        scope=name,
        per_method=False,
        methods=None,
        error_message=None,
        exempt_when=None,
        cost=1,
        override_defaults=False,
    )
    return tuple(group)


@dataclass(slots=True)
class _Quota:
    """What is left here of the blocks taken for one caller in the window that ends at `until`."""

    left: int = 0
    until: float = 0.0
    exhausted: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class RateLimits:
    def __init__(self, settings: Settings) -> None:
        broker_url = settings.broker_url.get_secret_value()
        self._pool: Any = ConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType] - **kwargs untyped
            broker_url,
            socket_timeout=_VALKEY_TIMEOUT,
            socket_connect_timeout=_VALKEY_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        self._shared: Storage = RedisStorage(
            f"async+{broker_url}", implementation="redispy", key_prefix="gateway", connection_pool=self._pool
        )
        self._local: Storage = MemoryStorage()
        self._away_until = 0.0
        self._quotas: OrderedDict[tuple[str, str], _Quota] = OrderedDict()
        self._callers = _rules(settings.rate_limit, "callers")
        self._anonymous = _rules(settings.rate_limit_anonymous, "anonymous")
        self._credentials = _rules(settings.rate_limit_credentials, "credentials")

    async def count(self, scope: Scope) -> None:
        """Counts the request; raises TooManyRequests when its caller has asked too often."""
        route: Route = scope[ROUTE]
        if "principal" in scope["state"]:
            await self._spend(self._callers, caller(scope))
            return
        await self.count_anonymous(scope)
        if route.traffic is Traffic.CREDENTIALS:
            await self._spend(self._credentials, address(scope))

    async def count_anonymous(self, scope: Scope) -> None:
        await self._spend(self._anonymous, address(scope))

    async def close(self) -> None:
        await self._pool.disconnect()

    async def _spend(self, rules: Sequence[Limit], who: str) -> None:
        for rule in rules:
            quota = self._quota(rule, who)
            if quota.left == 0 or quota.until <= time.time():
                async with quota.lock:
                    await self._refill(quota, rule, who)
            if quota.exhausted:
                raise TooManyRequests(quota.until - time.time())
            quota.left -= 1

    def _quota(self, rule: Limit, who: str) -> _Quota:
        key = (f"{rule.scope}/{rule.limit}", who)
        quota = self._quotas.get(key)
        if quota is None:
            quota = self._quotas[key] = _Quota()
            if len(self._quotas) > REMEMBERED_CALLERS:
                self._quotas.popitem(last=False)
        return quota

    async def _refill(self, quota: _Quota, rule: Limit, who: str) -> None:
        now = time.time()
        if quota.until > now and (quota.left > 0 or quota.exhausted):
            return  # while this one waited for the lock
        # Windows are aligned to the clock, so that every gateway knows without asking when one ends.
        period = rule.limit.get_expiry()
        window = int(now // period)
        block = max(1, rule.limit.amount // BLOCKS_IN_A_RULE)
        taken = await self._take(rule.limit.key_for(rule.scope, who, str(window)), period, block)
        granted = max(0, block - max(0, taken - rule.limit.amount))
        quota.until = (window + 1) * period
        quota.left = granted
        quota.exhausted = granted == 0

    async def _take(self, key: str, period: int, amount: int) -> int:
        """How much has been taken in this window, this block included."""
        if time.monotonic() >= self._away_until:
            try:
                return await self._shared.incr(key, period, amount)
            except Exception as error:  # noqa: BLE001 - the client's errors are many; the local count stands in
                self._away_until = time.monotonic() + RETRY_SECONDS
                log.warning("rate limits count in this process only", cause=type(error).__name__)
        return await self._local.incr(key, period, amount)


class RateLimit:
    def __init__(self, app: ASGIApp, limits: RateLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._limits.count(scope)
        await self._app(scope, receive, send)
