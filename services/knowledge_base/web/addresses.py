"""Addresses of pages: in one form, so that the same page is not taken twice."""

import posixpath
import re
import unicodedata
from urllib.parse import unquote

from yarl import URL

from services.knowledge_base.web.schemas import MAX_URL
from shared.net.policy import EgressPolicy, UrlRefused

_NAME_LENGTH = 200
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff/\\]+")
# What a server calls the formats that are told apart by their names alone.
_SUFFIXES = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "text/markdown": ".md",
    "text/x-markdown": ".md",
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "message/rfc822": ".eml",
}
_PAGE_SUFFIXES = {".htm", ".xhtml", ".shtml"}


def normal_url(given: str, policy: EgressPolicy) -> str:
    """As the HTTP client reads it, without what is for browsers alone. Raises `UrlRefused`."""
    try:
        url = str(URL(given.strip()).with_fragment(None))
    except (ValueError, TypeError) as error:
        raise UrlRefused("the URL is malformed") from error
    if len(url) > MAX_URL:
        raise UrlRefused(f"the URL is longer than {MAX_URL} characters")
    policy.check_url(url)
    return url


def name_of_page(url: str) -> str:
    """What a document is called that nobody has named."""
    parsed = URL(url)
    host = (parsed.host or "").removeprefix("www.")
    query = f"?{parsed.query_string}" if parsed.query_string else ""
    name = f"{host}{parsed.path.rstrip('/')}{query}"
    visible = "".join(letter for letter in name if unicodedata.category(letter)[0] != "C")
    return visible.strip()[:_NAME_LENGTH] or url[:_NAME_LENGTH]


def file_name(url: str, media_type: str) -> str:
    """By which readers see of what format a text is: what the server says goes before what the address looks like."""
    name = _NOT_IN_NAMES.sub("", unquote(posixpath.basename(URL(url).raw_path)))[-_NAME_LENGTH:] or "page"
    suffix = _SUFFIXES.get(media_type, "")
    present = posixpath.splitext(name)[1].lower()
    if not suffix or present == suffix or (suffix == ".html" and present in _PAGE_SUFFIXES):
        return name
    return name + suffix
