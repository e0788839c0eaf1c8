"""The end of an ingestion: at one moment the new revision is what is found, and the one before it is not."""

from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from services.knowledge_base import purges
from services.knowledge_base.documents.archives import drop_children
from services.knowledge_base.indexes import repository as indexes
from services.knowledge_base.indexes.repository import Target
from services.knowledge_base.indexes.strays import remove_strays
from services.knowledge_base.indexes.words import put_words
from services.knowledge_base.ingestion import chunks, repository, texts
from services.knowledge_base.ingestion.extract.model import DocumentFormat
from services.knowledge_base.ingestion.stages.vectors import MOVED, embed, put_into_index
from services.knowledge_base.ingestion.stages.work import GONE, Work, patiently
from services.knowledge_base.locks import Keep
from shared.database.session import WriteSession
from shared.kit.json import Json, JsonObject
from shared.knowledge import keywords
from shared.knowledge.errors import VectorStoreUnavailable


async def publish(work: Work, target: Target) -> Json:
    """Should the knowledge base have got another index meanwhile, the document is put into that one first."""
    while (output := await work.write(partial(_flip, work=work, target=target), Keep.INDEX)) == MOVED:
        async with work.context.database.read(work.scope) as session:
            found = await indexes.get_active(session, work.owner.knowledge_base_id)
        if found is None:
            return GONE
        target = found
        for stage in (embed, put_into_index):
            if await stage(work, target) == GONE:
                return GONE
    return output


async def _flip(session: WriteSession, work: Work, target: Target) -> Json:
    owner = work.owner
    if await indexes.get_active(session, owner.knowledge_base_id) != target:
        return MOVED
    total, embedded = await chunks.count_chunks(session, owner, target.index_id)
    if embedded != total:
        raise RuntimeError(f"{total - embedded} of {total} chunks have no vector")
    await put_words(session, owner.tenant_id, owner.knowledge_base_id, owner.document_id, owner.revision)
    structure = await texts.get_structure(session, owner)
    await repository.set_document(session, owner, **_found(structure), revision=owner.revision, chunk_count=total)
    if structure.get("format") != DocumentFormat.ZIP.value:
        await drop_children(session, work.context.resources, owner)
    replaced = await chunks.delete_other_revisions(session, owner)
    await texts.delete_other_texts(session, owner)
    purge = purges.note(session, owner.tenant_id, owner.knowledge_base_id, document_id=owner.document_id)
    return {"chunks": total, "replaced": replaced, "purge": str(purge)}


def _found(structure: JsonObject) -> dict[str, Any]:
    return {
        "status": "ready",
        "error": None,
        "progress": None,
        "title": structure.get("title"),
        "dated_at": _moment(structure.get("dated_at")),
        "warnings": structure.get("warnings", []),
        "char_count": structure.get("char_count"),
        "page_count": len(structure.get("pages", ())) or None,
    }


def _moment(text: str | None) -> datetime | None:
    """A document's own word on when it was written, which may be anything."""
    try:
        found = datetime.fromisoformat(text) if text else None
        return found.astimezone(UTC) if found and found.tzinfo else None
    except (ValueError, OverflowError):
        return None


async def clean(work: Work, purge: UUID | None) -> Json:
    """Takes out of the indexes what is no chunk of the document any more: everything, if the document is gone.

    By now it does not matter to who searches. If the vector store is away, the purge that was noted does it later.
    """
    owner = work.owner
    if purge is not None:
        await keywords.merge(work.context.database, work.scope, owner.knowledge_base_id)
    try:
        removed = await patiently(
            work.context,
            partial(remove_strays, work.context.resources, work.scope, owner.knowledge_base_id, owner.document_id),
        )
    except VectorStoreUnavailable:
        if purge is None:
            raise
        work.context.log("warning", "vectors that are no longer used are removed when the vector store answers again")
        return {"left": True}
    if purge is not None:
        async with work.context.database.write(work.scope) as session:
            await purges.settle(session, purge)
    return {"removed": removed}
