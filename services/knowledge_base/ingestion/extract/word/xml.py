"""The little of lxml and of Office's vocabulary that the Word reader uses."""

from collections.abc import Iterator
from typing import Protocol, cast

from docx.oxml.parser import parse_xml as _parse_xml

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
W14 = "{http://schemas.microsoft.com/office/word/2010/wordml}"
M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"


class Element(Protocol):
    """An lxml element: the library carries no types."""

    @property
    def tag(self) -> str: ...
    @property
    def text(self) -> str | None: ...
    def get(self, key: str, default: str = "") -> str: ...
    def find(self, path: str) -> "Element | None": ...
    def findall(self, path: str) -> "list[Element]": ...
    def iter(self, tag: str) -> "Iterator[Element]": ...
    def __iter__(self) -> "Iterator[Element]": ...


def parse_xml(data: bytes) -> Element:
    """By python-docx's parser: entities are not resolved, nothing is fetched."""
    return cast(Element, _parse_xml(data))


def value(parent: Element, path: str) -> str:
    """The `w:val` of a child, "" when either is missing."""
    child = parent.find(path)
    return "" if child is None else child.get(W + "val")
