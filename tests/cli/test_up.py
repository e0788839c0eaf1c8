"""`up`, `down` and `status` as a person calls them, with real processes. Without the language model, for speed."""

import json
import os
import signal
import socket
import stat
from collections.abc import Generator
from pathlib import Path

import httpx
import psutil
import pytest

from cli.stack.ports import find_free
from tests.cli.machine import Machine, alive, make_machine, until

pytestmark = pytest.mark.e2e


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return make_machine(tmp_path)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Generator[Machine]:
    """One that several tests look at; each leaves it running."""
    machine = make_machine(tmp_path_factory.mktemp("up"))
    up = machine.start()
    yield machine
    up.send_signal(signal.SIGTERM)
    assert up.wait(30) == 0
    assert "everything has stopped" in machine.output()


class TestRunning:
    def test_it_answers_and_the_sign_in_it_prints_works(self, running: Machine) -> None:
        line = next(line for line in running.output().splitlines() if "Sign in as" in line)
        _, _, _, email, _, password = line.split()
        with httpx.Client(base_url=f"http://127.0.0.1:{running.port}") as http:
            assert http.get("/readyz").json()["status"] == "ok"
            answer = http.post("/api/v1/auth/login", json={"email": email, "password": password})
            assert answer.status_code == 200

    def test_status_shows_every_part_and_its_memory(self, running: Machine) -> None:
        state = running.status()
        assert state["ready"]
        assert [part["name"] for part in state["components"]] == ["postgres", "chroma", "valkey", "api", "worker"]
        assert all(part["pid"] and part["memory_bytes"] > 1 << 20 for part in state["components"])
        shown = running.run("status")
        assert shown.returncode == 0
        assert f"http://127.0.0.1:{running.port}" in shown.stdout

    def test_a_second_one_on_the_same_data_directory_is_refused(self, running: Machine) -> None:
        second = running.run("up", "--no-demo", "--port", str(find_free()))
        assert second.returncode == 1
        assert f"already runs on the data directory {running.home}" in second.stderr
        assert "quarterdeck down" in second.stderr

    def test_secrets_are_for_their_owner_only(self, running: Machine) -> None:
        assert stat.S_IMODE(running.home.stat().st_mode) == 0o700
        for name in ("secrets.json", "demo.json", "ports.json", "state.json"):
            assert stat.S_IMODE((running.home / name).stat().st_mode) == 0o600
        secrets = json.loads((running.home / "secrets.json").read_text())
        assert not [value for value in secrets.values() if value in json.dumps(running.status())]

    @pytest.mark.parametrize("name", ["valkey", "postgres", "api", "worker", "chroma"])
    def test_what_is_killed_comes_back_where_it_was(self, running: Machine, name: str) -> None:
        before = running.component(name)
        os.kill(before["pid"], signal.SIGKILL)
        until(lambda: running.component(name)["restarts"] == 1 and bool(running.component(name)["pid"]), 30)
        assert running.component(name)["port"] == before["port"]
        until(lambda: _ready(running), 30)


def _ready(machine: Machine) -> bool:
    try:
        answer = httpx.get(f"http://127.0.0.1:{machine.port}/readyz")
    except httpx.TransportError:
        return False
    return answer.json() == {"status": "ok", "database": "ok", "redis": "ok"}


class TestEnding:
    def test_down_stops_everything_and_the_next_start_has_the_same_data(self, machine: Machine) -> None:
        up = machine.start()
        pids, demo = machine.everything(), (machine.home / "demo.json").read_text()
        assert machine.run("down").returncode == 0
        assert up.wait(5) == 0
        assert alive(pids) == []
        assert machine.run("status").returncode == 3
        assert machine.run("down").stdout == "Nothing is running.\n"

        up = machine.start()
        assert (machine.home / "demo.json").read_text() == demo
        up.send_signal(signal.SIGINT)
        assert up.wait(30) == 0

    def test_killing_the_supervisor_leaves_nothing_running(self, machine: Machine) -> None:
        up = machine.start()
        pids = machine.everything()
        up.kill()
        up.wait()
        until(lambda: alive(pids) == [], 20, lambda: str([psutil.Process(pid).cmdline() for pid in alive(pids)]))
        assert machine.status() == {"running": False}
        up = machine.start()
        up.send_signal(signal.SIGTERM)
        assert up.wait(30) == 0

    def test_ctrl_c_while_it_starts_stops_what_has_started(self, machine: Machine) -> None:
        up = machine.start(wait=False)
        until(lambda: "is up" in machine.output(), 30)
        pids = machine.everything()
        up.send_signal(signal.SIGINT)
        assert up.wait(30) == 0
        assert alive(pids) == []


def test_split_runs_each_service_by_itself(machine: Machine) -> None:
    up = machine.start("--split")
    names = {part["name"] for part in machine.status()["components"]}
    assert names >= {"gateway", "auth", "models", "agents", "knowledge_base", "workflows", "orchestration"}
    assert machine.run("executions").returncode == 0
    pids = machine.everything()
    up.send_signal(signal.SIGTERM)
    assert up.wait(30) == 0
    assert alive(pids) == []


class TestInTheWay:
    def test_a_port_that_is_taken(self, machine: Machine) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", machine.port))
            taken.listen()
            failed = machine.run("up", "--port", str(machine.port))
        assert failed.returncode == 1
        assert f"Port {machine.port} is taken by" in failed.stderr
        assert f"(process {os.getpid()})" in failed.stderr
        assert "--port" in failed.stderr

    def test_a_server_of_ones_own_that_is_not_there(self, machine: Machine) -> None:
        failed = machine.run("up", DATABASE_URL=f"postgresql://me:secret-word@127.0.0.1:{find_free()}/mine")
        assert failed.returncode == 1
        assert "DATABASE_URL names 127.0.0.1:" in failed.stderr
        assert "nothing answers" in failed.stderr
        assert "secret-word" not in failed.stderr

    @pytest.mark.parametrize("address", ["localhost:5432", "postgresql://host:port/db", "what?"])
    def test_an_address_that_is_none(self, machine: Machine, address: str) -> None:
        failed = machine.run("up", DATABASE_URL=address)
        assert failed.returncode == 1
        assert "DATABASE_URL is not the address of a server" in failed.stderr

    def test_a_damaged_database(self, machine: Machine) -> None:
        up = machine.start()
        machine.run("down")
        up.wait(5)
        (machine.home / "postgres" / "data" / "global" / "pg_control").write_bytes(b"")
        failed = machine.run("up", "--no-demo", "--port", str(machine.port))
        assert failed.returncode == 1
        assert "is damaged" in failed.stderr
        assert f"mv {machine.home} {machine.home}.damaged" in failed.stderr

    def test_a_data_directory_that_cannot_be_made(self, machine: Machine, tmp_path: Path) -> None:
        (tmp_path / "a file").write_text("")
        failed = machine.run("up", QUARTERDECK_HOME=str(tmp_path / "a file" / "home"))
        assert failed.returncode == 1
        assert "cannot be used: Not a directory" in failed.stderr

    def test_secrets_that_are_gone_while_the_data_is_not(self, machine: Machine) -> None:
        (machine.home / "postgres" / "data").mkdir(parents=True)
        failed = machine.run("up", "--no-demo", "--port", str(machine.port))
        assert failed.returncode == 1
        assert "secrets.json is missing" in failed.stderr

    def test_a_model_that_there_is_not(self, machine: Machine) -> None:
        failed = machine.run("up", QUARTERDECK_LOCAL_MODEL="gpt9")
        assert failed.returncode == 2
        assert "gpt9" in failed.stderr
