"""Installs Quarterdeck beside this file into `.venv`, from the locks. Needs nothing but a Python: it comes first.

`python cli/bootstrap.py embedded` installs what it takes to run, `dev` what it takes to work on it as well.
Does nothing when the locks have not changed since the last time.
"""

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "quarterdeck-installed.json"
LOCKS = ROOT / "requirements"
_APT_PATIENCE = 120
# A command, the package of Debian's that has it, and what needs it.
_TOOLS = (("bwrap", "bubblewrap", "code steps"), ("tesseract", "tesseract-ocr", "documents that are images"))
OLDEST, NEWEST = (3, 11), (3, 13)

# Read by the shell first, because a path may hold spaces, which `#!` does not allow.
_COMMAND = """\
#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import sys

sys.path.insert(0, {root!r})

from cli.main import main

main()
"""


class Failed(Exception):
    pass


def main(wanted: str) -> None:
    _bring_up_to_date(wanted)
    if wanted == "dev":
        _get_tools()


def _bring_up_to_date(wanted: str) -> None:
    installed = _installed()
    # Who has the larger set keeps it.
    chosen = "dev" if installed.get("set") == "dev" else wanted
    python = _version(PYTHON)
    if python and installed == _stamp(chosen, python):
        return
    if python is None or installed.get("root", str(ROOT)) != str(ROOT):  # an environment does not bear being moved
        _make_venv()
        python = _version(PYTHON)
    _install(chosen)
    _write_command()
    STAMP.write_text(json.dumps(_stamp(chosen, python)))
    _say("installed")


def _stamp(chosen: str, python: str | None) -> dict[str, object]:
    return {"set": chosen, "locks": _digest(chosen), "python": python, "root": str(ROOT)}


def _installed() -> dict[str, object]:
    try:
        return json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}


def _digest(chosen: str) -> str:
    names = ("uv.txt", f"{chosen}.txt")
    return hashlib.sha256(b"".join((LOCKS / name).read_bytes() for name in names)).hexdigest()


def _version(python: Path) -> str | None:
    """Of an interpreter that works and that we support; None for any other."""
    code = "import sys; print('%d.%d.%d' % sys.version_info[:3])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return None
    version = done.stdout.strip()
    supported = done.returncode == 0 and OLDEST <= tuple(int(part) for part in version.split(".")[:2]) <= NEWEST
    return version if supported else None


def _make_venv() -> None:
    _say(f"making {VENV.name} with Python {sys.version.split()[0]}")
    done = subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=False)
    if done.returncode != 0:
        raise Failed(
            "the virtual environment could not be made. On Debian and Ubuntu the package python3-venv is needed; "
            "otherwise see the lines above."
        )


def _install(chosen: str) -> None:
    _say("installing the installer")
    pip = (PYTHON, "-m", "pip", "--disable-pip-version-check")
    _run([*pip, "install", "-q", "--require-hashes", "-r", LOCKS / "uv.txt"])
    lock = LOCKS / f"{chosen}.txt"
    _say(f"installing {_count(lock)} packages from {lock.relative_to(ROOT)}")
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", **registry_of_pip(pip)}
    uv = [VENV / "bin" / "uv", "pip", "sync", "--python", PYTHON, "--require-hashes", lock]
    if subprocess.run(uv, env=environment, check=False).returncode != 0:
        _say("that did not work; trying once more with pip, which takes minutes")
        _run([*pip, "--retries", "1", "install", "--no-deps", "--require-hashes", "-r", lock])


@functools.cache
def registry_of_pip(pip: tuple[str | Path, ...]) -> dict[str, str]:
    """uv does not read pip's configuration. What a machine's owner set for pip holds for uv, unless it has its own."""
    done = subprocess.run([*pip, "config", "list"], capture_output=True, text=True, check=False)
    configured: dict[str, str] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition("=")
        configured[name.split(".", 1)[-1]] = value.strip().strip("'\"")
    wanted = {"UV_DEFAULT_INDEX": configured.get("index-url"), "SSL_CERT_FILE": configured.get("cert")}
    already = {"UV_DEFAULT_INDEX": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"), "SSL_CERT_FILE": ("SSL_CERT_FILE",)}
    return {
        name: value
        for name, value in wanted.items()
        if value and not any(variable in os.environ for variable in already[name])
    }


def _get_tools() -> None:
    """Programs without which a part is refused, and its tests are skipped. Each is tried once, where that needs no
    question: as root, with apt. Nothing depends on whether it works."""
    for command, package, use in _TOOLS:
        tried = VENV / f"quarterdeck-{package}-tried"
        if shutil.which(command) or not shutil.which("apt-get") or os.geteuid() != 0 or tried.exists():
            continue
        _say(f"installing {package}, for {use}")
        tried.touch()
        install = ("apt-get", "install", "-y", "-q", "--no-install-recommends", package)
        if not _quietly(install) and not (_quietly(("apt-get", "update", "-q")) and _quietly(install)):
            _say(f"that did not work: {use} will be refused, everything else works")


def _quietly(command: Sequence[str]) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=_APT_PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _count(lock: Path) -> int:
    return sum("==" in line and not line.startswith((" ", "#")) for line in lock.read_text().splitlines())


def _run(command: Sequence[str | Path]) -> None:
    if subprocess.run(command, check=False).returncode != 0:
        raise Failed(
            "the packages could not be installed. Check the network, the free space on the disk, and the package "
            "registry that pip and uv are set up for (PIP_INDEX_URL, UV_DEFAULT_INDEX), then run it again: what has "
            "arrived is kept."
        )


def _write_command() -> None:
    command = VENV / "bin" / "quarterdeck"
    command.write_text(_COMMAND.format(python=PYTHON, root=str(ROOT)))
    command.chmod(0o755)


def _say(text: str) -> None:
    print(f"install: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Failed as failure:
        _say(str(failure))
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
