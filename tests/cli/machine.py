"""One data directory and the command on it, as a person at a terminal has them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from cli.stack.layout import PROJECT_ROOT
from cli.stack.ports import find_free

_LONGEST_START = 120


@dataclass
class Machine:
    """One data directory and the command on it."""

    home: Path
    port: int
    environment: dict[str, str]

    def run(
        self, *arguments: str, within: float = _LONGEST_START, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            cwd=PROJECT_ROOT,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )

    def start(self, *arguments: str, wait: bool = True) -> "subprocess.Popen[str]":
        with (self.home.parent / "up.log").open("w") as log:
            up = subprocess.Popen(
                [sys.executable, "-m", "cli", "up", "--no-demo", "--port", str(self.port), *arguments],
                cwd=PROJECT_ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if wait:
            until(lambda: "Sign in as" in self.output() or up.poll() is not None, _LONGEST_START, self.output)
            assert up.poll() is None, self.output()
        return up

    def output(self) -> str:
        return (self.home.parent / "up.log").read_text()

    def status(self) -> dict[str, Any]:
        return json.loads(self.run("status", "--json").stdout)

    def component(self, name: str) -> dict[str, Any]:
        return next(part for part in self.status()["components"] if part["name"] == name)

    def everything(self) -> list[int]:
        """The processes of the stack, the supervisor last."""
        state = self.status()
        return [part["pid"] for part in state["components"] if part["pid"]] + [state["pid"]]


def until(holds: Callable[[], bool], seconds: float, what: Callable[[], str] = lambda: "") -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what()}"
        time.sleep(0.05)


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def make_machine(directory: Path) -> Machine:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("QUARTERDECK_", "PYTEST_"))}
    for name in ("DATABASE_URL", "APP_DATABASE_URL", "BROKER_URL", "CHROMA_URL", "LLM_BASE_URL"):
        kept.pop(name, None)
    home = directory / "home"
    return Machine(home, find_free(), {**kept, "QUARTERDECK_HOME": str(home), "QUARTERDECK_LOCAL_MODEL": "none"})
