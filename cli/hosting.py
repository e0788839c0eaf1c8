"""Runs a stack in this process for as long as somebody needs it: until Ctrl-C, or until some work is done."""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

from cli.errors import ExitCode
from cli.stack.layout import Home
from cli.stack.plan import Options, Plan, make_plan
from cli.stack.supervisor import Supervisor
from cli.stack.timeline import Timeline

Work = Callable[[Plan], int]
"""Something to do against the running stack, in a thread of its own; gives an exit code."""

T = TypeVar("T")


class _StopRequested(Exception):
    pass


def host(options: Options, timeline: Timeline, *, work: Work, stay: bool) -> int:
    """Start the stack, do the work, and with `stay` serve until told to stop. Gives the exit code."""
    home = Home.from_environment()
    home.prepare()
    with home.locked():
        return asyncio.run(_host(make_plan(home, options), timeline, work, stay))


async def _host(plan: Plan, timeline: Timeline, work: Work, stay: bool) -> int:
    supervisor = Supervisor(plan, timeline)
    stop = asyncio.Event()
    with _signals(stop, supervisor):
        try:
            await _unless(stop, supervisor.start())
            code = await _unless(stop, _in_thread(work, plan))
            if stay:
                await stop.wait()
        except _StopRequested:
            code = int(ExitCode.SUCCEEDED if stay else ExitCode.INTERRUPTED)
        finally:
            await supervisor.stop()
    return code


@contextmanager
def _signals(stop: asyncio.Event, supervisor: Supervisor) -> Generator[None]:
    """The first Ctrl-C, SIGTERM or hang-up asks to stop; a second one does not wait for anybody."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def requested() -> None:
        if stop.is_set():
            supervisor.kill()
        stop.set()

    for number in numbers:
        loop.add_signal_handler(number, requested)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _unless(stop: asyncio.Event, work: Awaitable[T]) -> T:
    """The result of the work, or _StopRequested as soon as somebody asks to stop."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise _StopRequested
        return working.result()
    finally:
        stopping.cancel()
        working.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


async def _in_thread(work: Work, plan: Plan) -> int:
    """In a daemon thread, which nobody has to wait for: when the stack stops, what it waits for never comes."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[int] = loop.create_future()

    def settle(result: int | BaseException) -> None:
        if done.done():
            return
        if isinstance(result, BaseException):
            done.set_exception(result)
        else:
            done.set_result(result)

    def run() -> None:
        try:
            result: int | BaseException = work(plan)
        except BaseException as error:  # noqa: BLE001 - handed to the caller as it is
            result = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=run, name="work", daemon=True).start()
    return await done
