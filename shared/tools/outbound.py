"""Requests that tenants' tools and workflows make: through `shared/net`, with the credential of a connection."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Final
from uuid import UUID

import aiohttp
from aiohttp.abc import AbstractResolver
from sqlalchemy import select
from yarl import URL

from shared.database.away import outlast
from shared.database.session import Database, Scope
from shared.database.tables.tools import Connection
from shared.kit.clock import utcnow
from shared.kit.json import Json, loads
from shared.net.fetch import Fetched, FetchFailed, Limits, fetch
from shared.net.policy import EgressPolicy, Endpoint, UrlRefused
from shared.net.session import open_session
from shared.security.encryption import CannotDecrypt, Cipher
from shared.tools.connections import Credential, open_credential
from shared.workflow.requests import RequestInvalid, check_headers, full_url

USER_AGENT: Final = "Quarterdeck"
IDEMPOTENCY_KEY: Final = "Idempotency-Key"
# What most services take as a key.
_LONGEST_KEY: Final = 255
_PASSES: Final = frozenset((408, 425, 429))
_SERVER_ERROR: Final = 500
_LONGEST_PAUSE: Final = 3600.0
_DATABASE_PATIENCE: Final = 30.0
_JSON_TYPE: Final = re.compile(r"application/(?:[a-z0-9.-]+\+)?json|text/json")
_TEXT_TYPE: Final = re.compile(
    r"text/.*|application/(?:[a-z0-9.-]+\+)?(?:json|xml|yaml|x-yaml|javascript|x-www-form-urlencoded|x-ndjson|graphql)"
)


class OutboundFailed(Exception):
    """There is no answer, or one that says to come back later (`status`). The message is fit to be shown and carries
    no credentials; `source` is the host."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        source: str,
        retryable: bool = False,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.source = source
        self.retryable = retryable
        self.retry_after = retry_after
        self.status = status


@dataclass(frozen=True, slots=True)
class Outgoing:
    """`timeout` is in seconds, for all of it. `max_bytes` bounds the answer as it is once it is decompressed."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None
    timeout: float = 30.0
    max_bytes: int = 1024 * 1024
    connection_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """`data` is the body when it is JSON, `text` is it always; what is no text is only named. No secret is in it."""

    source: str
    status: int
    headers: dict[str, str]
    text: str
    data: Json

    @property
    def passes(self) -> bool:
        """Whether the same request may be answered better later."""
        return self.status in _PASSES or self.status >= _SERVER_ERROR

    @property
    def retry_after(self) -> float | None:
        """In how many seconds, if the service says so."""
        return _seconds(self.headers.get("retry-after"))


class Outbound:
    """One per process, used from one event loop."""

    def __init__(
        self, database: Database, cipher: Cipher, policy: EgressPolicy, *, resolver: AbstractResolver | None = None
    ) -> None:
        self._database = database
        self._cipher = cipher
        self._policy = policy
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    @property
    def policy(self) -> EgressPolicy:
        """Where its requests may go."""
        return self._policy

    async def send(self, tenant_id: UUID, request: Outgoing, idempotency_key: str | None = None) -> Reply:
        """The answer, whatever its status. Raises `OutboundFailed`."""
        url, endpoint = self._destination(request)
        credential = await self._credential(tenant_id, request.connection_id, endpoint)
        try:
            fetched = await fetch(
                self._connections(),
                self._policy,
                request.method,
                url,
                headers=_headers(request, idempotency_key),
                credentials=credential.headers if credential else None,
                body=request.body,
                limits=Limits(max_bytes=request.max_bytes, timeout=request.timeout),
            )
        except FetchFailed as error:
            message = f"{endpoint.host}: {error}"
            raise OutboundFailed(
                message, code=error.problem.value, source=endpoint.host, retryable=error.problem.passes
            ) from error
        except ValueError as error:
            # The HTTP client's own check of what is sent.
            raise _invalid(endpoint.host, "the request cannot be sent like this") from error
        return _reply(fetched, endpoint.host, credential)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _connections(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = open_session(self._policy, resolver=self._resolver)
        return self._session

    def _destination(self, request: Outgoing) -> tuple[str, Endpoint]:
        """The URL as the HTTP client will read it, so that what is checked is what is requested."""
        try:
            check_headers(request.headers)
            url = str(URL(full_url(request.url)))
            return url, self._policy.check_url(url)
        except RequestInvalid as error:
            raise _invalid("http", str(error)) from error
        except UrlRefused as error:
            raise OutboundFailed(str(error), code="address_refused", source="http") from error
        except (ValueError, TypeError) as error:
            raise _invalid("http", "the URL is malformed") from error

    async def _credential(self, tenant_id: UUID, connection_id: UUID | None, endpoint: Endpoint) -> Credential | None:
        if connection_id is None:
            return None
        row = await outlast(lambda: self._connection(tenant_id, connection_id), within=_DATABASE_PATIENCE)
        if row is None:
            raise _unusable("connection_missing", "The connection does not exist any more.")
        try:
            credential = open_credential(row, self._cipher)
        except CannotDecrypt as error:
            message = f"The secret of the connection {row.name!r} cannot be decrypted: enter it again."
            raise _unusable("connection_unreadable", message) from error
        if not credential.is_for(endpoint):
            message = f"The connection {row.name!r} is for {row.host}, not for {endpoint.host}:{endpoint.port}."
            raise _unusable("connection_bound", message)
        if endpoint.scheme != "https" and not self._policy.names(endpoint.host, endpoint.port):
            message = f"The connection {row.name!r} goes over https only: its secret could be read on the way."
            raise _unusable("connection_unencrypted", message)
        return credential

    async def _connection(self, tenant_id: UUID, connection_id: UUID) -> Connection | None:
        async with self._database.read(Scope(tenant_id=tenant_id)) as session:
            return await session.scalar(select(Connection).where(Connection.id == connection_id))


def _unusable(code: str, message: str) -> OutboundFailed:
    return OutboundFailed(message, code=code, source="connections")


def _invalid(source: str, message: str) -> OutboundFailed:
    return OutboundFailed(message, code="request_invalid", source=source)


def _headers(request: Outgoing, idempotency_key: str | None) -> dict[str, str]:
    headers = {"User-Agent": USER_AGENT, **request.headers}
    if idempotency_key is not None:
        headers[IDEMPOTENCY_KEY] = sendable_key(idempotency_key)
    return headers


def sendable_key(key: str) -> str:
    """The key itself where it can be a header's value that every service takes, else its hash."""
    if key.isascii() and key.isprintable() and len(key) <= _LONGEST_KEY:
        return key
    return sha256(key.encode("utf-8", "backslashreplace")).hexdigest()


