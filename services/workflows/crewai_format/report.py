"""What became of everything in an imported or exported project, for the person who asked for it."""

from dataclasses import dataclass, field
from enum import StrEnum

from services.workflows.crewai_format.project import Place


class Code(StrEnum):
    AGENT = "agent"
    TASK = "task"
    INPUT = "input"
    MODEL = "model"
    TOOL = "tool"
    BINDING = "binding"
    KNOWLEDGE_BASE = "knowledge_base"
    CONNECTION = "connection"
    CHANGED = "changed"

    UNSAFE = "unsafe"
    UNSUPPORTED = "unsupported"
    UNKNOWN_FIELD = "unknown_field"
    FILES_NOT_READ = "files_not_read"

    TOOL_MISSING = "tool_missing"
    MODEL_MISSING = "model_missing"
    KNOWLEDGE_BASE_MISSING = "knowledge_base_missing"
    CONNECTION_MISSING = "connection_missing"
    OUTPUT_CLASS_MISSING = "output_class_missing"
    AGENT_UNBOUND = "agent_unbound"
    AGENT_UNKNOWN = "agent_unknown"


@dataclass(frozen=True, slots=True)
class Item:
    """`where` is a path such as `tasks.research.output_file`. Values, which may be secrets, are never quoted."""

    code: Code
    where: str
    message: str
    file: str | None = None
    line: int | None = None


@dataclass(slots=True)
class Report:
    mapped: list[Item] = field(default_factory=list[Item])
    ignored: list[Item] = field(default_factory=list[Item])
    missing: list[Item] = field(default_factory=list[Item])


def placed(code: Code, where: str, message: str, place: Place | None) -> Item:
    """An item with the place where the files speak of it, when they do."""
    return Item(code, where, message, place.file, place.line) if place else Item(code, where, message)
