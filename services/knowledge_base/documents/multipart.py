"""Reads files out of a multipart body as it arrives: one at a time, none larger than allowed, none kept in memory."""

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
from shared.web.errors import ErrorDetail

FIELD = "files"
_IN_MEMORY = 1024 * 1024
_MAX_HEADERS = 16
_NAME_LENGTH = 200
_UNNAMED = "unnamed"


@dataclass(slots=True)
class ReceivedFile:
    """`content` is empty when the file was over the limit. To be closed by who takes it."""

    name: str
    content: "SpooledTemporaryFile[bytes]" = field(default_factory=lambda: SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115
    size: int = 0
    too_large: bool = False
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)  # pyright: ignore[reportPrivateUsage]

    @property
    def content_hash(self) -> str:
        return self.digest.hexdigest()

    def head(self, length: int) -> bytes:
        self.content.seek(0)
        return self.content.read(length)

    def read(self) -> bytes:
        return self.head(-1)

    def close(self) -> None:
        self.content.close()


async def receive_files(request: Request, *, max_files: int, max_bytes: int) -> AsyncGenerator[ReceivedFile]:
    """Each file as soon as it has arrived whole. Raises `NotMultipart`, `UploadMalformed`, `TooManyFiles`."""
    reader = _Reader(_boundary(request), max_files, max_bytes)
    try:
        async for data in request.stream():
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
    def __init__(self, boundary: bytes, max_files: int, max_bytes: int) -> None:
        self.complete: deque[ReceivedFile] = deque()
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._count = 0
        self._ended = False
        self._current: ReceivedFile | None = None
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
        if name != FIELD or filename is None:
            what = "is not a known field" if name != FIELD else "holds no file"
            raise UploadMalformed(details=[ErrorDetail(field=name[:100], message=what, code="extra_forbidden")])
        self._count += 1
        if self._count > self._max_files:
            raise TooManyFiles(f"At most {self._max_files} files can be uploaded at once.")
        self._current = ReceivedFile(clean_name(filename.decode("utf-8", "replace")))

    def _content(self, data: bytes, start: int, end: int) -> None:
        file = self._current
        assert file is not None
        file.size += end - start
        if file.size > self._max_bytes:
            if not file.too_large:
                file.too_large = True
                file.content.truncate(0)
            return
        file.content.write(data[start:end])
        file.digest.update(data[start:end])

    def _part_ends(self) -> None:
        assert self._current is not None
        self.complete.append(self._current)
        self._current = None

    def _end(self) -> None:
        self._ended = True


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
