"""The other side of `process.py`: how a fake system serves until whoever started it is gone."""

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from aiohttp import web

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def parser_of(module: str) -> argparse.ArgumentParser:
    """With the options that every fake system has."""
    parser = argparse.ArgumentParser(prog=module)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--journal", type=Path, default=None)
    parser.add_argument("--exit-with-stdin", action="store_true")
    return parser


def serve(handle: Handle, options: argparse.Namespace) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_serve(handle, options.port, exit_with_stdin=options.exit_with_stdin))


async def _serve(handle: Handle, port: int, *, exit_with_stdin: bool) -> None:
    # A hanging answer ends when its client goes away.
    runner = web.ServerRunner(web.Server(handle, handler_cancellation=True))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)  # noqa: T201 - the address is this command's answer
    try:
        await (_stdin_closed() if exit_with_stdin else asyncio.Event().wait())
    finally:
        await runner.cleanup()


async def _stdin_closed() -> None:
    """Ends with the process that started us, even when that one is killed."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
