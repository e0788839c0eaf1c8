"""Every worker sends what webhook endpoints are to be told: signed, bounded, and again until it is taken.

A delivery is claimed for a lease. A worker that dies with it leaves it to the others, who send it under the same id:
it is delivered at least once.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID

import aiohttp
from sqlalchemy import bindparam, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUuid
from sqlalchemy.exc import DBAPIError

from shared.database.session import Database, Scope, WriteSession
from shared.database.tables.triggers import WebhookDelivery, WebhookEndpoint
from shared.kit.clock import utcnow
from shared.kit.logging import get_logger
from shared.net.policy import EgressPolicy, UrlRefused
from shared.net.session import BLOCKED, is_blocked, open_session
from shared.security.encryption import Cipher
from shared.webhooks.messages import ENDPOINT_DISABLED, secret_place, webhook_id, wire
from shared.webhooks.signatures import sign

log = get_logger(__name__)

# Between one attempt and the next; after the last of them it is given up, three days after the first.
PAUSES = tuple(timedelta(seconds=s) for s in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400))
# An endpoint that has taken nothing for so long is disabled.
PATIENCE = timedelta(days=5)

_TIMEOUT = 15.0
_LEASE = 60.0
_AT_ONCE = 50
_PER_TENANT = 8
_INTERVAL = 1.0
_BREATH = 0.1
_LONGEST_RETRY_AFTER = timedelta(days=1)
_SHOWN = 1_000
_GONE = 410

_CLAIM = text("SELECT * FROM webhook_claim(:room, :per_tenant, :busy, :lease)").bindparams(
    bindparam("busy", type_=ARRAY(PgUuid(as_uuid=True)))
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one attempt: what the endpoint answered, or why it did not."""

    status: int | None = None
    error: str | None = None
    response: str | None = None
    retry_after: timedelta | None = None

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class _Message:
    endpoint_id: UUID
    url: str
    headers: dict[str, str]
    body: bytes


class Deliveries:
    """`timeout` is how many seconds an endpoint has to answer, `lease` how many a worker has for all of an attempt."""

    def __init__(
        self,
        database: Database,
        cipher: Cipher,
        policy: EgressPolicy,
        *,
        timeout: float = _TIMEOUT,
        lease: float = _LEASE,
    ) -> None:
        self._database = database
        self._cipher = cipher
        self._policy = policy
        self._timeout = timeout
        self._lease = lease
        self._sending: dict[asyncio.Task[None], UUID] = {}

    async def run(self) -> None:
        # Compressed answers stay so: only their beginning is kept, and a small one could unfold into a large one.
        async with open_session(self._policy, auto_decompress=False) as http:
            try:
                while True:
                    claimed = await self._claim(http)
                    await asyncio.sleep(_BREATH if claimed else _INTERVAL * random.uniform(0.5, 1.5))
            finally:
                for task in list(self._sending):
                    task.cancel()
                await asyncio.gather(*self._sending, return_exceptions=True)

    async def _claim(self, http: aiohttp.ClientSession) -> int:
        try:
            claimed = await self._take()
        except (DBAPIError, OSError, TimeoutError) as error:
            log.warning("could not look for webhook deliveries", error=type(error).__name__)
            return 0
        for row in claimed:
            task = asyncio.create_task(self._attempt(http, row.tenant_id, row.id, row.attempt))
            self._sending[task] = row.tenant_id
            task.add_done_callback(self._sending.pop)
        return len(claimed)

    async def _take(self) -> Sequence[Any]:
        room = _AT_ONCE - len(self._sending)
        if room <= 0:
            return []
        busy = [tenant for tenant, count in Counter(self._sending.values()).items() if count >= _PER_TENANT]
        asked = {"room": room, "per_tenant": _PER_TENANT, "busy": busy, "lease": self._lease}
        async with self._database.write(Scope()) as session:
            return (await session.execute(_CLAIM, asked)).all()

    async def _attempt(self, http: aiohttp.ClientSession, tenant_id: UUID, delivery_id: UUID, attempt: int) -> None:
        try:
            message = await self._message(tenant_id, delivery_id)
            if message is None:
                return
            outcome = await self._post(http, message)
            async with self._database.write(Scope(tenant_id)) as session:
                await record(session, message.endpoint_id, delivery_id, attempt, outcome)
        except Exception:
            # It is due again when the lease ends.
            log.exception("a webhook delivery was not attempted to the end", delivery_id=str(delivery_id))

    async def _message(self, tenant_id: UUID, delivery_id: UUID) -> _Message | None:
        """None when the endpoint was deleted meanwhile, and its deliveries with it."""
        statement = (
            select(WebhookDelivery.payload, WebhookEndpoint)
            .join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
            .where(WebhookDelivery.id == delivery_id)
        )
        async with self._database.read(Scope(tenant_id)) as session:
            found = (await session.execute(statement)).one_or_none()
        if found is None:
            return None
        payload, endpoint = found
        secret = self._cipher.open(endpoint.secret, secret_place(endpoint.id, tenant_id))
        body = wire(payload)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Quarterdeck",
            **sign(secret, webhook_id(delivery_id), utcnow(), body),
        }
        return _Message(endpoint.id, endpoint.url, headers, body)

    async def _post(self, http: aiohttp.ClientSession, message: _Message) -> Outcome:
        try:
            self._policy.check_url(message.url)
            async with http.post(
                message.url,
                data=message.body,
                headers=message.headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self._timeout),
            ) as response:
                return await _outcome(response)
        except UrlRefused as refused:
            return Outcome(error=str(refused))
        except TimeoutError:
            return Outcome(error=f"There was no answer within {self._timeout:g} seconds.")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            blocked = isinstance(error, aiohttp.ClientError) and is_blocked(error)
            return Outcome(error=BLOCKED if blocked else "The connection failed.")


