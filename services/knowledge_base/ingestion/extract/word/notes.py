"""What a Word document keeps apart from its text: footnotes, endnotes, comments, headers and footers."""

from collections.abc import Iterator

from services.knowledge_base.ingestion.extract.office.package import Package
from services.knowledge_base.ingestion.extract.office.xml import BrokenPart, Element
from services.knowledge_base.ingestion.extract.word.xml import W

_KINDS = {"footnotes": "footnote", "endnotes": "endnote", "comments": "comment"}


def read_notes(package: Package) -> dict[tuple[str, str], Element]:
    """By their kind and the id a paragraph refers to them with."""
    found: dict[tuple[str, str], Element] = {}
    for relation, root in parts(package, *_KINDS):
        kind = _KINDS[relation]
        found.update({(kind, note.get(W + "id", "")): note for note in root.findall(W + kind)})
    return found


def parts(package: Package, *kinds: str) -> Iterator[tuple[str, Element]]:
    """The document is read without those that are broken."""
    for relation in package.related(package.main, *kinds):
        try:
            yield relation.kind, package.xml(relation.target)
        except BrokenPart:
            continue
