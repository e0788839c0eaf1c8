"""Where everything lies: the data directory of one installation and the cache shared by all of them."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from cli.stack.errors import StackError

PROJECT_ROOT = Path(__file__).resolve().parents[2]
_MIN_FREE_BYTES = 300 << 20


@dataclass(frozen=True)
class Home:
    """The data directory. Nothing in it is readable by other users of the machine."""

    root: Path

    @classmethod
    def from_environment(cls) -> "Home":
        configured = os.environ.get("QUARTERDECK_HOME")
        if configured:
            return cls(Path(configured).expanduser().resolve())
        # From a checkout the command finds its data whatever directory it is called in.
        base = PROJECT_ROOT if (PROJECT_ROOT / "pyproject.toml").exists() else Path.cwd()
        return cls(base / ".quarterdeck")

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def valkey(self) -> Path:
        return self.root / "valkey"

    @property
    def chroma(self) -> Path:
        return self.root / "chroma"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def lock_file(self) -> Path:
        return self.root / "lock"

    @property
    def state_file(self) -> Path:
        return self.root / "state.json"

    @property
    def ports_file(self) -> Path:
        return self.root / "ports.json"

    @property
    def secrets_file(self) -> Path:
        return self.root / "secrets.json"

    @property
    def demo_file(self) -> Path:
        return self.root / "demo.json"

    @property
    def login_file(self) -> Path:
        return self.root / "login.json"

    def log_of(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def prepare(self) -> None:
        """Make the directories. Fails with advice when the disk is full or the place is not writable."""
        try:
            for directory in (self.root, self.logs):
                directory.mkdir(parents=True, exist_ok=True)
                directory.chmod(0o700)
        except OSError as error:
            raise StackError(
                f"The data directory {self.root} cannot be used: {error.strerror}.",
                "Set QUARTERDECK_HOME to a directory you may write to.",
            ) from error
        require_space(self.root, _MIN_FREE_BYTES, "the data directory")

    @contextlib.contextmanager
    def locked(self) -> Generator[None]:
        """Hold the data directory for this process. The kernel lets go of it however the process ends."""
        with self.lock_file.open("a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                handle.seek(0)
                holder = handle.read().strip() or "unknown"
                raise StackError(
                    f"Quarterdeck already runs on the data directory {self.root} (process {holder}).",
                    "See `quarterdeck status`; stop it with `quarterdeck down`, or set QUARTERDECK_HOME to "
                    "another directory.",
                ) from error
            handle.truncate(0)
            handle.write(str(os.getpid()))
            handle.flush()
            yield

    def holder(self) -> int | None:
        """The process that holds the data directory, if one does."""
        if not self.lock_file.exists():
            return None
        with self.lock_file.open("r") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                content = handle.read().strip()
                return int(content) if content.isdigit() else None
        return None


def cache_directory() -> Path:
    """Model weights, shared by every checkout of this user."""
    configured = os.environ.get("QUARTERDECK_CACHE")
    if configured:
        return Path(configured).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "quarterdeck"


def require_space(directory: Path, needed: int, purpose: str) -> None:
    """Fail early and plainly instead of half way with a component's own message."""
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise StackError(
            f"No space: {purpose} needs {needed >> 20} MB in {directory}, {free >> 20} MB are free.",
            "Free some space, or set QUARTERDECK_HOME / QUARTERDECK_CACHE to a larger disk.",
        )
