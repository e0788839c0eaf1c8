"""A page's tree, from bytes in whatever encoding; and the little of lxml that is used, which carries no types."""
# pyright: reportMissingTypeStubs=false, reportAttributeAccessIssue=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

import codecs
import html
import re
from collections.abc import Iterator
from typing import Protocol, cast

from lxml import etree

from services.knowledge_base.ingestion.extract.text import decode, has_mark


class Element(Protocol):
    tag: str  # of a comment or an entity it is something else
    text: str | None
    tail: str | None

    def get(self, key: str) -> str | None: ...
    def getparent(self) -> "Element | None": ...
    def insert(self, index: int, element: "Element", /) -> None: ...
    def iter(self, *tags: str) -> "Iterator[Element]": ...
    def iterdescendants(self, *tags: str) -> "Iterator[Element]": ...
    def itertext(self) -> "Iterator[str]": ...
    def __iter__(self) -> "Iterator[Element]": ...
    def __len__(self) -> int: ...


class Walk(Protocol):
    """Every element when it begins and when it ends."""

    def __iter__(self) -> Iterator[tuple[str, Element]]: ...
    def skip_subtree(self) -> None:
        """The next is the end of the element that has just begun."""
        ...


_PRESCAN = 4096
_DECLARED = re.compile(
    rb"<meta[^>]{0,300}?charset\s*=\s*[\"']?\s*([a-z0-9_:.-]{2,40})|<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([a-z0-9_.-]{2,40})",
    re.I,
)
# As browsers read them: what calls itself Latin-1 mostly is Windows'.
_READ_AS = {
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
}
_TAG = re.compile(r"<[a-zA-Z]")
_ENTITY = re.compile(r"&([a-zA-Z][a-zA-Z0-9]{1,30});")
_KNOWN_TO_XML = frozenset({"amp", "lt", "gt", "quot", "apos"})
_XML_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")


def decode_page(data: bytes) -> str:
    """By its mark, by what it says of itself if that can be true, else by guess."""
    if has_mark(data):
        return decode(data)
    declared = _DECLARED.search(data[:_PRESCAN])
    name = _python_name(declared[1] or declared[2]) if declared else None
    if name is None:
        return decode(data)
    try:
        # Beyond ASCII, nothing but UTF-8 happens to be valid UTF-8.
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        text = data.decode(name, "replace")
    except (UnicodeError, LookupError, ValueError):
        return decode(data)
    return text if text.count("\ufffd") * 100 <= len(text) else decode(data)


def parse_page(text: str) -> Element | None:
    """None for a page with nothing in it."""
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, huge_tree=True, remove_comments=True, remove_pis=True)
    data = _NOT_IN_XML.sub(" ", text).encode("utf-8", "replace")
    try:
        return cast("Element | None", etree.fromstring(data, parser))
    except (etree.ParserError, etree.XMLSyntaxError):
        if _TAG.search(text):
            raise
        return None


def parse_xhtml(text: str) -> Element | None:
    """As XML where it is that: there `<title/>` is an end, elsewhere only a begin."""
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True
    )
    known = _ENTITY.sub(_unescaped, _XML_DECLARATION.sub("", _NOT_IN_XML.sub(" ", text), count=1))
    try:
        root = cast(Element, etree.fromstring(known.encode("utf-8", "replace"), parser))
    except etree.XMLSyntaxError:
        return parse_page(text)
    for element in root.iter():
        if isinstance(cast(object, element.tag), str):
            element.tag = element.tag.rpartition("}")[2].lower()
    return root


def walk(root: Element) -> Walk:
    """Not by recursion: a page may nest as deeply as it likes."""
    return cast(Walk, etree.iterwalk(root, events=("start", "end")))


def new_element(tag: str) -> Element:
    return cast(Element, etree.Element(tag))


def text_of(element: Element) -> str:
    """On one line, with all that is hidden."""
    return " ".join("".join(element.itertext()).split())


def _unescaped(entity: re.Match[str]) -> str:
    return entity[0] if entity[1] in _KNOWN_TO_XML else html.unescape(entity[0])


def _python_name(declared: bytes) -> str | None:
    """None for UTF-8 too: whether it is, is seen anyhow."""
    try:
        name = codecs.lookup(declared.decode("ascii")).name
    except (LookupError, UnicodeError):
        return None
    return None if name.startswith("utf") else _READ_AS.get(name, name)
