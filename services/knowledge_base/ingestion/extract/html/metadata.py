"""What a page says of itself: its title, and when it was written."""

import re
from collections.abc import Iterator

from services.knowledge_base.ingestion.extract.assembly import as_title
from services.knowledge_base.ingestion.extract.dates import from_iso, from_mail
from services.knowledge_base.ingestion.extract.html.tree import Element, text_of

_TITLES = ("og:title", "twitter:title", "dc.title")
# When it was published goes before when it was changed.
_DATES = (
    "article:published_time",
    "datepublished",
    "dc.date.issued",
    "dcterms.issued",
    "citation_publication_date",
    "dc.date",
    "dcterms.created",
    "date",
    "pubdate",
    "article:modified_time",
    "datemodified",
    "dcterms.modified",
    "last-modified",
)
_LINKED_DATE = re.compile(r'"datePublished"\s*:\s*"([^"]{4,40})"')
_SCRIPT_LENGTH = 1_000_000


def find_title(tree: Element) -> str | None:
    for element in tree.iter("title"):
        parent = element.getparent()
        if parent is not None and parent.tag in ("head", "html") and text_of(element):  # not of a drawing
            return as_title(text_of(element))
    named = _named(tree)
    given = next((named[name] for name in _TITLES if named.get(name)), None)
    return as_title(given) or next((as_title(text_of(heading)) for heading in tree.iter("h1")), None)


def find_date(tree: Element) -> str | None:
    named = _named(tree)
    for found in (*(named[name] for name in _DATES if name in named), *_linked(tree), *_times(tree)):
        date = from_iso(found) or from_mail(found)
        if date:
            return date
    return None


def _named(tree: Element) -> dict[str, str]:
    named: dict[str, str] = {}
    for meta in tree.iter("meta"):
        name = meta.get("property") or meta.get("name") or meta.get("itemprop") or meta.get("http-equiv")
        if name:
            named.setdefault(name.lower(), (meta.get("content") or "").strip())
    return named


def _linked(tree: Element) -> Iterator[str]:
    for script in tree.iter("script"):
        if script.get("type") == "application/ld+json":
            found = _LINKED_DATE.search((script.text or "")[:_SCRIPT_LENGTH])
            if found:
                yield found[1]


def _times(tree: Element) -> Iterator[str]:
    for time in tree.iter("time"):
        if time.get("datetime") and (time.get("pubdate") is not None or time.get("itemprop") == "datePublished"):
            yield time.get("datetime") or ""
