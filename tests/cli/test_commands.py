"""The command against the whole product as `up` starts it. Only the model behind it is a scripted one."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from cli.stack.layout import PROJECT_ROOT
from tests.cli.machine import Machine, make_machine, until
from tests.fakes.model_server import FakeModelServer

pytestmark = pytest.mark.e2e
EXAMPLES = PROJECT_ROOT / "examples"


@pytest.fixture(scope="module")
def provider() -> Generator[FakeModelServer]:
    with FakeModelServer() as server:
        yield server


@pytest.fixture(scope="module")
def machine(provider: FakeModelServer, tmp_path_factory: pytest.TempPathFactory) -> Generator[Machine]:
    machine = make_machine(tmp_path_factory.mktemp("commands"))
    machine.environment["LLM_BASE_URL"] = provider.base_url
    up = machine.start()
    assert machine.run("import", str(EXAMPLES / "crewai" / "support_desk"), "--name", "Desk").returncode == 0
    yield machine
    up.send_signal(signal.SIGTERM)
    assert up.wait(30) == 0


@pytest.fixture(autouse=True)
def fresh(provider: FakeModelServer) -> None:
    provider.script()


def desk_inputs(machine: Machine) -> list[str]:
    """An `--input` for each that the imported crew asks for."""
    failed = machine.run("run", "Desk")
    assert failed.returncode == 2
    assert "The workflow needs" in failed.stderr
    return [part.replace("=...", "=something") for part in failed.stderr.splitlines()[-1].split()[1:]]


def last_line(text: str) -> Any:
    return json.loads(text.rstrip("\n").splitlines()[-1])


class TestDemo:
    def test_its_last_line_is_the_outcome(self, machine: Machine) -> None:
        done = machine.run("demo")
        assert done.returncode == 0, done.stderr
        outcome = last_line(done.stdout)
        assert set(outcome) == {"execution_id", "status", "output", "steps", "tokens", "duration_ms"}
        assert outcome["status"] == "succeeded"
        assert [step["node"] for step in outcome["steps"]] == ["crew"]
        assert "✓ shipping-and-returns.pdf" in done.stderr
        assert "Researcher" in done.stderr
        assert "Reviewer" in done.stderr

    def test_a_second_time_it_uses_what_is_there(self, machine: Machine) -> None:
        again = machine.run("demo")
        assert again.returncode == 0
        assert "Uploading" not in again.stderr

    def test_a_demo_that_fails_says_so(self, machine: Machine, provider: FakeModelServer) -> None:
        provider.fail("error", status=400, message="no such model")
        failed = machine.run("demo")
        assert failed.returncode == 1
        outcome = last_line(failed.stdout)
        assert outcome["status"] == "failed"
        assert outcome["error"]["message"]


class TestImport:
    def test_the_report_says_what_became_of_everything(self, machine: Machine) -> None:
        done = machine.run("import", str(EXAMPLES / "crewai" / "research_team"))
        assert done.returncode == 0, done.stderr
        assert "settings taken over" in done.stdout
        assert "Run it: quarterdeck run" in done.stdout

    def test_as_json_it_is_the_apis_answer(self, machine: Machine) -> None:
        done = machine.run("import", str(EXAMPLES / "demo-workflow.json"), "--name", "Copy", "--json")
        assert json.loads(done.stdout)["workflow"]["name"] == "Copy"

    def test_a_folder_that_is_no_project(self, machine: Machine, tmp_path: Path) -> None:
        (tmp_path / "notes.yaml").write_text("- just\n- notes\n")
        failed = machine.run("import", str(tmp_path))
        assert failed.returncode == 1
        assert failed.stderr.startswith("error: ")
        assert "Traceback" not in failed.stderr

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [(["--bind", "task"], "is not of the form task=agent"), (["--model", "GPT-9"], "no model named 'GPT-9'")],
    )
    def test_wrong_options(self, machine: Machine, arguments: list[str], said: str) -> None:
        failed = machine.run("import", str(EXAMPLES / "crewai" / "support_desk"), *arguments)
        assert failed.returncode in (1, 2)
        assert said in failed.stderr


class TestRun:
    def test_live(self, machine: Machine) -> None:
        done = machine.run("run", "desk", *desk_inputs(machine))
        assert done.returncode == 0, done.stderr
        assert "▸" in done.stdout
        assert "succeeded in" in done.stdout

    def test_as_json_nothing_else_is_on_standard_output(self, machine: Machine) -> None:
        done = machine.run("run", "Desk", *desk_inputs(machine), "--json")
        assert json.loads(done.stdout)["status"] == "succeeded"

    def test_a_failure_names_its_cause_and_has_its_exit_code(self, machine: Machine, provider: FakeModelServer) -> None:
        inputs = desk_inputs(machine)
        provider.fail("error", status=401, message="bad key")
        failed = machine.run("run", "Desk", *inputs)
        assert failed.returncode == 1
        assert "failed in" in failed.stdout

    def test_a_name_that_there_is_not(self, machine: Machine) -> None:
        failed = machine.run("run", "Dask")
        assert failed.returncode == 1
        assert "There are: Desk" in failed.stderr

    def test_detached_it_is_followed_later_and_can_be_cancelled(
        self, machine: Machine, provider: FakeModelServer
    ) -> None:
        inputs = desk_inputs(machine)
        provider.fail("hang")
        execution_id = machine.run("run", "Desk", *inputs, "--detach").stdout.strip()
        listed = json.loads(machine.run("executions", "--json").stdout)["items"]
        assert listed[0]["id"] == execution_id
        assert execution_id in machine.run("executions").stdout
        assert machine.run("cancel", execution_id).returncode == 0
        shown = machine.run("logs", execution_id[-12:])
        assert shown.returncode == 0
        assert "cancelled" in shown.stdout

    def test_an_id_that_there_is_not(self, machine: Machine) -> None:
        assert "no such execution" in machine.run("logs", "019c0000-0000-7000-8000-0000000000ff").stderr
        assert machine.run("logs", "zzzz").returncode == 2


class TestCtrlC:
    def start(self, machine: Machine, provider: FakeModelServer) -> tuple["subprocess.Popen[bytes]", int, str]:
        """A run on a terminal of its own whose model never answers."""
        inputs = desk_inputs(machine)
        provider.fail("hang")
        terminal, its_end = os.openpty()
        run = subprocess.Popen(
            [sys.executable, "-m", "cli", "run", "Desk", *inputs],
            cwd=PROJECT_ROOT, env=machine.environment, stdin=its_end, stdout=its_end, stderr=its_end,
        )  # fmt: skip
        os.close(its_end)
        shown = read_until(terminal, b"\xe2\x96\xb8")  # the first step has begun
        found = re.search(r"execution ([0-9a-f-]{36})", shown.decode())
        assert found
        return run, terminal, found[1]

    def status(self, machine: Machine, execution_id: str) -> str:
        listed = json.loads(machine.run("executions", "--json").stdout)["items"]
        return next(each["status"] for each in listed if each["id"] == execution_id)

    def test_yes_cancels_and_the_end_is_seen(self, machine: Machine, provider: FakeModelServer) -> None:
        run, terminal, execution_id = self.start(machine, provider)
        run.send_signal(signal.SIGINT)
        read_until(terminal, b"[y/N]")
        os.write(terminal, b"y\n")
        read_until(terminal, b"cancelled")
        assert run.wait(30) == 1
        os.close(terminal)
        assert self.status(machine, execution_id) == "cancelled"

    def test_no_leaves_it_running(self, machine: Machine, provider: FakeModelServer) -> None:
        run, terminal, execution_id = self.start(machine, provider)
        run.send_signal(signal.SIGINT)
        read_until(terminal, b"[y/N]")
        os.write(terminal, b"n\n")
        assert run.wait(10) == 130
        os.close(terminal)
        assert self.status(machine, execution_id) == "running"
        assert machine.run("cancel", execution_id).returncode == 0


class TestLogin:
    def test_a_key_is_made_and_kept_for_its_owner_only(self, machine: Machine, tmp_path: Path) -> None:
        account = json.loads((machine.home / "demo.json").read_text())
        elsewhere = {**machine.environment, "QUARTERDECK_HOME": str(tmp_path / "elsewhere")}
        url = f"http://127.0.0.1:{machine.port}"
        login = subprocess.run(
            [sys.executable, "-m", "cli", "login", "--url", url, "--email", account["email"]],
            cwd=PROJECT_ROOT,
            env=elsewhere,
            input=account["password"] + "\n",
            capture_output=True,
            text=True,
            check=False,
        )
        assert login.returncode == 0, login.stderr
        assert account["password"] not in login.stdout + login.stderr
        kept = tmp_path / "elsewhere" / "login.json"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        there = Machine(tmp_path / "elsewhere", machine.port, elsewhere)
        assert there.run("executions").returncode == 0
        assert there.run("executions", QUARTERDECK_API_KEY="qd_no_such_key").returncode == 3


def read_until(terminal: int, text: bytes, within: float = 30) -> bytes:
    """What the terminal shows, up to and with `text`."""
    os.set_blocking(terminal, False)
    shown = b""

    def seen() -> bool:
        nonlocal shown
        try:
            shown += os.read(terminal, 65_536)
        except (BlockingIOError, OSError):
            time.sleep(0.01)
        return text in shown

    until(seen, within, lambda: shown.decode(errors="replace"))
    return shown
