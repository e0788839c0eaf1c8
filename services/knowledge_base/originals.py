"""The bytes of documents' versions: in Postgres in pieces, so that none is ever in memory whole."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO
from uuid import UUID

from sqlalchemy import func, insert, select

from shared.database.session import Database, ReadSession, Scope, WriteSession
from shared.database.tables.knowledge import DocumentPiece, DocumentVersion

PIECE = 1024 * 1024


class OriginalGone(Exception):
    """The version was deleted, also while it was being read."""


async def write(session: WriteSession, tenant_id: UUID, version_id: UUID, file: IO[bytes]) -> None:
    """From the file's begin to its end. In the transaction that makes the version."""
    file.seek(0)
    number = 0
    while data := await asyncio.to_thread(file.read, PIECE):
        values = {"tenant_id": tenant_id, "version_id": version_id, "number": number, "data": data}
        await session.execute(insert(DocumentPiece).values(values))
        number += 1


async def stream(database: Database, scope: Scope, version_id: UUID) -> AsyncIterator[bytes]:
    """Each part by a query of its own: a slow reader holds no connection. Raises `OriginalGone`."""
    async with database.read(scope) as session:
        size = await session.scalar(select(DocumentVersion.size_bytes).where(DocumentVersion.id == version_id))
    if size is None:
        raise OriginalGone
    number = offset = done = 0
    while done < size:
        async with database.read(scope) as session:
            data, length = await _part(session, version_id, number, offset)
        yield data
        done += len(data)
        offset += len(data)
        if offset >= length:
            number, offset = number + 1, 0


async def fetch(database: Database, scope: Scope, version_id: UUID, into: Path) -> None:
    """Writes the file to `into`. Raises `OriginalGone`."""
    with into.open("wb") as file:
        async for data in stream(database, scope, version_id):
            await asyncio.to_thread(file.write, data)


async def _part(session: ReadSession, version_id: UUID, number: int, offset: int) -> tuple[bytes, int]:
    """A piece, from `offset` on, and its length. One that an earlier release stored may be a whole file."""
    statement = select(
        func.substring(DocumentPiece.data, offset + 1, PIECE), func.octet_length(DocumentPiece.data)
    ).where(DocumentPiece.version_id == version_id, DocumentPiece.number == number)
    row = (await session.execute(statement)).one_or_none()
    if row is None or not row[0]:
        raise OriginalGone
    return row[0], row[1]
