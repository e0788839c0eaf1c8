"""What a site answered: a page, no change, or a reason why there is none."""

import codecs
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from services.knowledge_base.web.problems import PageFailed
from shared.kit.clock import utcnow
from shared.net.fetch import Fetched

_NOT_MODIFIED = 304
_PASSES = frozenset({408, 425, 429})
_MISSING = frozenset({404, 410})
_DENIED = frozenset({401, 402, 403, 407, 451})
_HEADER_LENGTH = 1000
_HEAD = 4096
_LOGIN = re.compile(
    r"(?:^|[/._-])(?:log-?in|sign-?in|log-?on|signon|sso|saml2?|oauth2?|authenticate)(?:$|[/._?-])", re.I
)
# No match begins within another's: a page of millions of half tags takes as long as any other of its size.
_PASSWORD_FIELD = re.compile(rb"<input\b[^<>]{0,500}?type\s{0,9}=\s{0,9}[\"']?password", re.I)
_TITLE = re.compile(rb"<title\b[^<>]{0,500}>([^<]{0,300})", re.I)
_LOGIN_TITLE = re.compile(r"\b(?:log ?in|sign ?in|log ?on|anmelden|anmeldung|connexion|iniciar sesi)", re.I)
_DECLARES = re.compile(rb"<meta[^>]{0,300}?charset|<\?xml[^>]{0,100}?encoding", re.I)
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_CHARSET = re.compile(r"[a-z0-9][a-z0-9._:+-]{0,40}")
# What Python has beside character sets, some of it quadratic.
_NO_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})


@dataclass(frozen=True, slots=True)
class Page:
    url: str  # where it was found in the end
    status: int
    media_type: str
    body: bytes
    etag: str | None
    last_modified: str | None


def page_of(answer: Fetched, asked: str) -> Page | None:
    """None: it has not changed. Raises `PageFailed`."""
    if answer.status == _NOT_MODIFIED:
        return None
    _check_status(answer)
    if not answer.body.strip():
        raise PageFailed("page_empty", "The page is empty.")
    media_type, charset = _content_type(answer.headers.get("Content-Type", ""))
    if _asks_for_login(answer, asked):
        raise PageFailed("page_needs_login", "The page is only for who has logged in: what is shown is where to do so.")
    return Page(
        url=answer.url,
        status=answer.status,
        media_type=media_type,
        body=_in_utf8(answer.body, media_type, charset),
        etag=_kept(answer.headers.get("ETag")),
        last_modified=_kept(answer.headers.get("Last-Modified")),
    )


def _check_status(answer: Fetched) -> None:
    status = answer.status
    if status in _MISSING:
        raise PageFailed("page_not_found", f"There is no page at this address (HTTP {status}).")
    if status in _DENIED:
        raise PageFailed("page_forbidden", f"The site does not let us read the page (HTTP {status}).")
    if status in _PASSES or status >= 500:
        after = _seconds(answer.headers.get("Retry-After"))
        raise PageFailed("page_unavailable", f"The site has trouble (HTTP {status}).", passes=True, after=after)
    if not 200 <= status < 300:
        raise PageFailed("page_refused", f"The site does not give the page (HTTP {status}).")


def _asks_for_login(answer: Fetched, asked: str) -> bool:
    """A page with a field for a password that we were sent to, or that says of itself what it is for."""
    if not _PASSWORD_FIELD.search(answer.body):
        return False
    if answer.url != asked and _LOGIN.search(urlsplit(answer.url).path):
        return True
    title = _TITLE.search(answer.body)
    return title is not None and _LOGIN_TITLE.search(title[1].decode("utf-8", "replace")) is not None


def _content_type(header: str) -> tuple[str, str]:
    kind, *parameters = header.lower().split(";")
    charset = next((p.partition("=")[2] for p in parameters if p.strip().startswith("charset=")), "")
    return kind.strip()[:100], charset.strip(" \"'")


def _in_utf8(body: bytes, media_type: str, charset: str) -> bytes:
    """Where only the server knows how a text is encoded, it is stored as everybody can read it."""
    is_text = media_type.startswith("text/") or media_type == "application/xhtml+xml"
    if not is_text or charset in ("", "utf-8", "utf8") or body.startswith(_MARKS) or _DECLARES.search(body[:_HEAD]):
        return body
    try:
        if not _CHARSET.fullmatch(charset) or codecs.lookup(charset).name in _NO_CHARSETS:
            return body
        return b"\xef\xbb\xbf" + body.decode(charset).encode()
    except (LookupError, ValueError):
        return body


def _kept(header: str | None) -> str | None:
    """A header to be sent back; one that is no longer a header's value is not."""
    if header is None or len(header) > _HEADER_LENGTH or not header.isprintable() or not header.isascii():
        return None
    return header


def _seconds(header: str | None) -> float | None:
    if header is None:
        return None
    try:
        return max(0.0, float(header)) if header.strip().isdigit() else _until(header)
    except (ValueError, TypeError, OverflowError):
        return None


def _until(header: str) -> float:
    return max(0.0, (parsedate_to_datetime(header) - utcnow()).total_seconds())
