"""HTTP client sessions that open no connection into private networks.

The check sits at the socket: whatever a URL, a redirect or a name server says, the address that would be dialled
is looked at right before it is. Nothing is looked up twice, so a name cannot change its answer in between.
"""

import socket
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from shared.net.addresses import is_public
from shared.net.policy import EgressPolicy

BLOCKED = "the host's address is private and not allowed here"
_MAX_CONNECTIONS = 1000
_KEEPALIVE_SECONDS = 30.0


class AddressBlocked(OSError):
    """The connection would have led to a private address."""

    def __init__(self) -> None:
        # One text for all: several blocked addresses of one name are reported as one failure.
        super().__init__(BLOCKED)


def open_session(
    policy: EgressPolicy, *, resolver: AbstractResolver | None = None, **options: Any
) -> aiohttp.ClientSession:
    """A session for the running event loop. It keeps no cookies and reads no proxy from the environment.

    A refused connection raises `aiohttp.ClientConnectorError` whose `os_error` is an `AddressBlocked`.
    """
    guard = _Guard(policy, resolver or aiohttp.ThreadedResolver())
    connector = aiohttp.TCPConnector(
        resolver=guard,
        socket_factory=guard.open_socket,
        limit=_MAX_CONNECTIONS,
        keepalive_timeout=_KEEPALIVE_SECONDS,
    )
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, **options)


class _Guard(AbstractResolver):
    """Resolves names and opens sockets, so that it knows which addresses stand for an allowed endpoint."""

    def __init__(self, policy: EgressPolicy, resolver: AbstractResolver) -> None:
        self._policy = policy
        self._resolver = resolver
        self._granted: set[tuple[str, int]] = set()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if self._policy.names(host, port):
            self._granted.update((each["host"], port) for each in found)
        return found

    def open_socket(self, info: tuple[int, int, int, str, tuple[Any, ...]]) -> socket.socket:
        family, kind, protocol, _, address = info
        host, port = str(address[0]), int(address[1])
        # Addresses written out in a URL never pass the resolver, hence the second look at the policy.
        if not (is_public(host) or (host, port) in self._granted or self._policy.names(host, port)):
            raise AddressBlocked
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        await self._resolver.close()


def is_blocked(error: BaseException) -> bool:
    """Whether `error`, from a request of such a session, says that the address was refused."""
    return isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, AddressBlocked)
