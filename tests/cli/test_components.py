"""The embedded components as they are, killed and hurt in the ways that happen."""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
import pytest
import redis

from cli.stack.component import Component
from cli.stack.components import Running, start_all, start_chroma, start_postgres, start_valkey
from cli.stack.errors import StackError
from cli.stack.layout import PROJECT_ROOT
from cli.stack.ports import find_free
from cli.stack.postgres import Postgres
from cli.stack.process import Launch, Process, rotate


@contextmanager
def stopping(running: Running) -> Generator[Running]:
    try:
        yield running
    finally:
        running.stop()


def on_database(running: Running, work: Callable[[asyncpg.Connection], Awaitable[Any]]) -> Any:
    async def connected() -> Any:
        connection = await asyncpg.connect(running.url)
        try:
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(connected())


class TestPostgres:
    def test_it_has_what_the_product_needs(self, tmp_path: Path) -> None:
        with stopping(start_postgres(tmp_path)) as running:
            on_database(running, lambda db: db.execute("CREATE EXTENSION vector; CREATE EXTENSION pg_trgm"))
            assert on_database(running, lambda db: db.fetchval("SHOW fsync")) == "on"
            assert (
                on_database(running, lambda db: db.fetchval("SELECT datcollate FROM pg_database LIMIT 1")) == "C.UTF-8"
            )

    def test_a_wrong_password_does_not_get_in(self, tmp_path: Path) -> None:
        with stopping(start_postgres(tmp_path, password="right")) as running:

            async def connect() -> None:
                await asyncpg.connect(running.url.replace("right", "wrong"))

            with pytest.raises(asyncpg.InvalidPasswordError):
                asyncio.run(connect())

    def test_every_acknowledged_row_survives_kill_9(self, tmp_path: Path) -> None:
        with stopping(start_postgres(tmp_path)) as running:
            on_database(running, lambda db: db.execute("CREATE TABLE kept (n int)"))
            for number in range(20):
                on_database(running, lambda db, n=number: db.execute("INSERT INTO kept VALUES ($1)", n))
            running.kill()
            assert not psutil.pid_exists(running.pid)
            running.restart()
            assert on_database(running, lambda db: db.fetchval("SELECT count(*) FROM kept")) == 20

    def test_a_recorded_pid_that_is_another_program_does_not_keep_it_from_starting(self, tmp_path: Path) -> None:
        running = start_postgres(tmp_path)
        running.kill()
        pid_file = tmp_path / "data" / "postmaster.pid"
        bystander = subprocess.Popen(["sleep", "60"])
        try:
            lines = pid_file.read_text().splitlines()
            pid_file.write_text("\n".join([str(bystander.pid), *lines[1:]]) + "\n")
            running.restart()
            with stopping(running):
                assert on_database(running, lambda db: db.fetchval("SELECT 1")) == 1
            assert bystander.poll() is None
        finally:
            bystander.kill()
            bystander.wait()

    def test_a_server_left_over_is_ended_first(self, tmp_path: Path) -> None:
        left_over = start_postgres(tmp_path, password="same")
        with stopping(start_postgres(tmp_path, password="same")) as running:
            assert left_over.component.process is not None
            assert left_over.component.process.exit_code == 0
            assert on_database(running, lambda db: db.fetchval("SELECT 1")) == 1

    @pytest.mark.parametrize("lost", ["PG_VERSION", "global/pg_control", "pg_wal"])
    def test_a_damaged_directory_is_said_to_be_one(self, tmp_path: Path, lost: str) -> None:
        home = tmp_path / "home"
        start_postgres(home / "postgres").stop()
        path = home / "postgres" / "data" / lost
        path.rename(tmp_path / "lost")
        with pytest.raises(StackError, match="is damaged") as failure:
            start_postgres(home / "postgres")
        assert f"mv {home} {home}.damaged" in failure.value.advice

    def test_an_interrupted_first_start_leaves_nothing_half_made(self, tmp_path: Path) -> None:
        half_made = tmp_path / "data.new"
        half_made.mkdir()
        (half_made / "PG_VERSION").write_text("18")
        with stopping(start_postgres(tmp_path)) as running:
            assert on_database(running, lambda db: db.fetchval("SELECT 1")) == 1

    def test_its_port_taken_meanwhile_is_told(self, tmp_path: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            component = Postgres(tmp_path, port=port, password="x", log=tmp_path / "log")
            with pytest.raises(StackError, match="found its port taken"):
                start_all(component)

    def test_the_password_is_in_no_process_list_and_no_open_file(self, tmp_path: Path) -> None:
        with stopping(start_postgres(tmp_path, password="hush-hush")) as running:
            assert "hush-hush" not in " ".join(psutil.Process(running.pid).cmdline())
        readable = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert not [path for path in readable if b"hush-hush" in path.read_bytes()]


class TestValkey:
    def test_it_asks_for_the_password(self, tmp_path: Path) -> None:
        with stopping(start_valkey(tmp_path)) as running:
            port = running.component.port
            with redis.Redis.from_url(running.url) as client:
                assert client.ping()
            with redis.Redis(port=port or 0) as stranger, pytest.raises(redis.AuthenticationError):
                stranger.ping()

    def test_it_is_back_after_kill_9(self, tmp_path: Path) -> None:
        with stopping(start_valkey(tmp_path)) as running, redis.Redis.from_url(running.url) as client:
            client.set("a", "1")
            time.sleep(1.2)  # it syncs once a second
            running.kill()
            running.restart()
            assert client.get("a") == b"1"

    def test_a_damaged_file_is_told_with_what_to_do(self, tmp_path: Path) -> None:
        running = start_valkey(tmp_path)
        running.stop()
        for file in (tmp_path / "appendonlydir").glob("*.aof"):
            file.write_bytes(b"*garbage\r\n$nonsense")
        with pytest.raises(StackError, match="cannot read what it kept") as failure:
            running.restart()
        assert f"rm -r {tmp_path}" in failure.value.advice

    def test_a_directory_with_a_space_in_its_name_works(self, tmp_path: Path) -> None:
        start_valkey(tmp_path / "my data").stop()


class TestChroma:
    def test_what_was_acknowledged_survives_kill_9(self, tmp_path: Path) -> None:
        with stopping(start_chroma(tmp_path)) as running, httpx.Client(base_url=running.url, timeout=10) as http:
            base = "/api/v2/tenants/default_tenant/databases/default_database/collections"
            collection = http.post(base, json={"name": "kept"}).raise_for_status().json()["id"]
            for number in range(5):
                body = {"ids": [f"id{number}"], "embeddings": [[float(number), 1.0, 0.0]]}
                http.post(f"{base}/{collection}/add", json=body).raise_for_status()
            running.kill()
            running.restart()
            assert http.get(f"{base}/{collection}/count").json() == 5

    def test_what_was_dropped_leaves_no_file_after_the_next_start(self, tmp_path: Path) -> None:
        def kept_on_disk() -> set[Path]:
            return {path for path in tmp_path.iterdir() if path.is_dir()}

        with stopping(start_chroma(tmp_path)) as running, httpx.Client(base_url=running.url, timeout=10) as http:
            base = "/api/v2/tenants/default_tenant/databases/default_database/collections"
            body = {"ids": [f"id{n}" for n in range(5)], "embeddings": [[float(n), 1.0, 0.0] for n in range(5)]}
            ids: dict[str, str] = {}
            for name in ("kept", "dropped"):
                ids[name] = http.post(base, json={"name": name}).raise_for_status().json()["id"]
                http.post(f"{base}/{ids[name]}/add", json=body).raise_for_status()
                query = {"query_embeddings": [[1.0, 1.0, 0.0]], "n_results": 1}
                http.post(f"{base}/{ids[name]}/query", json=query).raise_for_status()
            http.delete(f"{base}/dropped").raise_for_status()
            assert len(kept_on_disk()) == 2, "Chroma removes them by itself now"

            running.stop()
            running.restart()
            assert len(kept_on_disk()) == 1
            assert http.post(f"{base}/{ids['kept']}/query", json=query).json()["ids"] == [["id1"]]


class TestLife:
    def test_a_log_is_cut_while_it_is_written_to(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("cli.stack.process._MAX_LOG_BYTES", 1000)
        log = tmp_path / "talker.log"
        script = "import time\nfor n in range(2000): print(n, flush=True); time.sleep(0.001)"

        async def talk() -> int | None:
            process = Process(Launch(argv=[sys.executable, "-c", script], log=log))
            while not log.with_suffix(".log.1").exists():
                await asyncio.sleep(0.01)
                rotate(log)
            return await process.wait(30)

        assert asyncio.run(talk()) == 0
        kept, rest = log.with_suffix(".log.1").read_text(), log.read_text()
        assert kept.startswith("0\n")
        assert rest.endswith("1999\n")
        assert "\0" not in rest
        assert not rest.startswith("0\n")

    def test_everything_ends_with_a_supervisor_that_is_killed(self, tmp_path: Path) -> None:
        script = (
            "import sys, time; from pathlib import Path; from cli.stack.components import *;"
            f"root = Path({str(tmp_path)!r});"
            "parts = [start_postgres(root / 'p'), start_valkey(root / 'v'), start_chroma(root / 'c')];"
            "print(*(part.pid for part in parts), flush=True); time.sleep(60)"
        )
        command = [sys.executable, "-c", script]
        with subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True) as supervisor:
            assert supervisor.stdout is not None
            pids = [int(pid) for pid in supervisor.stdout.readline().split()]
            assert len(pids) == 3
            assert all(psutil.pid_exists(pid) for pid in pids)
            supervisor.send_signal(signal.SIGKILL)
        gone_within(10, pids)

    def test_where_the_kernel_does_not_do_it_the_guard_does(self) -> None:
        script = (
            "import signal, subprocess, time; from cli.stack.guard import Guard; guard = Guard();"
            "child = subprocess.Popen(['sleep', '60'], start_new_session=True);"
            "ended = subprocess.Popen(['true']); ended.wait();"
            "guard.watch(ended.pid, signal.SIGTERM); guard.forget(ended.pid);"
            "guard.watch(child.pid, signal.SIGTERM); print(child.pid, flush=True); time.sleep(60)"
        )
        command = [sys.executable, "-c", script]
        with subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True) as supervisor:
            assert supervisor.stdout is not None
            child = int(supervisor.stdout.readline())
            assert psutil.pid_exists(child)
            supervisor.send_signal(signal.SIGKILL)
        gone_within(5, [child])

    def test_one_that_fails_takes_the_others_with_it(self, tmp_path: Path) -> None:
        class Broken(Postgres):
            async def probe(self) -> bool:
                raise StackError("It is broken.", "Mend it.")

        for name in ("a", "b"):
            (tmp_path / name).mkdir()
        good: Component = Postgres(tmp_path / "a", port=find_free(), password="x", log=tmp_path / "good.log")
        broken = Broken(tmp_path / "b", port=find_free(), password="x", log=tmp_path / "broken.log")
        with pytest.raises(StackError, match="It is broken"):
            start_all(good, broken)
        for part in (good, broken):
            assert part.process is not None
            gone_within(5, [part.process.pid])


def gone_within(seconds: float, pids: list[int]) -> None:
    deadline = time.monotonic() + seconds
    while alive := [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]:
        assert time.monotonic() < deadline, f"still there: {[psutil.Process(pid).cmdline() for pid in alive]}"
        time.sleep(0.05)
