"""What an archive holds becomes documents of its own, its children: each is found, cited and processed by itself.

A child is known by its place in the archive. A new version of the archive moves, replaces, adds and removes children;
those that are in it unchanged stay as they are. Everything is compared with what is there, so all of this may be begun
again at any point. Tags, agents and settings of an archive are those of its children.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from services.knowledge_base import locks, purges
from services.knowledge_base.documents import processing, repository
from services.knowledge_base.documents.errors import DocumentDuplicate
from services.knowledge_base.documents.fields import open_password, place_of_password
from services.knowledge_base.documents.multipart import clean_name
from services.knowledge_base.documents.repository import DocumentView
from services.knowledge_base.documents.schemas import DocumentSource, DocumentStatus
from services.knowledge_base.documents.versions import UNKNOWN, Content, insert_document, store_version
from services.knowledge_base.ingestion.extract.model import (
    DocumentFormat,
    Extracted,
    ExtractionCode,
    ExtractionError,
)
from services.knowledge_base.ingestion.extract.sniff import check_head
from services.knowledge_base.ingestion.owner import Owner
from services.knowledge_base.ingestion.repository import hold
from services.knowledge_base.ingestion.texts import put_text
from services.knowledge_base.ingestion.unpack import Entry
from services.knowledge_base.limits import service as limits
from services.knowledge_base.limits.errors import KnowledgeLimitReached
from services.knowledge_base.locks import Keep
from shared.database.session import Scope, WriteSession
from shared.database.tables.knowledge import Document
from shared.executions.jobs import JobContext
from shared.kit.json import JsonObject
from shared.web.resources import Resources

_GONE: JsonObject = {"gone": True}
_HEAD = 2048
_PATH_LENGTH = 1000
WARNINGS = 50


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    file: Path
    size: int
    content_hash: str
    found: DocumentFormat | None

    @property
    def name(self) -> str:
        return clean_name(self.path)


@dataclass(slots=True)
class _Result:
    added: int = 0
    replaced: int = 0
    removed: int = 0
    unchanged: int = 0
    duplicates: int = 0
    refused: list[str] = field(default_factory=list[str])

    def refuse(self, path: str, reason: str) -> None:
        self.refused.append(f"{path}: {reason}")

    @property
    def warnings(self) -> tuple[str, ...]:
        more = len(self.refused) - WARNINGS
        return (*self.refused[:WARNINGS], *([f"and {more} more files that were not taken"] if more > 0 else ()))

    def as_json(self) -> JsonObject:
        counts = ("added", "replaced", "removed", "unchanged", "duplicates")
        return {**{name: getattr(self, name) for name in counts}, "refused": len(self.refused)}


class _Gone(Exception):
    """The archive was deleted, or another execution has taken it over."""


async def add_children(context: JobContext, owner: Owner, entries: Sequence[Entry]) -> JsonObject:
    """`entries` is all that the archive holds. Says how many were added, and so on; why files were not taken is among
    the archive's warnings. Raises `ExtractionError` for an archive that came out of an archive."""
    try:
        return await _Unpacking(context, owner).run(entries)
    except _Gone:
        return _GONE


async def drop_children(session: WriteSession, resources: Resources, owner: Owner) -> None:
    """Of a document whose newest content is no archive. It is held."""
    children = await locks.lock_children(session, [owner.document_id])
    if children:
        document = await session.get_one(Document, owner.document_id)
        await _remove(session, resources, document, children)


