import re
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from services.knowledge_base import originals
from services.knowledge_base.documents import reading
from services.knowledge_base.documents.errors import DocumentNotFound, DocumentNotRead, VersionNotFound
from services.knowledge_base.documents.reading import Original
from services.knowledge_base.documents.schemas import ChunkOut, DocumentTextOut, VersionOut
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.web.dependencies import App, ReadDb, requires
from shared.web.errors import responses
from shared.web.pagination import Cursor, Limit, Page

router = APIRouter(prefix="/documents/{document_id}", tags=["documents"])

Reader = Annotated[Principal, Depends(requires(Permission.KNOWLEDGE_READ))]
Offset = Annotated[int, Query(ge=0, le=2**31 - 1_000_000)]
End = Annotated[
    int | None,
    Query(ge=0, le=2**31 - 1_000_000, description=f"At most {reading.WINDOW:,} characters after `start`."),
]
Number = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Of the version; the newest, if not given.")]

_ORIGINAL: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}, "description": "The file as it came."}
}


@router.get("/versions", responses=responses(NotAllowed, DocumentNotFound))
async def list_versions(document_id: UUID, session: ReadDb, caller: Reader) -> Page[VersionOut]:
    """The contents that it had and that are still kept, newest first."""
    return await reading.list_versions(session, document_id)


@router.get(
    "/original",
    response_class=StreamingResponse,
    responses={**_ORIGINAL, **responses(NotAllowed, DocumentNotFound, VersionNotFound)},
)
async def download_original(document_id: UUID, app: App, caller: Reader, version: Number = None) -> StreamingResponse:
    """A file is a stranger's: it is to be saved, never shown by a browser as if it came from us."""
    async with app.database.read(caller.scope) as session:
        original = await reading.find_original(session, document_id, version)
    content = originals.stream(app.database, caller.scope, original.version_id)
    return StreamingResponse(content, headers=_headers(original), media_type=original.media_type)


@router.get("/text", responses=responses(NotAllowed, DocumentNotFound, DocumentNotRead))
async def read_text(
    document_id: UUID, session: ReadDb, caller: Reader, start: Offset = 0, end: End = None
) -> DocumentTextOut:
    """A part of the text that was read out of it, of the processing that is found: what a passage's offsets count."""
    return await reading.read_text(session, document_id, start, end)


@router.get("/chunks", responses=responses(NotAllowed, DocumentNotFound))
async def list_chunks(
    document_id: UUID, session: ReadDb, caller: Reader, limit: Limit = 50, cursor: Cursor = None
) -> Page[ChunkOut]:
    """The pieces in which it is found, in their order."""
    return await reading.list_chunks(session, document_id, limit, cursor)


def _headers(original: Original) -> dict[str, str]:
    plain = re.sub(r"[^ !#$&-\[\]-~]", "_", original.name)
    return {
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(original.name, safe='')}",
        "Content-Length": str(original.size_bytes),
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-cache",
        "ETag": f'"{original.content_hash}"',
    }
