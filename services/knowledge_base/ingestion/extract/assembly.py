"""A text of several documents: the mails of a mailbox, a mail with its attachments, the chapters of a book."""

from services.knowledge_base.ingestion.extract.clean import clean
from services.knowledge_base.ingestion.extract.compose import Composer, one_line
from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    Heading,
    Part,
    Table,
)

_NAME_LENGTH = 300
_MAX_WARNINGS = 20
_DEEPEST = 9


class Assembly(Composer):
    def __init__(self, limits: ContentLimits) -> None:
        super().__init__(limits)
        self._parts: list[Part] = []

    @property
    def has_room_for_parts(self) -> bool:
        return len(self._parts) < self._limits.parts

    def part(self, name: str, inner: Extracted) -> None:
        """A document within. The documents within that one stand beside it, named by both."""
        self.open_part(name)
        base = self.embed(inner)
        for one in inner.parts[: self._limits.parts - len(self._parts)]:
            self._parts.append(Part(f"{name}/{one.name}"[:_NAME_LENGTH], base + one.start))

    def open_part(self, name: str) -> None:
        """What comes next stands in it."""
        self._close_gap()
        if self.has_room_for_parts:
            self._parts.append(Part(named(name), self._builder.length))

    def embed(self, inner: Extracted, deeper: int = 0) -> int:
        """All of it but its own parts, and where it begins."""
        self._close_gap()
        base = self._builder.add(inner.text)
        for heading in inner.headings[: self._limits.headings - len(self._headings)]:
            level = min(heading.level + deeper, _DEEPEST)
            self._headings.append(Heading(level, heading.title, base + heading.start))
        for table in inner.tables[: self._limits.tables - len(self._tables)]:
            self._tables.append(Table(base + table.start, base + table.header_end, base + table.end))
        for warning in inner.warnings:
            self.warn(warning)
        self._gap = "\n\n" if inner.text else ""
        return base

    def warn(self, warning: str) -> None:
        if len(self.warnings) < _MAX_WARNINGS and warning not in self.warnings:
            self.warnings.append(warning)

    def assembled(self, kind: DocumentFormat, title: str | None, dated_at: str | None) -> Extracted:
        found = self.extracted(kind, as_title(title), dated_at)
        return Extracted(
            kind,
            found.text,
            headings=found.headings,
            warnings=found.warnings,
            tables=found.tables,
            parts=tuple(self._parts),
            title=found.title,
            dated_at=dated_at,
        )

    def _close_gap(self) -> None:
        if self._gap:
            self._builder.add(self._gap)
        self._gap, self._in_list = "", False


def named(name: str) -> str:
    return one_line(clean(name)).strip()[:_NAME_LENGTH] or "attachment"


def as_title(title: str | None) -> str | None:
    return one_line(clean(title or "")).strip()[:_NAME_LENGTH] or None
