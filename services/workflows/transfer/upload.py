"""Reads an import from the wire, as JSON or as a form of files or of one zip, and never more than is allowed."""

import asyncio
import json
import struct
import zipfile
import zlib
from io import BytesIO
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from python_multipart.exceptions import MultipartParseError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.types import Message

from services.workflows.crewai_format.files import MAX_FILES
from services.workflows.errors import ProjectInvalid, UploadTooLarge, UploadUnsupported
from services.workflows.transfer.schemas import ImportRequest
from shared.kit.json import JsonObject
from shared.web.errors import ErrorDetail, Invalid

MAX_UPLOAD_BYTES = 4 * 1024 * 1024
MAX_UNPACKED_BYTES = 8 * 1024 * 1024
_MAX_ZIP_ENTRIES = 5_000
_TEXT_ENDINGS = (".yaml", ".yml", ".json", ".jsonc")
# LZMA's dictionary may be gigabytes by the archive's own word.
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile and its decompressors raise for archives that are damaged, encrypted or packed in an unknown way.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    NotImplementedError,
)
_FORM_FIELDS = ("format", "bindings", "model_id", "name")


async def read_import(request: Request) -> ImportRequest:
    """Raises `UploadTooLarge`, `UploadUnsupported`, `ProjectInvalid`, `Invalid`, or FastAPI's own validation error."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in ("application/json", "multipart/form-data"):
        raise UploadUnsupported
    body = await _read_body(request)
    content = await _read_form(request, body) if content_type == "multipart/form-data" else _json(body, "The body")
    return _validated(content)


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_UPLOAD_BYTES:
            raise UploadTooLarge(f"An import may have at most {MAX_UPLOAD_BYTES:,} bytes.")
    return bytes(body)


def _validated(content: Any) -> ImportRequest:
    try:
        return ImportRequest.model_validate(content)
    except ValidationError as error:
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from None


async def _read_form(request: Request, body: bytes) -> JsonObject:
    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    again = Request(request.scope, replay)
    try:
        async with again.form(max_files=MAX_FILES, max_fields=10, max_part_size=MAX_UPLOAD_BYTES) as form:
            return await _from_form(form)
    except (HTTPException, MultipartParseError):
        raise Invalid("The form is damaged, or has too many parts.") from None


async def _from_form(form: FormData) -> JsonObject:
    content: JsonObject = {name: form[name] for name in _FORM_FIELDS if isinstance(form.get(name), str)}
    if "bindings" in content:
        content["bindings"] = _json(content["bindings"], "The field `bindings`")
    uploads = [each for each in form.getlist("files") if isinstance(each, UploadFile)]
    files: dict[str, str] = {}
    for upload in uploads:
        name, data = upload.filename or "", await upload.read()
        if len(uploads) == 1 and zipfile.is_zipfile(BytesIO(data)):
            return {**content, "files": await asyncio.to_thread(unzip, data)}
        files[name] = _text(name, data)
    return {**content, "files": files}


def _json(text: str | bytes, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Invalid(f"{what} is not JSON.") from None


def unzip(data: bytes) -> dict[str, str]:
    """The texts in an archive. Sizes that it declares are not believed: what is unpacked is counted.

    Raises `ProjectInvalid` or `UploadTooLarge`.
    """
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return _read_entries(archive)
    except _DAMAGED:
        raise ProjectInvalid("The archive is damaged, encrypted, or packed in a way that is not known.") from None


def _read_entries(archive: zipfile.ZipFile) -> dict[str, str]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(entries) > _MAX_ZIP_ENTRIES:
        raise UploadTooLarge(f"An archive may have at most {_MAX_ZIP_ENTRIES:,} files.")
    left = MAX_UNPACKED_BYTES
    files: dict[str, str] = {}
    for entry in entries:
        if entry.filename.lower().endswith(_TEXT_ENDINGS):
            if entry.compress_type not in _PACKINGS:
                raise NotImplementedError
            with archive.open(entry) as packed:
                unpacked = packed.read(left + 1)
            left -= len(unpacked)
            if left < 0:
                raise UploadTooLarge(f"An archive may hold at most {MAX_UNPACKED_BYTES:,} bytes of text.")
            files[entry.filename] = _text(entry.filename, unpacked)
    return files


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        detail = ErrorDetail(field=f"files.{name[:200]}", message="is not text in UTF-8", code="not_text")
        raise ProjectInvalid(details=[detail]) from None
