"""Where a worker puts documents that it works on: files that go with it, also when it is killed."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_NAME = "quarterdeck-documents"
_LOCK = "lock"


@contextmanager
def workplace() -> Generator[Path]:
    """An empty directory for one document, gone when the block ends."""
    directory = Path(tempfile.mkdtemp(dir=_of_this_process()))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@cache
def _of_this_process() -> Path:
    """Made when first needed; what dead processes left is cleared then."""
    shelter = Path(tempfile.gettempdir()) / f"{_NAME}-{os.getuid()}"
    shelter.mkdir(mode=0o700, exist_ok=True)
    found = shelter.lstat()
    # Somebody was there first, and would read along, or have us clear what is elsewhere.
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
        shelter = Path(tempfile.mkdtemp(prefix=_NAME))
    with open(shelter / _LOCK, "wb") as door:
        fcntl.flock(door, fcntl.LOCK_EX)  # one after the other
        for directory in shelter.iterdir():
            if directory.is_dir() and _is_dead(directory):
                shutil.rmtree(directory, ignore_errors=True)
        mine = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=shelter))
        # Held until the process ends, however it does: that is how others know that it lives.
        lock = os.open(mine / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return mine


def _is_dead(directory: Path) -> bool:
    try:
        with open(directory / _LOCK, "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