class _Unpacking:
    def __init__(self, context: JobContext, owner: Owner) -> None:
        self._context = context
        self._owner = owner
        self._scope = Scope(owner.tenant_id)
        self._resources = context.resources
        self._result = _Result()

    async def run(self, entries: Sequence[Entry]) -> JsonObject:
        files = await self._look(entries)
        coming = await self._arrange(files)
        for done, file in enumerate(coming):
            self._context.progress("unpack", done, len(coming))
            await self._take(file)
        await self._note(files)
        self._context.progress("unpack", len(coming), len(coming))
        return self._result.as_json()

    async def _look(self, entries: Sequence[Entry]) -> list[_File]:
        async with self._resources.database.read(self._scope) as session:
            allowed = await limits.limits_of(session, self._resources.settings, self._owner.tenant_id)
        files: dict[str, _File] = {}
        for entry in entries:
            path = _place(entry.path, files)
            if entry.size > allowed.max_file_bytes:
                self._result.refuse(path, "The file is too large.")
                continue
            try:
                files[path] = await asyncio.to_thread(_look_at, entry, path)
            except ExtractionError as refusal:
                self._result.refuse(path, refusal.message)
        return list(files.values())

    async def _arrange(self, files: Sequence[_File]) -> list[_File]:
        """Children whose content is still in the archive go to its place there, those that are not in it any more go.
        Gives the files that are new in their place."""
        async with self._resources.database.write(self._scope) as session:
            archive = await self._hold(session, Keep.INDEX)
            if archive.parent_id is not None:
                message = "An archive in an archive is not unpacked. Upload it by itself."
                raise ExtractionError(ExtractionCode.UNSUPPORTED, message)
            children = await locks.lock_children(session, [archive.id])
            placed, coming = _placed(children, files)
            places = {file.path for file in coming}
            going = [one for one in children if one.id not in placed and one.path not in places]
            await _remove(session, self._resources, archive, going)
            self._result.removed += len(going)
            await _move(session, [(one, placed[one.id]) for one in children if one.id in placed])
            for view in (await repository.get_documents(session, list(placed))).values():
                await self._renew(session, archive, view)
            self._result.unchanged += len(placed)
        return coming

    async def _renew(self, session: WriteSession, archive: Document, view: DocumentView) -> None:
        """One that failed is tried again, maybe with another password, as is one that is to be processed otherwise."""
        child = view.document
        if view.status is not DocumentStatus.FAILED and (child.settings or None) == (archive.settings or None):
            return
        child.settings = archive.settings
        child.password = self._password_for(archive, child.id)
        await processing.begin(session, child, self._resources.doorbell.ring, created_by=archive.created_by)

    async def _take(self, file: _File) -> None:
        try:
            async with self._resources.database.write(self._scope) as session:
                archive = await self._hold(session)
                held = {one.path: one for one in await locks.lock_children(session, [archive.id])}
                with file.file.open("rb") as opened:
                    content = Content(
                        file.name,
                        UNKNOWN if file.found is None else file.found.media_type,
                        file.size,
                        file.content_hash,
                        opened,
                    )
                    if file.path in held:
                        await self._replace(session, archive, held[file.path], content)
                    else:
                        await self._add(session, archive, file.path, content)
        except KnowledgeLimitReached as refusal:
            self._result.refuse(file.path, refusal.text)
        except DocumentDuplicate:
            await self._drop(file.path)

    async def _add(self, session: WriteSession, archive: Document, path: str, content: Content) -> None:
        child_id = _child_id(self._owner, path)
        values = {
            "id": child_id,
            "tenant_id": archive.tenant_id,
            "knowledge_base_id": archive.knowledge_base_id,
            "status": DocumentStatus.PENDING.value,
            "source": DocumentSource.ARCHIVE.value,
            "parent_id": archive.id,
            "path": path,
            "tags": archive.tags,
            "agent_ids": archive.agent_ids,
            "settings": archive.settings,
            "password": self._password_for(archive, child_id),
            "created_by": archive.created_by,
        }
        child = await insert_document(session, self._resources.settings, values, content)
        if child is None:
            self._result.duplicates += 1
            return
        await processing.begin(session, child, self._resources.doorbell.ring, created_by=archive.created_by)
        await limits.settle(session, self._resources.settings, archive.tenant_id, adds_documents=True)
        self._result.added += 1

    async def _replace(self, session: WriteSession, archive: Document, child: Document, content: Content) -> None:
        stored = await store_version(session, self._resources.settings, child, content, created_by=archive.created_by)
        if stored is not None:
            child.password = self._password_for(archive, child.id)
            child.settings = archive.settings
            await processing.begin(session, child, self._resources.doorbell.ring, created_by=archive.created_by)
            self._result.replaced += 1

    async def _drop(self, path: str) -> None:
        """A child whose new content is that of another document: its old one is in the archive no more."""
        self._result.duplicates += 1
        async with self._resources.database.write(self._scope) as session:
            archive = await self._hold(session, Keep.INDEX)
            children = await locks.lock_children(session, [archive.id])
            await _remove(session, self._resources, archive, [one for one in children if one.path == path])
            self._result.removed += 1

    async def _note(self, files: Sequence[_File]) -> None:
        """The archive's own text is the list of what it holds."""
        held = "\n".join(file.path for file in files)
        async with self._resources.database.write(self._scope) as session:
            await self._hold(session)
            extracted = Extracted(DocumentFormat.ZIP, held, warnings=self._result.warnings)
            await put_text(session, self._owner, extracted)

    async def _hold(self, session: WriteSession, keep: Keep = Keep.THERE) -> Document:
        if not await hold(session, self._owner, keep):
            raise _Gone
        return await session.get_one(Document, self._owner.document_id, populate_existing=True)

    def _password_for(self, archive: Document, child_id: UUID) -> bytes | None:
        password = open_password(self._resources.cipher, archive)
        if password is None:
            return None
        return self._resources.cipher.seal(password, place_of_password(archive.tenant_id, child_id))


