"""What a program in the sandbox finds for files: this Python's standard library, what that is linked to, and /tmp."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

LAUNCHER = Path(__file__).with_name("launcher.py")
NOBODY = "65534"
_PATIENCE = 30.0

# Run by the Python that the sandbox is to have, outside of it: loads every module that is linked to something, and
# tells all libraries that are in memory then, by the names under which the loader found them.
_SURVEY = """
import contextlib, ctypes, importlib, json, os, sys, sysconfig
stdlib = sysconfig.get_path("stdlib")
modules = os.path.join(sysconfig.get_path("platstdlib"), "lib-dynload")
with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
    for name in sorted(os.listdir(modules)):
        name = name.partition(".")[0]
        if not name.startswith(("_test", "_ctypes_test", "xx", "_xx", "_tkinter")):
            with contextlib.suppress(Exception):
                importlib.import_module(name)
class Info(ctypes.Structure):
    _fields_ = [("address", ctypes.c_void_p), ("name", ctypes.c_char_p)]
found = []
Each = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Info), ctypes.c_size_t, ctypes.c_void_p)
each = Each(lambda info, size, data: found.append(os.fsdecode(info.contents.name or b"")) or 0)
ctypes.CDLL(None).dl_iterate_phdr(each, None)
libraries = [name for name in found if name.startswith("/") and not name.startswith(stdlib + "/")]
print(json.dumps({"stdlib": stdlib, "modules": modules, "folder": sys.platlibdir, "libraries": libraries}))
"""


class RootUnknown(Exception):
    """This Python could not be surveyed, so no root can be made for it."""


class _Survey(BaseModel):
    stdlib: Path
    modules: Path
    folder: str
    libraries: list[Path]


@dataclass(frozen=True, slots=True)
class Root:
    """`mounts` are arguments of bwrap; `program` starts the launcher in the root that they make."""

    mounts: tuple[str, ...]
    program: tuple[str, ...]


async def survey_root() -> Root:
    """Takes a fraction of a second: once in a process is enough."""
    python = _python()
    try:
        child = await asyncio.create_subprocess_exec(
            python, "-I", "-S", "-c", _SURVEY, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
        )
        answer, _ = await asyncio.wait_for(child.communicate(), _PATIENCE)
        return _root(python, _Survey.model_validate_json(answer))
    except (OSError, TimeoutError, ValidationError) as error:
        raise RootUnknown(f"{python} does not tell what it needs ({type(error).__name__})") from None


def _python() -> str:
    """The program itself, past virtual environments and links."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def _root(python: str, survey: _Survey) -> Root:
    version = survey.stdlib.name
    library = f"/python/{survey.folder}/{version}"
    mounts = ["--ro-bind", python, "/python/bin/python", "--ro-bind", str(survey.stdlib), library]
    if not survey.modules.is_relative_to(survey.stdlib):
        mounts += ["--ro-bind", str(survey.modules), f"{library}/lib-dynload"]
    for packages in ("site-packages", "dist-packages"):
        if (survey.stdlib / packages).is_dir():  # what else is installed there is nobody's business
            hidden = f"{library}/{packages}"
            mounts += ["--size", "4096", "--tmpfs", hidden, "--remount-ro", hidden]
    for path in survey.libraries:
        # The loader itself is looked for where the program says, everything else where the loader is told.
        place = str(path) if path.name.startswith("ld-") else f"/lib/{path.name}"
        mounts += ["--ro-bind", os.path.realpath(path), place]
    for device in ("/dev/null", "/dev/urandom"):
        mounts += ["--dev-bind", device, device]
    mounts += ["--ro-bind", str(LAUNCHER), "/launcher.py"]
    return Root(tuple(mounts), ("/python/bin/python", "-I", "-S", "-B", "-u", "-X", "utf8", "/launcher.py"))


def confined(bwrap: str, root: Root, filter_fd: int, tmp_bytes: int) -> list[str]:
    """The command that runs the launcher apart from everything."""
    return [
        bwrap,
        "--unshare-all", "--unshare-user", "--uid", NOBODY, "--gid", NOBODY, "--hostname", "sandbox",
        "--cap-drop", "ALL", "--die-with-parent", "--new-session",
        "--clearenv", "--setenv", "LD_LIBRARY_PATH", "/lib",
        "--seccomp", str(filter_fd),
        *root.mounts,
        "--size", str(tmp_bytes), "--tmpfs", "/tmp", "--chdir", "/tmp",
        "--remount-ro", "/",
        "--", *root.program,
    ]  # fmt: skip