async def _outcome(response: aiohttp.ClientResponse) -> Outcome:
    try:
        beginning = await response.content.read(_SHOWN)
    except (aiohttp.ClientError, TimeoutError):
        beginning = b""  # the status is the answer, whatever becomes of the rest
    shown = beginning.decode("utf-8", "replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
    outcome = Outcome(response.status, None, shown, _retry_after(response.headers.get("Retry-After")))
    if outcome.taken:
        return outcome
    return Outcome(response.status, f"The endpoint answered {response.status}.", shown, outcome.retry_after)


def _retry_after(header: str | None) -> timedelta | None:
    """In seconds or as a date, bounded."""
    if header is None:
        return None
    try:
        pause = timedelta(seconds=int(header)) if header.isascii() and header.isdigit() else _until(header)
    except (ValueError, OverflowError, TypeError):
        return None
    return min(max(pause, timedelta()), _LONGEST_RETRY_AFTER)


def _until(date: str) -> timedelta:
    return parsedate_to_datetime(date) - utcnow()


async def record(session: WriteSession, endpoint_id: UUID, delivery_id: UUID, attempt: int, outcome: Outcome) -> None:
    """What became of an attempt, unless another has been made since."""
    endpoint = await session.scalar(
        select(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id).with_for_update(key_share=True)
    )
    delivery = await session.scalar(
        select(WebhookDelivery)
        .where(WebhookDelivery.id == delivery_id, WebhookDelivery.attempts == attempt)
        .with_for_update()
    )
    if endpoint is None or delivery is None:
        return
    delivery.last_status = outcome.status
    delivery.last_error = outcome.error
    delivery.last_response = outcome.response
    if outcome.taken:
        delivery.status, delivery.next_attempt_at = "delivered", None
        if endpoint.failing_since is not None:
            await _note(session, endpoint_id, failing_since=None)
    elif delivery.status == "pending":  # else it was given up while it was sent
        await _record_failure(session, endpoint, delivery, outcome)


async def _record_failure(
    session: WriteSession, endpoint: WebhookEndpoint, delivery: WebhookDelivery, outcome: Outcome
) -> None:
    now = utcnow()
    since = endpoint.failing_since or now
    pause = next_pause(delivery.attempts - delivery.earlier_attempts, outcome)
    reason = _reason_to_disable(outcome, since, now)
    if reason is not None or pause is None:
        delivery.status, delivery.next_attempt_at = "failed", None
    else:
        delivery.next_attempt_at = now + pause
    await session.flush()
    await _note(session, endpoint.id, failing_since=since)
    if reason is not None and endpoint.enabled:
        await _disable(session, endpoint.id, reason)


def next_pause(attempts: int, outcome: Outcome) -> timedelta | None:
    """Until the attempt after so many; None when that was the last. Spread out, so that what failed together does not
    come back together."""
    if attempts > len(PAUSES):
        return None
    pause = PAUSES[attempts - 1] * random.uniform(1.0, 1.2)
    return max(pause, outcome.retry_after) if outcome.retry_after is not None else pause


def _reason_to_disable(outcome: Outcome, since: datetime, now: datetime) -> str | None:
    if outcome.status == _GONE:
        return "The endpoint answered 410: it is gone for good."
    if now - since >= PATIENCE:
        return f"The endpoint has taken nothing since {since:%Y-%m-%d %H:%M} UTC."
    return None


async def _disable(session: WriteSession, endpoint_id: UUID, reason: str) -> None:
    await _note(session, endpoint_id, enabled=False, disabled_reason=reason)
    await session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.endpoint_id == endpoint_id, WebhookDelivery.status == "pending")
        .values(status="failed", next_attempt_at=None, last_error=ENDPOINT_DISABLED)
    )


async def _note(session: WriteSession, endpoint_id: UUID, **values: Any) -> None:
    # It was not changed by anybody, so the time of its last change stays.
    kept = {"updated_at": WebhookEndpoint.updated_at}
    await session.execute(
        update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id).values(**values, **kept),
        execution_options={"synchronize_session": False},
    )