def _reply(fetched: Fetched, source: str, credential: Credential | None) -> Reply:
    def shown(text: str) -> str:
        return credential.hide(text) if credential else text

    headers: dict[str, str] = {}
    for name, value in fetched.headers.items():
        known = headers.get(name.lower())
        headers[name.lower()] = shown(value) if known is None else f"{known}, {shown(value)}"
    kind, charset = _content_type(headers.get("content-type", ""))
    text = shown(_decoded(fetched.body, kind, charset))
    return Reply(source, fetched.status, headers, text, _parsed(text, kind))


def _content_type(header: str) -> tuple[str, str]:
    kind, *parameters = header.lower().split(";")
    charset = next((p.partition("=")[2] for p in parameters if p.strip().startswith("charset=")), "utf-8")
    return kind.strip(), charset.strip(" \"'")


def _decoded(body: bytes, kind: str, charset: str) -> str:
    if not body:
        return ""
    if kind and not _TEXT_TYPE.fullmatch(kind) and not _is_utf8(body):
        return f"[{kind}, {len(body)} bytes]"
    try:
        return body.decode("utf-8-sig" if charset in ("utf-8", "utf8") else charset, "replace")
    except (LookupError, UnicodeError, ValueError):
        return body.decode("utf-8", "replace")


def _is_utf8(body: bytes) -> bool:
    try:
        return b"\x00" not in body and bool(body.decode())
    except UnicodeDecodeError:
        return False


def _parsed(text: str, kind: str) -> Json:
    """Services that call their JSON something else are taken at what they send, not at what they say."""
    if not _JSON_TYPE.fullmatch(kind) and text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return loads(text)
    except ValueError:
        return None


def _seconds(header: str | None) -> float | None:
    """Of a Retry-After, which is a number or a date."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(header) - utcnow()).total_seconds()
        except (ValueError, TypeError):
            return None
    return None if math.isnan(seconds) else min(max(0.0, seconds), _LONGEST_PAUSE)
