"""What a web page is about, without its menus, side columns and footers."""

import re
from typing import cast

from trafilatura import bare_extraction
from trafilatura.settings import Document

from services.knowledge_base.ingestion.extract.html.tree import Element, new_element, text_of
from services.knowledge_base.ingestion.extract.html.visible import line_of

# Its elements are of another vocabulary than HTML.
_HTML_NAMES = {
    "list": "ul",
    "item": "li",
    "row": "tr",
    "cell": "td",
    "quote": "blockquote",
    "lb": "br",
    "hi": "span",
    "ref": "a",
    "del": "s",
    "graphic": "img",
}
# Listings and tables stand in figures too, which are taken for images.
_FIGURE = re.compile(r"<(/?)(figure|figcaption)\b", re.I)
_READ_AS = {"figure": "div", "figcaption": "p"}
_SAMPLE = "<html><body><p>The first page takes the library long: it reads its lists of words.</p></body></html>"
_AROUND = ("nav", "aside", "footer", "button")
_MOST_OF_IT = 0.6
_LEVELS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})


def prepare() -> None:
    """For a process whose copies each read one page."""
    _guessed(_SAMPLE)


def find_main_content(page: str, tree: Element) -> Element | None:
    """A tree of HTML; None when there is nothing that stands out. What surrounds the content goes from `tree` too."""
    body = _guessed(page)
    marked = _marked(tree)
    # Where the page itself says what it is about, a guess that loses much of that is a bad one.
    if marked is not None and (body is None or len(line_of(body)) < _MOST_OF_IT * len(line_of(marked))):
        body = marked
    if body is not None:
        _put_first_heading(body, tree)
    return body


def _guessed(page: str) -> Element | None:
    found = bare_extraction(
        _FIGURE.sub(lambda tag: f"<{tag[1]}{_READ_AS[tag[2].lower()]}", page),
        include_comments=False,
        include_tables=True,
        with_metadata=False,
    )
    if not isinstance(found, Document):
        return None
    # Of its fields this one is not typed.
    body = cast("Element | None", found.body)  # pyright: ignore[reportUnknownMemberType]
    if body is None or not text_of(body):
        return None
    for element in body.iter():
        if isinstance(cast(object, element.tag), str):
            _rename(element)
    return body


def _marked(tree: Element) -> Element | None:
    for tag in ("main", "article"):
        found = list(tree.iter(tag))
        if len(found) == 1:
            for element in found[0].iter(*_AROUND):
                element.tag = "template"
            return found[0] if line_of(found[0]) else None
    return None


def _rename(element: Element) -> None:
    tag = element.tag
    rend = element.get("rend") or ""
    if tag == "head":
        element.tag = rend if rend in _LEVELS else "h2"
    elif tag == "list":
        element.tag = "ol" if rend == "ol" else "ul"
    elif tag == "cell":
        element.tag = "th" if element.get("role") == "head" else "td"
    elif tag == "code":
        element.tag = "pre" if "\n" in "".join(element.itertext()) else "code"
    else:
        element.tag = _HTML_NAMES.get(tag, tag)


def _put_first_heading(body: Element, tree: Element) -> None:
    """The page's own heading mostly stands above what is found, and names it best."""
    if next(body.iter("h1"), None) is not None:
        return
    headings = [heading for heading in tree.iter("h1") if text_of(heading)]
    if len(headings) == 1:
        first = new_element("h1")
        first.text = text_of(headings[0])
        first.tail = body.text
        body.text = None
        body.insert(0, first)
