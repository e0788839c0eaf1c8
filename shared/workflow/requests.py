"""What a request to the outside may look like, for whoever makes one of templates: pure text, nothing is sent here."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated
from urllib.parse import urlencode, urlsplit, urlunsplit

from pydantic import AfterValidator, StringConstraints

MAX_URL = 8_000
MAX_HEADER = 8_000
MAX_HEADERS = 50
DEFAULT_TIMEOUT_MS = 30_000
LONGEST_TIMEOUT_MS = 300_000
DEFAULT_BYTES = 1024 * 1024
MOST_BYTES = 10 * 1024 * 1024

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
# These say how a message travels, or are ours to set: whoever writes them could break either.
_OURS = frozenset(
    (
        "accept-encoding", "connection", "content-length", "expect", "host", "idempotency-key", "keep-alive",
        "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    )
)  # fmt: skip
_NOT_IN_HEADERS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_DOTS = re.compile(r"(?:\.|%2e){1,2}", re.IGNORECASE)


class RequestInvalid(ValueError):
    """The request cannot be sent like this. The message is fit to be shown."""


def header_name(name: str) -> str:
    """The name itself. Raises ValueError for one that cannot be set."""
    if not _TOKEN.fullmatch(name):
        raise ValueError("is no name of a header")
    if name.lower() in _OURS:
        raise ValueError(f"{name} is set by the product itself: leave it out")
    return name


HeaderName = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(header_name)]


def check_headers(headers: Mapping[str, str]) -> None:
    """Raises `RequestInvalid` for a value that is no single line of text."""
    for name, value in headers.items():
        if len(value) > MAX_HEADER or _NOT_IN_HEADERS.search(value):
            raise RequestInvalid(f"the header {name} must be one line of text, of at most {MAX_HEADER:,} characters")


def full_url(url: str, query: Iterable[tuple[str, str]] = ()) -> str:
    """`url`, without a fragment, and with these parameters after its own.

    Raises `RequestInvalid` for one that is too long, or whose path climbs: `..` in a value that was put into it
    would lead the request to another place than its template says.
    """
    try:
        parts = urlsplit(url.strip())
        more = urlencode(list(query))
    except ValueError:
        raise RequestInvalid("the URL is malformed") from None
    if any(_DOTS.fullmatch(segment) for segment in re.split(r"[/\\]", parts.path)):
        raise RequestInvalid("the URL's path must have no . and .. in it")
    whole = urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, more))), fragment=""))
    if len(whole) > MAX_URL:
        raise RequestInvalid(f"the URL is longer than {MAX_URL:,} characters")
    return whole
