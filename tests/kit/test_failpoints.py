"""Failpoints: off unless asked for, refused when misspelt, and in place in the code."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared.kit import failpoints

ROOT = Path(__file__).parents[2]
REACH = """
import asyncio
from shared.kit import failpoints
async def main():
    for _ in range(3):
        if failpoints.armed:
            await failpoints.reach("call.made")
        print("on", flush=True)
asyncio.run(main())
"""


def run(setting: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, failpoints.VARIABLE: setting}
    return subprocess.run(
        [sys.executable, "-c", REACH], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_off_by_default() -> None:
    assert not failpoints.armed


def test_killed_the_third_time() -> None:
    done = run("ledger.write.after=delay:5;call.made=kill@3")
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "on\non\n")


def test_an_error_and_a_delay() -> None:
    assert "FailpointError: call.made" in run("call.made=error@2").stderr
    assert run("call.made=delay:0.001").stdout == "on\n" * 3


@pytest.mark.parametrize(
    "setting",
    ["call.mad=kill", "call.made", "call.made=explode", "call.made=kill@0", "call.made=kill@x", "call.made=delay"],
)
def test_what_is_not_understood_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match="QUARTERDECK_FAILPOINTS"):
        failpoints.parse(setting)
    assert run(setting).returncode == 1


def test_every_point_is_reached_somewhere_and_none_is_unknown() -> None:
    code = "".join(path.read_text() for path in (ROOT / "services/orchestration").rglob("*.py"))
    reached = set(re.findall(r'failpoints\.reach\(f?"([^"]+)"\)', code))
    spelled = {name.replace("{kind}", kind) for name in reached for kind in ("write", "end")}
    assert spelled == failpoints.POINTS.keys()
