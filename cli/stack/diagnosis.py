"""Turns the log of a component that did not come up into one sentence a person can act on."""

import re
from pathlib import Path

from cli.stack.errors import StackError

# (what the log says, what is wrong, what to do). The first that matches wins.
_KNOWN: list[tuple[re.Pattern[str], str, str]] = [
    (
        re.compile(r"loading shared libraries: (\S+?):|Library not loaded: (\S+)|(lib\S+): cannot open shared"),
        "needs the shared library {0}, which this system does not have",
        "Install it with the system's package manager.",
    ),
    (
        re.compile(r"No space left on device|not enough space|Disk quota exceeded", re.I),
        "found no space left on the disk",
        "Free some space, or set QUARTERDECK_HOME to a larger disk.",
    ),
    (
        re.compile(r"Address already in use|could not bind|couldn't bind|Failed to bind", re.I),
        "found its port taken by another program that was faster",
        "Start again: a new port will be chosen.",
    ),
    (
        re.compile(r"exec format error|cannot execute binary", re.I),
        "was installed for another kind of processor",
        "Remove .venv and install again on this machine.",
    ),
    (
        re.compile(r"Permission denied", re.I),
        "may not read or write its files",
        "Give the data directory back to the user who runs Quarterdeck (`chown -R`).",
    ),
    (
        re.compile(r"Cannot allocate memory|could not map anonymous shared memory|out of memory|bad_alloc", re.I),
        "did not get the memory it needs",
        "Close other programs, or choose a smaller model with QUARTERDECK_LOCAL_MODEL=smollm.",
    ),
]


def explain(title: str, exit_code: int | None, output: str, log: Path) -> StackError:
    """`exit_code` None: it runs and does not answer."""
    if error := explain_known(title, output, log):
        return error
    ended = "runs but does not answer" if exit_code is None else f"ended at once ({describe_exit(exit_code)})"
    last = _last_line(output)
    said = f" Its last words: {last}" if last else ""
    return StackError(f"{title} {ended}.{said}", f"Read its log: {log}")


def explain_known(title: str, output: str, log: Path) -> StackError | None:
    """Something about the machine that any component may trip over, if the log tells of it."""
    for pattern, problem, advice in _KNOWN:
        if found := pattern.search(output):
            name = next((group for group in found.groups() if group), "")
            return StackError(f"{title} {problem.format(name)}.", f"{advice} Its log: {log}")
    return None


def describe_exit(exit_code: int) -> str:
    return f"killed by signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
