"""How the command fails: one sentence on what is wrong, one on what to do, and a number for scripts."""

from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    SUCCEEDED = 0
    FAILED = 1
    """What was asked for was tried and did not succeed."""
    USAGE = 2
    """The command was called wrongly; nothing was tried."""
    UNREACHABLE = 3
    """Quarterdeck does not answer, or does not let this caller in."""
    INTERRUPTED = 130


class CommandError(Exception):
    def __init__(self, problem: str, advice: str = "", *, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(problem)
        self.problem = problem
        self.advice = advice
        self.code = code


class ApiFailure(CommandError):
    """An answer in the API's error shape."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        error: dict[str, Any] = body.get("error") or {}
        self.status = status
        self.error_code = str(error.get("code", "unknown"))
        self.details: list[dict[str, Any]] = error.get("details") or []
        problem = str(error.get("message", f"The answer was {status}."))
        super().__init__(
            "\n".join([problem, *(f"  - {_detail(detail)}" for detail in self.details)]),
            _advice(status, str(error.get("correlation_id", ""))),
            code=ExitCode.UNREACHABLE if status == 401 else ExitCode.FAILED,
        )


def _detail(detail: dict[str, Any]) -> str:
    where = ": ".join(str(detail[name]) for name in ("node", "field") if detail.get(name))
    return f"{where}: {detail.get('message', '')}" if where else str(detail.get("message", ""))


def _advice(status: int, correlation_id: str) -> str:
    if status == 401:
        return "Sign in with `quarterdeck login`, or set QUARTERDECK_API_KEY."
    if status >= 500 and correlation_id:
        return f"The service's log tells more under the correlation id {correlation_id}."
    return ""
