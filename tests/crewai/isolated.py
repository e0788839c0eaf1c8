"""Run in a process of its own by test_contracts: what happens on the machine when crewAI is imported and run."""

import asyncio
import json
import os
import signal
import sys
import threading

WATCHED = ("open", "os.mkdir", "os.remove", "os.rename", "socket.connect", "sqlite3.connect", "subprocess.Popen")
HOMES = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")
seen: list[str] = []


def watch(event: str, args: tuple[object, ...]) -> None:
    if event in WATCHED or event == "_thread.start_new_thread":
        seen.append(f"{event} {args[0]!r}")


async def main() -> None:
    from tests.crewai.test_replay import Journal, attempt  # noqa: PLC0415  # imports crewAI: what is looked at

    await attempt(Journal())
    seen.clear()
    await attempt(Journal())


before = {name: os.environ.get(name) for name in HOMES}
signals = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
sys.addaudithook(watch)
asyncio.run(main())
json.dump(
    {
        "events": seen,
        "threads": [thread.name for thread in threading.enumerate()],
        "homes_kept": before == {name: os.environ.get(name) for name in HOMES},
        "signals_kept": signals == [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)],
        "dotenv_loaded": "FROM_DOTENV" in os.environ,
    },
    sys.stdout,
)
