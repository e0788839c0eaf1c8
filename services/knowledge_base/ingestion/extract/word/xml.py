"""Word's vocabulary."""

from services.knowledge_base.ingestion.extract.office.xml import Element

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
W14 = "{http://schemas.microsoft.com/office/word/2010/wordml}"


def value(parent: Element, path: str) -> str:
    """The `w:val` of a child, "" when either is missing."""
    child = parent.find(path)
    return "" if child is None else child.get(W + "val", "")
