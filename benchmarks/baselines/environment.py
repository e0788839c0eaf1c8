"""Programs to compare with that are no part of the product live in an environment of their own: `.venv-bench`.

It is made from `requirements/bench.txt` the first time somebody asks for it, and again when that lock has changed.
"""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from cli.bootstrap import registry_of_pip

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv-bench"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements" / "bench.txt"


def prepare() -> None:
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    stamp = VENV / "lock.sha256"
    if stamp.exists() and stamp.read_text() == digest:
        return
    print(f"installing what is compared with, from {LOCK.relative_to(ROOT)} ...", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    pip = (str(PYTHON), "-m", "pip", "--disable-pip-version-check")
    uv = [str(Path(sys.executable).parent / "uv"), "pip", "sync", "-q", "--python", str(PYTHON)]
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", **registry_of_pip(pip)}
    subprocess.run([*uv, "--require-hashes", str(LOCK)], env=environment, check=True)
    stamp.write_text(digest)


class Conversation:
    """With a program that says "ready", and then answers every line with one."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, line: object) -> str:
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n".encode())
        return await self.hear()

    async def hear(self) -> str:
        assert self._process.stdout
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the program to compare with has ended: exit code {await self._process.wait()}")
        return line.decode().strip()


@asynccontextmanager
async def conversation(module: str, *arguments: object) -> AsyncGenerator[Conversation]:
    """Runs a program of this folder in that environment."""
    await asyncio.to_thread(prepare)
    process = await asyncio.create_subprocess_exec(
        *(str(PYTHON), str(ROOT / "benchmarks" / "baselines" / f"{module}.py"), *map(str, arguments)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    spoken = Conversation(process)
    try:
        if await spoken.hear() != "ready":
            raise RuntimeError(f"{module} did not get ready")
        yield spoken
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
