"""Keeps connections to one upstream and hands them out, the most recently used first."""

import asyncio
from collections import deque
from dataclasses import dataclass

from gateway.errors import TimedOut, Unreachable
from gateway.http1 import Connection


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """`idle_seconds` stays below the keep-alive of the services' servers, so that no connection is taken at the very
    moment at which the other side closes it.
    """

    connections: int = 2000
    idle_connections: int = 256
    idle_seconds: float = 4.0
    connect_seconds: float = 3.0


class Pool:
    def __init__(self, address: Address, limits: PoolLimits | None = None) -> None:
        self.address = address
        self._limits = limits or PoolLimits()
        self._idle: deque[Connection] = deque()
        self._open: set[Connection] = set()
        self._connecting = 0

    async def acquire(self) -> Connection:
        """An idle connection, or a new one."""
        if self._idle:
            connection = self._idle.pop()
            if asyncio.get_running_loop().time() - connection.idle_since < self._limits.idle_seconds:
                return connection
            # The rest has been idle for even longer.
            connection.abort()
            self._drop_idle()
        return await self.connect()

    async def connect(self) -> Connection:
        if len(self._open) + self._connecting >= self._limits.connections:
            raise Unreachable("is busy: too many connections are open")
        loop = asyncio.get_running_loop()
        self._connecting += 1
        try:
            async with asyncio.timeout(self._limits.connect_seconds):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, self._forget), self.address.host, self.address.port
                )
        except TimeoutError as error:
            raise TimedOut("did not accept the connection in time") from error
        except OSError as error:
            raise Unreachable("cannot be reached") from error
        finally:
            self._connecting -= 1
        if connection.closed:
            raise Unreachable("closed the connection at once")
        self._open.add(connection)
        return connection

    def release(self, connection: Connection) -> None:
        """Takes a connection back after its exchange; keeps it only when it is clean."""
        if connection.end() and len(self._idle) < self._limits.idle_connections:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.abort()

    def close(self) -> None:
        self._drop_idle()
        for connection in list(self._open):
            connection.abort()

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().abort()

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
