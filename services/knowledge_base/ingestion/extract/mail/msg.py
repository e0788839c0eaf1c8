"""Mails as Outlook saves them: a file system within a file, one stream a property."""

import struct
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email import message_from_string, policy
from email.message import Message
from functools import cached_property
from typing import cast

from olefile import OleFileIO
from oxmsg.storage import Storage

from services.knowledge_base.ingestion.extract.clean import clean
from services.knowledge_base.ingestion.extract.compose import one_line
from services.knowledge_base.ingestion.extract.dates import from_mail, rfc3339
from services.knowledge_base.ingestion.extract.html.tree import decode_page
from services.knowledge_base.ingestion.extract.mail.compressed_rtf import decompress
from services.knowledge_base.ingestion.extract.mail.eml import decoded, header
from services.knowledge_base.ingestion.extract.mail.model import HEADERS, Attachment, Body, Mail, best_of, is_encrypted
from services.knowledge_base.ingestion.extract.mail.write import read_mail
from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    ExtractionError,
    Source,
    damaged,
)
from services.knowledge_base.ingestion.extract.rtf import rtf_to_plain

_CLASS, _SUBJECT, _HEADERS = 0x001A, 0x0037, 0x007D
_SENDER, _SENDER_ADDRESS, _SENDER_SMTP = 0x0C1A, 0x0C1F, 0x5D01
_TO, _CC = 0x0E04, 0x0E03
_BODY, _HTML, _RTF = 0x1000, 0x1013, 0x1009
_SENT, _DELIVERED = 0x0039, 0x0E06
_NAME, _ADDRESS, _SMTP, _RECIPIENT_TYPE = 0x3001, 0x3003, 0x39FE, 0x0C15
_FILE, _SHORT_FILE, _LONG_FILE = 0x3701, 0x3704, 0x3707
_BODY_CODEPAGE, _CODEPAGE = 0x3FDE, 0x3FFD
_EMBEDDED = "__substg1.0_3701000D"
_UNICODE, _NARROW, _BINARY = 0x001F, 0x001E, 0x0102
_INTEGER, _TIME = 0x0003, 0x0040
_PROPERTY = struct.Struct("<HHI8s")
_BEGINNING = datetime(1601, 1, 1, tzinfo=UTC)
_CODEPAGES = {
    65001: "utf-8",
    20127: "ascii",
    28591: "cp1252",
    20866: "koi8_r",
    21866: "koi8_u",
    54936: "gb18030",
    50220: "iso2022_jp",
    50221: "iso2022_jp",
    51932: "euc_jp",
    51949: "euc_kr",
    936: "gb18030",
}
_RECIPIENTS = {1: "To", 2: "Cc"}
_DEEPEST = 20
# Where a storage's properties begin: of a message by itself, within another one, of what belongs to a message.
_IN_FILE, _IN_MESSAGE, _IN_PART = 32, 24, 8


def extract_msg(source: Source, limits: ContentLimits) -> Extracted:
    source.file.seek(0)
    with cast("OleFileIO[bytes]", OleFileIO(source.file)) as ole:  # generic in nothing that matters here
        storage = Storage.from_ole(ole)  # pyright: ignore[reportUnknownMemberType] - the same
    if "__properties_version1.0" not in {stream.name for stream in storage.streams}:
        damaged("The file is no Outlook mail, or a damaged one.")
    return read_mail(_Item(storage, _IN_FILE).mail(), DocumentFormat.MSG, limits)


