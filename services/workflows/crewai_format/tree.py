"""The one shape both parsers give: values that remember the line they stand on."""

import math
from dataclasses import dataclass
from typing import TypeAlias

from services.workflows.crewai_format.errors import Fault, ProjectError
from shared.kit.json import Json

MAX_DEPTH = 32
MAX_NODES = 20_000  # counted as if every YAML alias were written out
MAX_NUMBER_LENGTH = 40

Scalar: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Node:
    value: "Scalar | list[Node] | dict[str, Node]"
    line: int

    def plain(self) -> Json:
        """The value alone. Bounded: parsers count aliases as written out."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


@dataclass(slots=True)
class Budget:
    """What is left of a file's allowance while it is parsed."""

    file: str
    nodes: int = MAX_NODES

    def spend(self, nodes: int, line: int) -> None:
        self.nodes -= nodes
        if self.nodes < 0:
            raise ProjectError(Fault(f"holds more than {MAX_NODES} values", self.file, line))

    def check_depth(self, depth: int, line: int) -> None:
        if depth > MAX_DEPTH:
            raise ProjectError(Fault(f"is nested more than {MAX_DEPTH} levels deep", self.file, line))


def check_text(text: str, file: str, line: int) -> str:
    """Refuses what no database text can hold, so that it fails here and with a line number."""
    if "\x00" in text:
        raise ProjectError(Fault("text holds a NUL character", file, line))
    if not is_unicode(text):
        raise ProjectError(Fault("text holds half a surrogate pair", file, line))
    return text


def fits_json(number: int | float) -> bool:
    """Whether every JSON reader on the way will take the number as it is."""
    return abs(number) < 2**63 if isinstance(number, int) else math.isfinite(number)


def is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
