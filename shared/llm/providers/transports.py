"""The way out for providers' SDKs: httpx (or its successor) on top, our guarded aiohttp session below.

Errors are made here, once for all SDKs: whatever they wrap them in, `errors.from_exception` finds them again.
"""

import copy
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx
import httpx2
from httpx_aiohttp.httpx2.transport import AiohttpTransport as Httpx2OverAiohttp
from httpx_aiohttp.transport import AiohttpTransport as HttpxOverAiohttp

from shared.llm import errors
from shared.llm.providers.base import MAX_ANSWER_BYTES
from shared.llm.providers.headers import Pin

_CONNECT_SECONDS = 15.0


def httpx_transport(session: aiohttp.ClientSession, pin: Pin) -> httpx.AsyncBaseTransport:
    # verify=False is about a TLS context of httpx that is never used: the session has its own, which verifies.
    return _PinnedHttpx(HttpxOverAiohttp(client=session, verify=False), pin)


def httpx2_transport(session: aiohttp.ClientSession, pin: Pin) -> httpx2.AsyncBaseTransport:
    return _PinnedHttpx2(Httpx2OverAiohttp(client=session, verify=False), pin)


class NoTransport(httpx.BaseTransport):
    """For the blocking clients that SDKs insist on having beside the one we use."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        raise RuntimeError("model providers are called asynchronously only")


class _Pinned:
    """What both generations of httpx have in common: their transports differ in nothing but the types' names."""

    _bounded: Any

    def __init__(self, inner: Any, pin: Pin) -> None:
        self._inner = inner
        self._pin = pin

    async def handle_async_request(self, request: Any) -> Any:
        url = request.url
        self._pin.check(url.scheme, url.host, url.port)
        # A copy: SDKs leave notes to themselves in the headers and look for them when the answer is there.
        sent = copy.copy(request)
        sent.headers = type(request.headers)(self._pin.headers(request.headers))
        sent.extensions = _with_timeout(request.extensions, self._pin)
        try:
            response = await self._inner.handle_async_request(sent)
            response.stream = self._bounded(response.stream, self._pin.label)
            await self._check(response)
        except (httpx.TransportError, httpx2.TransportError, aiohttp.ClientError, OSError) as error:
            raise errors.from_exception(self._pin.label, error) from error
        return response

    async def _check(self, response: Any) -> None:
        # Compression was not asked for; unasked it is a way to make a small answer a large one.
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise errors.garbage(self._pin.label, "compressed")
        if response.status_code != 200:
            body, retry_after = await response.aread(), response.headers.get("retry-after")
            secret = self._pin.secret
            raise errors.from_status(self._pin.label, response.status_code, body, retry_after, secret=secret)


class _Bounded:
    """A body that is cut off with an error where it becomes unreasonable."""

    def __init__(self, inner: Any, label: str) -> None:
        self._inner = inner
        self._label = label

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        async for chunk in self._inner:
            received += len(chunk)
            if received > MAX_ANSWER_BYTES:
                raise errors.garbage(self._label, f"more than {MAX_ANSWER_BYTES} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


class _BoundedHttpx(_Bounded, httpx.AsyncByteStream):
    pass


class _BoundedHttpx2(_Bounded, httpx2.AsyncByteStream):
    pass


class _PinnedHttpx(_Pinned, httpx.AsyncBaseTransport):
    _bounded = _BoundedHttpx


class _PinnedHttpx2(_Pinned, httpx2.AsyncBaseTransport):
    _bounded = _BoundedHttpx2


def _with_timeout(extensions: Any, pin: Pin) -> dict[str, Any]:
    silence = pin.silence
    timeout = {"connect": _CONNECT_SECONDS, "read": silence, "write": silence, "pool": silence}
    return {**extensions, "timeout": timeout}
