"""Word documents, in reading order: paragraphs, lists with their numbers, tables, text boxes, charts, notes."""

from dataclasses import replace

from services.knowledge_base.ingestion.extract.clean import clean
from services.knowledge_base.ingestion.extract.compose import Composer, looks_like_head
from services.knowledge_base.ingestion.extract.model import ContentLimits, DocumentFormat, Extracted, Source
from services.knowledge_base.ingestion.extract.office.charts import add_chart
from services.knowledge_base.ingestion.extract.office.drawing import diagram_lines
from services.knowledge_base.ingestion.extract.office.package import Package
from services.knowledge_base.ingestion.extract.office.xml import Element
from services.knowledge_base.ingestion.extract.word.inline import PAGE_BREAK, Inline, read_inline
from services.knowledge_base.ingestion.extract.word.notes import parts, read_notes
from services.knowledge_base.ingestion.extract.word.numbering import Numbering
from services.knowledge_base.ingestion.extract.word.styles import ParagraphStyle, Styles
from services.knowledge_base.ingestion.extract.word.tables import (
    CONTAINERS,
    PARAGRAPH,
    TABLE,
    cells_of,
    has_head,
    is_layout,
    table_rows,
    text_inside,
)
from services.knowledge_base.ingestion.extract.word.xml import W

_INDENT = "  "


def extract_docx(source: Source, limits: ContentLimits) -> Extracted:
    return _Reader(Package(source.read(), limits), limits).read()


class _Reader:
    def __init__(self, package: Package, limits: ContentLimits) -> None:
        self._package = package
        self._composer = Composer(limits)
        self._targets = package.targets(package.main)
        roots = dict(parts(package, "styles", "numbering"))
        self._styles = Styles(roots.get("styles"))
        self._numbering = Numbering(roots.get("numbering"))
        self._notes = read_notes(package)

    def read(self) -> Extracted:
        self._composer.page()
        self._margins("header")
        body = self._package.xml(self._package.main).find(W + "body")
        if body is not None:
            self._blocks(body)
        self._margins("footer")
        title, date = self._package.title_and_date()
        extracted = self._composer.extracted(DocumentFormat.DOCX, title or self._composer.title, date)
        return extracted if len(extracted.pages) > 1 else replace(extracted, pages=())

    def _margins(self, kind: str) -> None:
        """What stands above or below every page, once."""
        for text in dict.fromkeys(text_inside(root) for _, root in parts(self._package, kind)):
            if any(map(str.isalpha, text)):
                self._composer.block(text)

    def _blocks(self, parent: Element) -> None:
        for child in parent:
            if child.tag == PARAGRAPH:
                self._paragraph(child)
            elif child.tag == TABLE:
                self._table(child)
            elif child.tag in CONTAINERS:
                self._blocks(child)

    def _paragraph(self, element: Element) -> None:
        inline = read_inline(element)
        segments = list(inline.text())
        while len(segments) > 1 and not segments[0].strip():
            self._composer.page()
            del segments[0]
        if any(segment.strip() for segment in segments):
            self._text(segments, self._styles.of(element))
        if inline.has_attachments:
            self._attachments(inline)

    def _text(self, segments: list[str], style: ParagraphStyle) -> None:
        label, level = self._label(style)
        first = clean(segments[0]).lstrip("\n")
        indent = _INDENT * level if style.heading is None else ""
        start = self._composer.block(f"{indent}{label} {first}" if label else first, item=bool(label))
        for segment in segments[1:]:
            self._composer.carry_on(segment)
        if style.heading is not None:
            self._composer.mark(style.heading, " ".join(filter(None, (label, *segments))), start)

    def _label(self, style: ParagraphStyle) -> tuple[str, int]:
        """The number or mark in front of a paragraph, and how deep in its list it stands."""
        if not style.number:
            return "", 0
        level = style.list_level
        if level is None:
            level = self._numbering.level_of_style(style.number, style.name) or 0
        return self._numbering.next_label(style.number, level), level

    def _attachments(self, inline: Inline) -> None:
        for box in inline.boxes:
            self._blocks(box)
        for relation in inline.charts:
            self._package.spare(self._targets.get(relation), lambda root: add_chart(self._composer, root))
        for relation in inline.diagrams:
            self._package.spare(self._targets.get(relation), self._diagram)
        for reference in inline.notes:
            note = self._notes.get(reference)
            if note is not None and reference[0] == "comment":
                text = text_inside(note)
                self._composer.block(f"Comment: {text}" if text else "")
            elif note is not None:
                self._blocks(note)

    def _table(self, table: Element) -> None:
        rows = table_rows(table)
        if is_layout(rows):
            for cell in cells_of(table):
                self._blocks(cell)
            return
        self._composer.table(rows, head=len(rows) > 1 and (has_head(table) or looks_like_head(rows)))
        for _ in table.iter(PAGE_BREAK):
            self._composer.page()

    def _diagram(self, root: Element) -> None:
        for line in diagram_lines(root):
            self._composer.block(line, item=True)
