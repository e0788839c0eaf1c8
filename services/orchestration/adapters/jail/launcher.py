"""Runs inside the sandbox, alone and with the standard library only: limits itself, then runs the user's code.

Reads its order from standard input, a JSON object. Writes to what was standard output a `+` when it is about to run
the code, then the report: `{"value"}`, `{"error": {"type", "message", "line", "traceback"}}`, `{"large"}` or
`{"memory"}`. What the code prints goes to standard error.
"""

import json
import os
import resource
import sys
import traceback
from typing import Any

_NAME = "<code>"
_EXPECTED = frozenset(("python", "lib", "lib64", "dev", "tmp", "launcher.py"))
_NOBODY = 65534
_FRAMES = 20
_LONGEST = 2000
_LINE = 200
_NO_REPORT = 70


def main() -> None:
    if not frozenset(os.listdir("/")) <= _EXPECTED or os.getuid() != _NOBODY:
        sys.exit("this is no sandbox, so nothing is run")
    order = json.load(sys.stdin)
    report_to = _arrange_files()
    _limit(order)
    os.write(report_to, b"+")
    try:
        report = _run(order)
    except MemoryError:
        report = b'{"memory":true}'
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        _write(report_to, report)


def _arrange_files() -> int:
    """The report has a file of its own, printing goes to standard error, and nothing is to be read."""
    report_to = os.dup(1)
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return report_to


def _limit(order: dict[str, Any]) -> None:
    cpu = order["cpu_seconds"]
    for what, limit in (
        (resource.RLIMIT_AS, order["memory_bytes"]),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_FSIZE, order["file_bytes"]),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(what, (limit, limit))
    os.nice(5)


def _run(order: dict[str, Any]) -> bytes:
    """The report, as JSON."""
    source: str = order["source"]
    try:
        scope: dict[str, Any] = {"__name__": "code", "__builtins__": __builtins__}
        exec(compile(source, _NAME, "exec", dont_inherit=True), scope)
        value = scope["main"](order["inputs"])
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever ends it is the user's to know
        return _dump({"error": _told(error, source.splitlines())})
    try:
        report = _dump({"value": value})
    except (TypeError, ValueError, RecursionError) as error:
        message = f"main returned what is no JSON: {_cut(str(error))}"
        return _dump({"error": {"type": type(error).__name__, "message": message, "line": None, "traceback": ""}})
    return report if len(report) <= order["report_bytes"] else b'{"large":%d}' % len(report)


def _told(error: BaseException, lines: list[str]) -> dict[str, Any]:
    """What went wrong, and where in the user's own lines."""
    kind = type(error).__name__
    frames = [
        (number, frame.f_code.co_name)
        for frame, number in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename == _NAME
    ]
    if isinstance(error, SyntaxError) and error.filename == _NAME and not frames:
        frames = [(error.lineno or 1, "<module>")]
    shown = frames if len(frames) <= _FRAMES else frames[: _FRAMES // 2] + frames[-_FRAMES // 2 :]
    text = "".join(
        f"  line {number}, in {name}\n    {lines[number - 1].strip()[:_LINE] if number <= len(lines) else ''}\n"
        for number, name in shown
    )
    try:
        message = _cut(error.msg if isinstance(error, SyntaxError) else str(error))
    except BaseException:  # noqa: BLE001 - it is the user's own class that could not say it
        message = ""
    line = frames[-1][0] if frames else None
    summary = f"{kind}: {message}" if message else kind
    return {"type": kind, "message": message, "line": line, "traceback": f"{text}{summary}"}


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def _dump(report: dict[str, Any]) -> bytes:
    return json.dumps(report, allow_nan=False, separators=(",", ":")).encode()


def _write(report_to: int, report: bytes) -> None:
    """And ends the process, with all that the code may have left to be done in the end."""
    view = memoryview(report)
    try:
        while view:
            view = view[os.write(report_to, view) :]
        os._exit(0)
    finally:
        os._exit(_NO_REPORT)


main()