class _Item:
    """A message, a recipient or an attachment."""

    def __init__(self, storage: Storage, begin: int, codepage: str = "cp1252") -> None:
        self._storage = storage
        self._streams = {stream.name: stream.bytes_ for stream in storage.streams}
        self._begin = begin
        self._inherited = codepage

    @cached_property
    def _fixed(self) -> dict[int, tuple[int, bytes]]:
        data = self._streams.get("__properties_version1.0", b"")[self._begin :]
        data = data[: len(data) - len(data) % _PROPERTY.size]
        return {number: (kind, value) for kind, number, _, value in _PROPERTY.iter_unpack(data)}

    @cached_property
    def _codepage(self) -> str:
        return self._codepage_of(_CODEPAGE) or self._codepage_of(_BODY_CODEPAGE) or self._inherited

    def _codepage_of(self, number: int) -> str:
        codepage = self.integer(number)
        return _CODEPAGES.get(codepage, f"cp{codepage}") if codepage else ""

    def integer(self, number: int) -> int:
        kind, value = self._fixed.get(number, (0, b""))
        return int.from_bytes(value[:4], "little") if kind == _INTEGER else 0

    def time(self, number: int) -> datetime | None:
        kind, value = self._fixed.get(number, (0, b""))
        ticks = int.from_bytes(value, "little")
        try:
            return _BEGINNING + timedelta(microseconds=ticks // 10) if kind == _TIME and ticks else None
        except OverflowError:
            return None

    def text(self, number: int) -> str:
        wide = self._stream(number, _UNICODE)
        if wide is not None:
            return wide.decode("utf-16-le", "replace").rstrip("\x00")
        narrow = self._stream(number, _NARROW) or b""
        codepage = self._codepage_of(_BODY_CODEPAGE) if number == _BODY else ""
        return decoded(narrow.rstrip(b"\x00"), codepage or self._codepage)

    def line(self, number: int) -> str:
        return one_line(clean(self.text(number))).strip()

    def binary(self, number: int) -> bytes:
        return self._stream(number, _BINARY) or b""

    def _stream(self, number: int, kind: int) -> bytes | None:
        return self._streams.get(f"__substg1.0_{number:04X}{kind:04X}")

    def parts(self, prefix: str) -> Iterator["_Item"]:
        found = (storage for storage in self._storage.storages if storage.name.startswith(prefix))
        return (_Item(storage, _IN_PART, self._codepage) for storage in found)

    def mail(self, depth: int = 0) -> Mail:
        sent = message_from_string(self.text(_HEADERS), policy=policy.compat32)
        moment = self.time(_SENT) or self.time(_DELIVERED)
        headers = self._headers(sent)
        if moment and not headers.get("Date"):
            headers["Date"] = f"{moment:%a, %d %b %Y %H:%M:%S +0000}"
        attached = list(self._attachments(depth))
        readable = [one for one in attached if not is_encrypted(one.data)]
        if len(readable) < len(attached):  # what is beside it describes it
            readable = [one for one in readable if not one.name.lower().endswith(".pgp-encrypted")]
        return Mail(
            headers=tuple((name, headers[name]) for name in HEADERS if headers.get(name)),
            bodies=tuple(self._bodies()),
            attachments=tuple(readable),
            subject=headers["Subject"] or None,
            dated_at=from_mail(headers.get("Date", "")) or (rfc3339(moment) if moment else None),
            encrypted=self._is_encrypted() or len(readable) < len(attached),
        )

    def _is_encrypted(self) -> bool:
        kind = self.text(_CLASS).lower()
        return "smime" in kind and "multipartsigned" not in kind

    def _headers(self, sent: Message) -> dict[str, str]:
        headers = {name: header(sent, name) for name in HEADERS}
        headers["Subject"] = self.line(_SUBJECT) or headers["Subject"]
        address = self.line(_SENDER_SMTP) or self.line(_SENDER_ADDRESS)
        headers["From"] = headers["From"] or _person(self.line(_SENDER), address)
        people: dict[str, list[str]] = {"To": [], "Cc": []}
        for one in self.parts("__recip_version1.0_"):
            kind = _RECIPIENTS.get(one.integer(_RECIPIENT_TYPE))
            if kind:
                people[kind].append(_person(one.line(_NAME), one.line(_SMTP) or one.line(_ADDRESS)))
        headers["To"] = headers["To"] or ", ".join(filter(None, people["To"])) or self.line(_TO)
        headers["Cc"] = headers["Cc"] or ", ".join(filter(None, people["Cc"])) or self.line(_CC)
        return headers

    def _bodies(self) -> list[Body]:
        plain = self.text(_BODY)
        page = self.binary(_HTML)
        rich = decode_page(page) if page.strip(b"\x00 \r\n") else self.text(_HTML)
        if not plain.strip() and not rich.strip():
            plain = self._rich_text()
        options = [[Body(plain)] if plain.strip() else [], [Body(rich, is_html=True)] if rich.strip() else []]
        return list(best_of([option for option in options if option]))

    def _rich_text(self) -> str:
        data = self.binary(_RTF)
        with suppress(ValueError, IndexError, struct.error, ExtractionError):
            return rtf_to_plain(decompress(data)) if data else ""
        return ""

    def _attachments(self, depth: int) -> Iterator[Attachment]:
        for one in self.parts("__attach_version1.0_"):
            name = one.line(_LONG_FILE) or one.line(_SHORT_FILE) or one.line(_NAME)
            inner = next((storage for storage in one.inner if storage.name == _EMBEDDED), None)
            data = one.binary(_FILE)
            if inner is not None and depth < _DEEPEST:
                mail = _Item(inner, _IN_MESSAGE, self._codepage).mail(depth + 1)
                yield Attachment(name or mail.subject or "message.msg", mail=mail)
            elif data:
                yield Attachment(name or "attachment", data)

    @property
    def inner(self) -> tuple[Storage, ...]:
        return self._storage.storages


def _person(name: str, address: str) -> str:
    if "@" not in address or address.lower() == name.lower():  # within a house addresses are of another kind
        return name or address
    return f"{name} <{address}>" if name else address
