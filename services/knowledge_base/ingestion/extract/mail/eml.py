"""Mails as they travel (RFC 5322 and MIME), and as they arrive: with every mistake a program can make."""

import re
from collections.abc import Iterator
from contextlib import suppress
from email import message_from_bytes, policy
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from typing import cast

from services.knowledge_base.ingestion.extract.clean import clean
from services.knowledge_base.ingestion.extract.compose import one_line
from services.knowledge_base.ingestion.extract.dates import from_mail
from services.knowledge_base.ingestion.extract.encoding import wide_encoding
from services.knowledge_base.ingestion.extract.mail.model import HEADERS, Attachment, Body, Mail, best_of, is_encrypted
from services.knowledge_base.ingestion.extract.mail.write import read_mail
from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    ExtractionError,
    Source,
)
from services.knowledge_base.ingestion.extract.text import decode, has_mark

_DEEPEST = 30
_MAX_PARTS = 2000
_MBOX_LINE = re.compile(rb"\A\s*From [^\n]*\n")
_ENCODED_WORD = re.compile(r"=\?[^?\s]+\?[bqBQ]\?")
_SHOWN = frozenset({"text/plain", "text/html"})
# Their text is not meant for readers.
_SIGNATURES = ("application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature")
_EXTENSIONS = {
    "text/plain": "txt",
    "text/html": "html",
    "text/csv": "csv",
    "text/markdown": "md",
    "text/calendar": "ics",
    "application/pdf": "pdf",
    "message/rfc822": "eml",
}


def extract_eml(source: Source, limits: ContentLimits) -> Extracted:
    return read_mail(parse_mail(source.read()), DocumentFormat.EML, limits)


def parse_mail(data: bytes) -> Mail:
    if has_mark(data) or wide_encoding(data):
        data = decode(data).encode()
    data = _MBOX_LINE.sub(b"", data, count=1).lstrip(b"\r\n \t")
    # Not the policy that parses headers: it stumbles over some of those that come.
    return _Reader().mail(message_from_bytes(data, policy=policy.compat32))


class _Reader:
    def __init__(self) -> None:
        self._left = _MAX_PARTS

    def mail(self, message: Message, depth: int = 0) -> Mail:
        headers = tuple((name, value) for name in HEADERS if (value := header(message, name)))
        bodies: list[Body] = []
        attachments: list[Attachment] = []
        encrypted = self._read(message, bodies, attachments, depth)
        return Mail(
            headers=headers,
            bodies=tuple(bodies),
            attachments=tuple(attachments),
            subject=header(message, "Subject") or None,
            dated_at=from_mail(header(message, "Date")),
            encrypted=encrypted,
        )

    def _read(self, part: Message, bodies: list[Body], attachments: list[Attachment], depth: int) -> bool:
        """Puts what is in this part where it belongs; whether any of it is encrypted."""
        self._left -= 1
        kind = content_type(part)
        if depth > _DEEPEST or self._left < 0:
            return False
        if kind == "multipart/encrypted":
            return True
        if kind in ("application/pkcs7-mime", "application/x-pkcs7-mime") and "signed" not in _raw_type(part):
            return True
        if kind.startswith("message/") and isinstance(part.get_payload(), list):
            return self._messages(part, kind, bodies, attachments, depth)
        if part.is_multipart():
            return self._parts(part, kind, bodies, attachments, depth)
        return self._leaf(part, kind, bodies, attachments, is_first=depth == 0)

    def _parts(self, part: Message, kind: str, bodies: list[Body], attachments: list[Attachment], depth: int) -> bool:
        if kind != "multipart/alternative":
            found = [self._read(one, bodies, attachments, depth + 1) for one in children(part)]
            return any(found)
        options: list[list[Body]] = []
        encrypted = False
        for one in children(part):
            option: list[Body] = []
            encrypted = self._read(one, option, attachments, depth + 1) or encrypted
            options.append(option)
        bodies.extend(best_of(options))
        return encrypted

    def _messages(
        self, part: Message, kind: str, bodies: list[Body], attachments: list[Attachment], depth: int
    ) -> bool:
        for one in children(part):
            if kind == "message/delivery-status":
                bodies.append(Body("\n".join(f"{name}: {one_line(str(value))}" for name, value in one.items())))
                continue
            mail = self.mail(one, depth + 1)
            attachments.append(Attachment(file_name(part) or mail.subject or "message.eml", mail=mail))
        return False

    def _leaf(
        self, part: Message, kind: str, bodies: list[Body], attachments: list[Attachment], *, is_first: bool
    ) -> bool:
        name = file_name(part)
        disposition = str(part.get("Content-Disposition", "")).split(";")[0].strip().lower()
        data = payload(part)
        is_body = kind in _SHOWN and disposition != "attachment" and (not name or disposition != "inline" or is_first)
        if is_first and kind.startswith("text/"):
            is_body = True
        if is_body:
            text = body_text(part, data)
            if is_encrypted(text):
                return True
            bodies.append(Body(text, is_html=kind == "text/html"))
        elif is_encrypted(data):
            return True
        elif kind not in _SIGNATURES and data.strip():
            extension = _EXTENSIONS.get(kind, "")
            attachments.append(Attachment(name or f"attachment.{extension}".rstrip("."), data))
        return False


