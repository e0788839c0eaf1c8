"""From a document's bytes to its text: fetched if it is a page in the web, unpacked if it is an archive."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from services.knowledge_base import originals
from services.knowledge_base.documents.archives import add_children
from services.knowledge_base.ingestion import repository, texts
from services.knowledge_base.ingestion.extract.model import DocumentFormat, Extracted
from services.knowledge_base.ingestion.extractor import Extractor
from services.knowledge_base.ingestion.repository import Original
from services.knowledge_base.ingestion.stages.work import GONE, Work
from services.knowledge_base.ingestion.workshop import workplace
from services.knowledge_base.web.fetch import fetch_page
from shared.database.session import WriteSession
from shared.kit.json import Json
from shared.security.encryption import Place

_extractor = Extractor()
# A document is in memory whole while it is read and cut: few at a time, however many are ingested.
whole_documents = asyncio.Semaphore(2)


@dataclass(frozen=True, slots=True)
class File:
    """The original, on this machine for a moment."""

    path: Path
    name: str
    original: Original
    password: str | None


class Gone(Exception):
    """The document was deleted while it was being read."""


async def fetch(work: Work) -> Json:
    """A page that is looked at again and has not changed is left as it is."""
    if not await work.report("fetch", 0, 1, status="processing"):
        return GONE
    fetched = await fetch_page(work.context, work.owner)
    if not fetched.get("unchanged"):
        return fetched

    async def settle(session: WriteSession) -> Json:
        await repository.set_document(session, work.owner, status="ready", progress=None, error=None)
        return fetched

    return await work.write(settle)


async def extract(work: Work) -> Json:
    if not await work.report("extract", 0, 1, status="processing"):
        return GONE
    try:
        async with whole_documents, opened(work) as file:
            is_page = file.original.is_page
            extracted = await _extractor.extract(file.path, file.name, password=file.password, web=is_page)
            return await work.write(lambda session: _store(session, work, extracted))
    except Gone:
        return GONE


async def _store(session: WriteSession, work: Work, extracted: Extracted) -> Json:
    for warning in extracted.warnings:
        work.context.log("warning", warning)
    await texts.put_text(session, work.owner, extracted)
    await repository.set_media_type(session, work.owner, extracted.format)
    return {
        "format": extracted.format.value,
        "char_count": len(extracted.text),
        "page_count": len(extracted.pages) or None,
        "headings": len(extracted.headings),
        "images_only": len(extracted.images_only),
    }


async def unpack(work: Work) -> Json:
    """The archive's documents, each with an ingestion of its own."""
    if not await work.report("unpack", 0, 1):
        return GONE
    try:
        async with opened(work) as file:
            into = file.path.parent / "unpacked"
            into.mkdir()
            entries = await _extractor.unpack(file.path, into, password=file.password)
            if not await work.report("unpack", 0, len(entries)):
                return GONE
            return await add_children(work.context, work.owner, entries)
    except Gone:
        return GONE


@asynccontextmanager
async def opened(work: Work) -> AsyncGenerator[File]:
    """Raises `Gone`."""
    async with work.context.database.read(work.scope) as session:
        original = await repository.get_original(session, work.owner)
    if original is None:
        raise Gone
    with workplace() as directory:
        path = directory / "original"
        try:
            await originals.fetch(work.context.database, work.scope, original.version_id, path)
        except originals.OriginalGone:
            raise Gone from None
        # What was given as Markdown is read as Markdown, whatever it is called.
        is_markdown = original.media_type == DocumentFormat.MARKDOWN.media_type
        yield File(path, "x.md" if is_markdown else original.name, original, _password(work, original))


def _password(work: Work, original: Original) -> str | None:
    if original.password is None:
        return None
    place = Place("documents", "password", work.owner.document_id, work.owner.tenant_id)
    return work.context.resources.cipher.open(original.password, place)
