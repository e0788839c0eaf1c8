"""Loopback ports: the inner ones are found once and remembered, the public one is the person's choice."""

import contextlib
import random
import socket
from pathlib import Path

import psutil

from cli.stack.errors import StackError
from cli.stack.files import read_json, write_json

LOOPBACK = "127.0.0.1"
_OUR_RANGE = range(20_000, 32_000)  # below what Linux and macOS give to outgoing connections


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port in TIME_WAIT may be had, one with a listener not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def find_free() -> int:
    """A port that nobody listens on now. Not one that the system hands out by itself: until a server has started on
    such a port, any outgoing connection of the machine may have taken it."""
    while True:
        port = random.choice(_OUR_RANGE)
        if is_free(port):
            return port


class PortBook:
    """Ports of the inner components by name. One that is taken meanwhile by somebody else is replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        stored = read_json(path)
        self._ports: dict[str, int] = stored if isinstance(stored, dict) else {}

    def claim(self, name: str) -> int:
        port = self._ports.get(name)
        if port is None or not is_free(port):
            port = self._ports[name] = find_free()
            write_json(self._path, self._ports)
        return port


def require_public_port(port: int) -> None:
    if is_free(port):
        return
    raise StackError(
        f"Port {port} is taken{_describe_listener(port)}.",
        f"Stop that program, or choose another port with `--port {port + 1}` (`make up PORT={port + 1}`).",
    )


def _describe_listener(port: int) -> str:
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections(kind="tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
            if listens and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    return " by another program"
