"""Typed access to a parsed file. Faults are kept, not raised, so that one reading finds them all."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.workflows.crewai_format.errors import Fault
from services.workflows.crewai_format.fields import FieldTable
from services.workflows.crewai_format.project import Place
from services.workflows.crewai_format.report import Code, Item, Report
from services.workflows.crewai_format.tree import Node

MAX_KEY_CHARACTERS = 100
MAX_NAME_CHARACTERS = 200
MAX_TEXT_CHARACTERS = 20_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One agent, task or crew of a file; `where` is its path, such as `tasks.research`."""

    where: str
    line: int
    fields: dict[str, Node]


class Reader:
    def __init__(self, file: str, report: Report, faults: list[Fault]) -> None:
        self.file = file
        self.report = report
        self._faults = faults

    def fault(self, message: str, line: int) -> None:
        self._faults.append(Fault(message, self.file, line))

    def ignore(self, code: Code, where: str, why: str, line: int) -> None:
        self.report.ignored.append(Item(code, where, f"left out: {why}", self.file, line))

    def miss(self, code: Code, where: str, message: str, line: int) -> None:
        self.report.missing.append(Item(code, where, message, self.file, line))

    def place(self, line: int) -> Place:
        return Place(self.file, line)

    def entry(self, node: Node, where: str) -> Entry:
        if isinstance(node.value, dict):
            return Entry(where, node.line, node.value)
        self.fault(f"{where} must be a mapping of fields", node.line)
        return Entry(where, node.line, {})

    def key(self, key: str, where: str, line: int) -> str:
        if not key.strip() or len(key) > MAX_KEY_CHARACTERS:
            self.fault(f"a name in {where} must have 1 to {MAX_KEY_CHARACTERS} characters", line)
        return key

    def text(self, entry: Entry, name: str, most: int = MAX_TEXT_CHARACTERS) -> str:
        """A required text, without the line breaks that YAML's folded style leaves at its end."""
        node = entry.fields.get(name)
        if node is None or node.value is None:
            self.fault(f"{entry.where}.{name} is missing", entry.line)
        elif not isinstance(node.value, str):
            self.fault(f"{entry.where}.{name} must be text", node.line)
        elif not node.value.strip():
            self.fault(f"{entry.where}.{name} is empty", node.line)
        elif len(node.value) > most:
            self.fault(f"{entry.where}.{name} has more than {most} characters", node.line)
        else:
            return node.value.strip()
        return ""

    def name(self, entry: Entry, name: str) -> str | None:
        """An optional text that names something."""
        node = entry.fields.get(name)
        return None if node is None or node.value is None else self.text(entry, name, MAX_NAME_CHARACTERS)

    def flag(self, entry: Entry, name: str) -> bool:
        node = entry.fields.get(name)
        if node is None or node.value is None:
            return False
        if not isinstance(node.value, bool):
            self.fault(f"{entry.where}.{name} must be true or false", node.line)
        return node.value is True

    def count(self, entry: Entry, name: str) -> int | None:
        """A whole number from 1."""
        node = entry.fields.get(name)
        if node is None or node.value is None:
            return None
        if isinstance(node.value, int) and not isinstance(node.value, bool) and node.value >= 1:
            return node.value
        self.fault(f"{entry.where}.{name} must be a whole number from 1", node.line)
        return None

    def temperature(self, entry: Entry, name: str) -> float | None:
        node = entry.fields.get(name)
        if node is None or node.value is None:
            return None
        if isinstance(node.value, int | float) and not isinstance(node.value, bool) and 0 <= node.value <= 2:
            return float(node.value)
        self.fault(f"{entry.where}.{name} must be a number from 0 to 2", node.line)
        return None

    def items(self, entry: Entry, name: str) -> list[Node]:
        node = entry.fields.get(name)
        if node is None or node.value is None:
            return []
        if isinstance(node.value, list):
            return node.value
        self.fault(f"{entry.where}.{name} must be a list", node.line)
        return []

    def leave_out(self, entry: Entry, read: Iterable[str], table: FieldTable) -> None:
        """Reports every field that was given a meaning in the file and has none here."""
        for name, node in entry.fields.items():
            says_nothing = node.value is False or node.value in (None, "", [], {})
            if name in read or name in table.harmless or says_nothing:
                continue
            code, why = table.verdict(name)
            if names_python(node):
                code, why = Code.UNSAFE, "it names Python code, which is never loaded"
            self.ignore(code, f"{entry.where}.{name}", why, node.line)


def names_python(node: Node) -> bool:
    """Whether the value is crewAI's `{"python": "module.attribute"}`, or holds one."""
    if isinstance(node.value, dict):
        return "python" in node.value or any(names_python(child) for child in node.value.values())
    return isinstance(node.value, list) and any(names_python(child) for child in node.value)
