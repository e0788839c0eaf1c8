"""What validation finds: enough to point at the place on the canvas and to say what to do."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """An `error` keeps the workflow from running, a `warning` does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """`node` is the node's id, `field` the path of the field: in the node's config, or else in the graph."""

    severity: Severity
    code: str
    message: str
    node: str | None = None
    field: str | None = None


def error(code: str, message: str, *, node: str | None = None, field: str | None = None) -> Problem:
    return Problem(Severity.ERROR, code, message, node, field)


def warning(code: str, message: str, *, node: str | None = None, field: str | None = None) -> Problem:
    return Problem(Severity.WARNING, code, message, node, field)
