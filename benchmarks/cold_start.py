"""From nothing running to ready, on an empty data directory, and what it holds when idle. Without the local model."""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from benchmarks.accounting import memory_mb
from benchmarks.report import Figure
from cli.stack.ports import find_free

SETTLE_SECONDS = 10


async def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="quarterdeck-bench-") as home:
        port = find_free()
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "cli", "up", "--no-demo", "--port", str(port)),
            env={**os.environ, "QUARTERDECK_HOME": home, "QUARTERDECK_LOCAL_MODEL": "none"},
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            ready = await _until_ready(port, home, started)
            await asyncio.sleep(SETTLE_SECONDS)
            memory = memory_mb([process.pid])
        finally:
            process.terminate()
            await process.wait()
    return [
        Figure("cold start to ready, empty data directory", ready, "s", "Langflow 15-32 s, Flowise 6 s", goal="<= 10"),
        Figure("idle memory of everything", memory, "MB", "Langflow 1,100-1,500, Flowise 900", goal="<= 900"),
    ]


async def _until_ready(port: int, home: str, started: float) -> float:
    """The API answers and the worker has said that it takes work."""
    async with aiohttp.ClientSession() as session:
        while time.perf_counter() - started < 120:
            try:
                async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    if answer.status == 200 and _worker_is_ready(Path(home)):
                        return time.perf_counter() - started
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)
    raise RuntimeError("not ready within two minutes")


def _worker_is_ready(home: Path) -> bool:
    return any("ready" in log.read_text(errors="replace") for log in home.rglob("worker*.log"))
