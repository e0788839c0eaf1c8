"""Fake systems as processes of their own, so that they outlive whatever a test does to ours."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any, Self


class FakeServer:
    """Starts `python -m MODULE`, which prints its address first and ends when its standard input is closed."""

    def __init__(self, module: str, *options: str) -> None:
        self._command = [sys.executable, "-m", module, "--exit-with-stdin", *options]
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> Self:
        root = Path(__file__).resolve().parents[2]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, text=True, cwd=root)
        assert self._process.stdout
        self.url = self._process.stdout.readline().strip()
        assert self.url.startswith("http://"), f"{self._command} did not start"
        return self

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.communicate(timeout=10)
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def reset(self) -> None:
        self.call("/_reset", {})

    def call(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data=data), timeout=10) as answer:
            return json.load(answer)