async def _remove(session: WriteSession, resources: Resources, archive: Document, going: Sequence[Document]) -> None:
    if not going:
        return
    await repository.delete_documents(session, [child.id for child in going])
    for child in going:
        purges.note(session, child.tenant_id, child.knowledge_base_id, document_id=child.id)
    name = f"Forget what left {archive.name}"
    await purges.submit_purge(session, archive.tenant_id, name, resources.doorbell.ring, created_by=archive.created_by)


def _place(path: str, taken: dict[str, _File]) -> str:
    """Two files of an archive may claim the same place."""
    wanted = place = path[-_PATH_LENGTH:]
    number = 1
    while place in taken:
        number += 1
        place = f"{wanted} ({number})"
    return place


def _look_at(entry: Entry, path: str) -> _File:
    """Raises `ExtractionError` for what is no document."""
    digest = hashlib.sha256()
    with entry.file.open("rb") as file:
        head = file.read(_HEAD)
        found = check_head(head, clean_name(path))
        digest.update(head)
        while data := file.read(1024 * 1024):
            digest.update(data)
    return _File(path, entry.file, entry.size, digest.hexdigest(), found)


def _placed(children: Sequence[Document], files: Sequence[_File]) -> tuple[dict[UUID, str], list[_File]]:
    """Where each child stands whose content is in the archive, and the files that are no child's content. A child
    whose content stands in several places stays where it is, if that is one of them."""
    by_content = {child.content_hash: child for child in children}
    placed: dict[UUID, str] = {}
    for stays in (True, False):
        for file in files:
            child = by_content.get(file.content_hash)
            if child is not None and child.id not in placed and (child.path == file.path or not stays):
                placed[child.id] = file.path
    places = set(placed.values())
    return placed, [file for file in files if file.path not in places]


async def _move(session: WriteSession, moves: Sequence[tuple[Document, str]]) -> None:
    """At no moment two stand at one place."""
    moving = [(child, path, clean_name(child.path or "")) for child, path in moves if child.path != path]
    for child, _, _ in moving:
        child.path = None
    await session.flush()
    for child, path, name_there in moving:
        child.path = path
        if child.name == name_there:  # and none that somebody gave it
            child.name = clean_name(path)
    await session.flush()


def _child_id(owner: Owner, path: str) -> UUID:
    """The same for the same place in the same version of the archive, whichever run makes it: a UUIDv7 with the
    archive's time and a hash in place of what is random."""
    content = "\x1f".join((str(owner.document_id), str(owner.version), path))
    digest = int.from_bytes(hashlib.sha256(content.encode()).digest()[:10])
    time = owner.document_id.int >> 80
    return UUID(int=time << 80 | 0x7 << 76 | (digest >> 68) << 64 | 0b10 << 62 | digest & (1 << 62) - 1)