def children(part: Message) -> Iterator[Message]:
    inner = part.get_payload()
    if isinstance(inner, list):
        yield from (one for one in cast("list[object]", inner) if isinstance(one, Message))


def header(message: Message, name: str) -> str:
    """On one line, with its encoded words read; several of one name after another."""
    values = [str(value) for key, value in message.raw_items() if key.lower() == name.lower()]
    return ", ".join(filter(None, (decoded_header(value) for value in values[:20])))


def decoded_header(raw: str) -> str:
    text = raw.encode("utf-8", "surrogateescape")
    if any(byte > 0x7F for byte in text):
        with suppress(ExtractionError):
            raw = decode(text)
    if _ENCODED_WORD.search(raw):
        with suppress(HeaderParseError, ValueError, LookupError):
            raw = "".join(_word(word, charset) for word, charset in decode_header(re.sub(r"\r?\n", "", raw)))
    return one_line(clean(raw)).strip()


def _word(word: bytes | str, charset: str | None) -> str:
    if isinstance(word, str):
        return word
    return decoded(word, charset or "ascii")


def content_type(part: Message) -> str:
    return part.get_content_type().lower()


def _raw_type(part: Message) -> str:
    return str(part.get("Content-Type", "")).lower()


def file_name(part: Message) -> str:
    try:
        name = part.get_filename()
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""
    # Only its last step: a name may come as a path.
    return re.split(r"[\\/]", decoded_header(str(name)))[-1] if name else ""


def payload(part: Message) -> bytes:
    """Its bytes, whatever was said of how they are written down."""
    with suppress(ValueError, LookupError, TypeError, AssertionError):
        data = part.get_payload(decode=True)
        if isinstance(data, bytes):
            return data
    raw = part.get_payload()
    return raw.encode("utf-8", "surrogateescape") if isinstance(raw, str) else b""


def body_text(part: Message, data: bytes) -> str:
    charset = ""
    with suppress(ValueError, LookupError, TypeError, AttributeError):
        charset = str(part.get_content_charset() or "")
    return decoded(data, charset)


def decoded(data: bytes, charset: str) -> str:
    """By the charset that is named, if what it gives can be right, else by what the bytes look like."""
    if charset and charset not in ("us-ascii", "ascii", "utf-8", "utf8", "unknown-8bit"):
        with suppress(LookupError, UnicodeError, ValueError):
            text = data.decode("gb18030" if charset in ("gb2312", "gbk") else charset)
            if charset not in ("iso-8859-1", "latin-1"):
                return text
    try:
        return decode(data)
    except ExtractionError:
        return data.decode("cp1252", "replace")
