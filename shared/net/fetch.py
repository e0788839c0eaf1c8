"""One outbound request with everything bounded: time, size, redirects, and where it may lead."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin

import aiohttp

from shared.net.policy import EgressPolicy, UrlRefused
from shared.net.session import BLOCKED, is_blocked

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# What a redirect to another origin must not carry along.
_BOUND_TO_ORIGIN = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})


class FetchFailed(Exception):
    """The request could not be completed. The message is fit to be shown and carries no credentials."""


@dataclass(frozen=True, slots=True)
class Fetched:
    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Limits:
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
    body: bytes | None = None,
    limits: Limits = Limits(),
) -> Fetched:
    """Requests `url` through a session of `open_session` and reads the whole answer, whatever its status.

    Redirects are followed for GET and HEAD only. Raises `FetchFailed`, or `UrlRefused` for the URL given.
    """
    origin = policy.check_url(url)
    carried = dict(headers or {})
    for _ in range(limits.max_redirects + 1):
        answer = await _request(session, method, url, carried, body, limits)
        location = answer.headers.get("Location")
        if answer.status not in _REDIRECTS or location is None or method not in ("GET", "HEAD"):
            return answer
        url = urljoin(url, location)
        try:
            target = policy.check_url(url)
        except UrlRefused as error:
            raise FetchFailed(f"redirected to where it may not go: {error}") from error
        if target != origin:
            carried = {name: v for name, v in carried.items() if name.lower() not in _BOUND_TO_ORIGIN}
    raise FetchFailed(f"redirected more than {limits.max_redirects} times")


async def _request(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    limits: Limits,
) -> Fetched:
    timeout = aiohttp.ClientTimeout(total=limits.timeout)
    try:
        async with session.request(
            method, url, headers=headers, data=body, allow_redirects=False, timeout=timeout
        ) as response:
            content = await _read(response, limits.max_bytes)
            return Fetched(url, response.status, response.headers, content)
    except TimeoutError as error:
        raise FetchFailed(f"no complete answer within {limits.timeout:g} s") from error
    except aiohttp.ClientError as error:
        raise FetchFailed(BLOCKED if is_blocked(error) else "the connection failed") from error


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """The body after decompression, so that a small answer cannot unfold into a large one."""
    content = bytearray()
    async for piece in response.content.iter_chunked(64 * 1024):
        content += piece
        if len(content) > max_bytes:
            raise FetchFailed(f"the answer is larger than {max_bytes} bytes")
    return bytes(content)
