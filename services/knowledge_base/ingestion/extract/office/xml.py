"""The little of lxml that readers of office files use, typed: the library carries no types."""
# pyright: reportMissingTypeStubs=false, reportAttributeAccessIssue=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from collections.abc import Iterator
from typing import Protocol, cast

from lxml import etree

A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"


class BrokenPart(Exception):
    """One part of a file cannot be read."""


class Element(Protocol):
    @property
    def tag(self) -> str: ...
    @property
    def text(self) -> str | None: ...
    @property
    def tail(self) -> str | None: ...
    def get(self, key: str, default: str) -> str: ...
    def find(self, path: str) -> "Element | None": ...
    def findall(self, path: str) -> "list[Element]": ...
    def iter(self, *tags: str) -> "Iterator[Element]": ...
    def itertext(self, *tags: str) -> "Iterator[str]": ...
    def __iter__(self) -> "Iterator[Element]": ...


def parse_xml(data: bytes) -> Element:
    """Entities are not resolved, nothing is fetched. Raises `BrokenPart`."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    try:
        return cast(Element, etree.fromstring(data, parser))
    except etree.XMLSyntaxError as error:
        raise BrokenPart from error


def local(tag: str) -> str:
    """A tag without its namespace."""
    return tag.rpartition("}")[2]
