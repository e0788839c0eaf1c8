"""One outbound request with everything bounded: time, size, redirects, and where it may lead."""

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urljoin

import aiohttp

from shared.net.policy import EgressPolicy, UrlRefused
from shared.net.session import BLOCKED, is_blocked

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# What a redirect to another origin must not carry along, beside what was given as a credential: every service has
# a name of its own for the header with its key.
_BOUND_TO_ORIGIN = re.compile("auth|cookie|credential|key|passw|secret|session|signature|token", re.IGNORECASE)


class FetchProblem(StrEnum):
    TIMEOUT = "timeout"
    CONNECTION = "connection_failed"
    BLOCKED = "address_blocked"
    TOO_LARGE = "answer_too_large"
    REDIRECT = "redirect_refused"

    @property
    def passes(self) -> bool:
        """Whether the same request may come through later."""
        return self in (FetchProblem.TIMEOUT, FetchProblem.CONNECTION)


class FetchFailed(Exception):
    """The request could not be completed. The message is fit to be shown and carries no credentials."""

    def __init__(self, message: str, problem: FetchProblem) -> None:
        super().__init__(message)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Fetched:
    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """`timeout` is in seconds, for all of it: redirects and the body included."""

    max_bytes: int = 10 * 1024 * 1024
    max_redirects: int = 5
    timeout: float = 30.0


async def fetch(
    session: aiohttp.ClientSession,
    policy: EgressPolicy,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    credentials: Mapping[str, str] | None = None,
    body: bytes | None = None,
    limits: Limits = Limits(),
    before: Callable[[str], Awaitable[None]] | None = None,
) -> Fetched:
    """Requests `url` through a session of `open_session` and reads the whole answer, whatever its status.

    `credentials` are headers that go to the origin of `url` alone. Redirects are followed for GET and HEAD only.
    `before` is asked of every URL before it is requested, and may take its time; what it raises ends it all.
    Raises `FetchFailed`, or `UrlRefused` for the URL given.
    """
    origin = policy.check_url(url)
    carried = {**(headers or {}), **(credentials or {})}
    bound = {name.lower() for name in credentials or {}}
    deadline = time.monotonic() + limits.timeout
    for _ in range(limits.max_redirects + 1):
        if before is not None:
            asked = time.monotonic()
            await before(url)
            deadline += time.monotonic() - asked
        answer = await _request(session, method, url, carried, body, limits, deadline)
        location = answer.headers.get("Location")
        if answer.status not in _REDIRECTS or location is None or method not in ("GET", "HEAD"):
            return answer
        url = urljoin(url, location)
        try:
            target = policy.check_url(url)
        except UrlRefused as error:
            message = f"redirected to where it may not go: {error}"
            raise FetchFailed(message, FetchProblem.REDIRECT) from error
        if target != origin:
            carried = {
                name: value
                for name, value in carried.items()
                if name.lower() not in bound and not _BOUND_TO_ORIGIN.search(name)
            }
    raise FetchFailed(f"redirected more than {limits.max_redirects} times", FetchProblem.REDIRECT)


async def _request(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    limits: Limits,
    deadline: float,
) -> Fetched:
    # Zero would mean no limit.
    timeout = aiohttp.ClientTimeout(total=max(0.001, deadline - time.monotonic()))
    try:
        async with session.request(
            method, url, headers=headers, data=body, allow_redirects=False, timeout=timeout
        ) as response:
            content = await _read(response, limits.max_bytes)
            return Fetched(url, response.status, response.headers, content)
    except TimeoutError as error:
        raise FetchFailed(f"no complete answer within {limits.timeout:g} s", FetchProblem.TIMEOUT) from error
    except aiohttp.ClientError as error:
        if is_blocked(error):
            raise FetchFailed(BLOCKED, FetchProblem.BLOCKED) from error
        raise FetchFailed("the connection failed", FetchProblem.CONNECTION) from error


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """The body after decompression, so that a small answer cannot unfold into a large one."""
    content = bytearray()
    async for piece in response.content.iter_chunked(64 * 1024):
        content += piece
        if len(content) > max_bytes:
            raise FetchFailed(f"the answer is larger than {max_bytes} bytes", FetchProblem.TOO_LARGE)
    return bytes(content)
