"""Reads files and fields out of a multipart body as it arrives: one file at a time, none larger than allowed, none
kept in memory, none kept at all whose begin shows that it cannot be read."""

import hashlib
import unicodedata
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from services.knowledge_base.documents.errors import NotMultipart, TooManyFiles, UploadMalformed
from services.knowledge_base.ingestion.extract.model import DocumentFormat, ExtractionCode, ExtractionError
from services.knowledge_base.ingestion.extract.sniff import check_head
from services.knowledge_base.limits.service import readable
from shared.web.errors import ErrorDetail

_IN_MEMORY = 1024 * 1024
_HEAD = 2048
_MAX_HEADERS = 16
_MAX_FIELDS = 200
_FIELD_BYTES = 2000
_NAME_LENGTH = 200
_UNNAMED = "unnamed"


@dataclass(frozen=True, slots=True)
class Form:
    """What a body may hold: files in one field, and before them other fields, each as often as it likes."""

    file_field: str
    fields: frozenset[str]
    max_files: int
    max_bytes: int


@dataclass(slots=True)
class ReceivedFile:
    """`content` is empty when the file was refused. To be closed by who takes it. `found` is its format as far as its
    begin shows it."""

    name: str
    content: "SpooledTemporaryFile[bytes]" = field(default_factory=lambda: SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115
    size: int = 0
    refusal: ExtractionError | None = None
    found: DocumentFormat | None = None
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)  # pyright: ignore[reportPrivateUsage]

    @property
    def content_hash(self) -> str:
        return self.digest.hexdigest()

    def take(self, data: bytes, max_bytes: int) -> None:
        begins = self.size < _HEAD
        self.size += len(data)
        if self.refusal is not None:
            return
        if self.size > max_bytes:
            message = f"The file is larger than {readable(max_bytes)}."
            self._refuse(ExtractionError(ExtractionCode.TOO_LARGE, message))
            return
        self.content.write(data)
        self.digest.update(data)
        if begins and self.size >= _HEAD:
            self._look()

    def end(self) -> None:
        if self.size < _HEAD and self.refusal is None:
            self._look()

    def close(self) -> None:
        self.content.close()

    def _look(self) -> None:
        self.content.seek(0)
        head = self.content.read(_HEAD)
        self.content.seek(0, 2)
        try:
            self.found = check_head(head, self.name)
        except ExtractionError as refusal:
            self._refuse(refusal)

    def _refuse(self, refusal: ExtractionError) -> None:
        self.refusal = refusal
        self.content.seek(0)
        self.content.truncate()


class Upload:
    """A request's body. All of `fields` is there when the first file is."""

    def __init__(self, request: Request, form: Form) -> None:
        """Raises `NotMultipart`, `UploadMalformed`."""
        self._request = request
        self._reader = _Reader(_boundary(request), form)
        self.fields = self._reader.fields

    async def files(self) -> AsyncGenerator[ReceivedFile]:
        """Each file as soon as it has arrived whole. Raises `UploadMalformed`, `TooManyFiles`."""
        reader = self._reader
        try:
            async for data in self._request.stream():
                reader.feed(data)
                while reader.complete:
                    yield reader.complete.popleft()
            reader.finish()
        except ClientDisconnect:
            raise UploadMalformed("The upload broke off.") from None
        finally:
            reader.close()


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        raise NotMultipart
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise UploadMalformed("The Content-Type names no boundary.")
    return boundary


class _Reader:
    def __init__(self, boundary: bytes, form: Form) -> None:
        self.complete: deque[ReceivedFile] = deque()
        self.fields: dict[str, list[str]] = {}
        self._form = form
        self._count = 0
        self._ended = False
        self._current: ReceivedFile | None = None
        self._field: tuple[str, bytearray] | None = None
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._headers: dict[bytes, bytes] = {}
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begins,
                    "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                    "on_header_end": self._header_ends,
                    "on_headers_finished": self._content_begins,
                    "on_part_data": self._content,
                    "on_part_end": self._part_ends,
                    "on_end": self._end,
                },
                max_header_count=_MAX_HEADERS,
            )
        except FormParserError:
            raise UploadMalformed from None

    def feed(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except FormParserError:
            raise UploadMalformed from None

    def finish(self) -> None:
        if not self._ended:
            raise UploadMalformed("The upload broke off.")

    def close(self) -> None:
        for file in filter(None, (self._current, *self.complete)):
            file.close()

    def _part_begins(self) -> None:
        self._headers = {}
        self._header = (bytearray(), bytearray())

    def _header_ends(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _content_begins(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        filename = options.get(b"filename")
        if name in self._form.fields and filename is None:
            self._field_begins(name)
        elif name == self._form.file_field and filename is not None:
            self._file_begins(filename)
        else:
            known = name == self._form.file_field or name in self._form.fields
            wanted = "holds no file" if name == self._form.file_field else "holds a file"
            raise _malformed(name, wanted if known else "is not a known field")

    def _field_begins(self, name: str) -> None:
        if self._count:
            raise _malformed(name, "comes after a file: fields come first")
        if sum(map(len, self.fields.values())) >= _MAX_FIELDS:
            raise _malformed(name, "is one field too many")
        self._field = (name, bytearray())

    def _file_begins(self, filename: bytes) -> None:
        self._count += 1
        if self._count > self._form.max_files:
            most = "one file" if self._form.max_files == 1 else f"{self._form.max_files} files"
            raise TooManyFiles(f"At most {most} can be uploaded at once.")
        self._current = ReceivedFile(clean_name(filename.decode("utf-8", "replace")))

    def _content(self, data: bytes, start: int, end: int) -> None:
        if self._current is not None:
            self._current.take(data[start:end], self._form.max_bytes)
            return
        assert self._field is not None
        name, value = self._field
        value.extend(data[start:end])
        if len(value) > _FIELD_BYTES:
            raise _malformed(name, "is too long")

    def _part_ends(self) -> None:
        if self._current is not None:
            self._current.end()
            self.complete.append(self._current)
            self._current = None
        elif self._field is not None:
            name, value = self._field
            self.fields.setdefault(name, []).append(_text(name, bytes(value)))
            self._field = None

    def _end(self) -> None:
        self._ended = True


def _malformed(name: str, what: str) -> UploadMalformed:
    return UploadMalformed(details=[ErrorDetail(field=name[:100], message=what, code="extra_forbidden")])


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _malformed(name, "is not UTF-8") from None


def clean_name(filename: str) -> str:
    """What is left of a file's name when it can no longer be a path or upset a screen."""
    base = filename.replace("\\", "/").rsplit("/", 1)[-1]
    visible = "".join(letter for letter in base if unicodedata.category(letter)[0] != "C")
    name = unicodedata.normalize("NFC", visible).strip()
    if len(name) > _NAME_LENGTH:
        stem, dot, suffix = name.rpartition(".")
        keep = suffix[:10] if dot else ""
        name = (stem or name)[: _NAME_LENGTH - len(keep) - 1] + (f".{keep}" if keep else "")
    return name or _UNNAMED
