"""Embeds a document's chunks and puts their vectors into an index: what is there is neither computed nor paid again."""

from functools import partial
from uuid import UUID

from services.knowledge_base.indexes import repository as indexes
from services.knowledge_base.indexes.repository import Target
from services.knowledge_base.ingestion import chunks, repository
from services.knowledge_base.ingestion.stages.work import GONE, Work, patiently, progress
from shared.database.session import WriteSession
from shared.kit.json import Json, JsonObject
from shared.knowledge.embedding import pack

MOVED: JsonObject = {"moved": True}  # the index is not the one that answers any more

_EMBEDDED_AT_ONCE = 64
_INDEXED_AT_ONCE = 1000


async def embed(work: Work, target: Target) -> Json:
    begun = await work.write(partial(_begin, work=work, target=target))
    if begun in (GONE, MOVED):
        return begun
    assert isinstance(begun, dict), "it has counted them"
    total, known, done = begun["total"], begun["known"], begun["done"]
    there_before = done
    last = -1
    work.context.progress("embed", done, total)
    while done < total:
        async with work.context.database.read(work.scope) as session:
            batch = await chunks.get_unembedded(session, work.owner, target.index_id, last, _EMBEDDED_AT_ONCE)
        if not batch:
            break
        last = batch[-1].ordinal
        vectors = await work.context.embed(target.model_id, [one.text for one in batch])
        packed = {one.chunk_id: pack(vector) for one, vector in zip(batch, vectors, strict=True)}
        done += len(batch)
        work.context.progress("embed", done, total)
        keep = partial(_keep, work=work, target=target, vectors=packed, done=done, total=total)
        if (kept := await work.write(keep)) != {}:
            return kept
    return {"embedded": done - there_before, "there_before": known, "copied": there_before - known}


async def _begin(session: WriteSession, work: Work, target: Target) -> Json:
    if not await indexes.hold_index(session, target.index_id):
        return MOVED
    total, known = await chunks.count_chunks(session, work.owner, target.index_id)
    await chunks.copy_vectors(session, work.owner, target.index_id)
    total, done = await chunks.count_chunks(session, work.owner, target.index_id)
    await repository.set_document(session, work.owner, progress=progress("embed", done, total))
    return {"total": total, "known": known, "done": done}


async def _keep(
    session: WriteSession, work: Work, target: Target, vectors: dict[UUID, bytes], done: int, total: int
) -> Json:
    if not await indexes.hold_index(session, target.index_id):
        return MOVED
    await chunks.put_vectors(session, work.owner.tenant_id, target.index_id, vectors)
    await repository.set_document(session, work.owner, progress=progress("embed", done, total))
    return {}


async def put_into_index(work: Work, target: Target) -> Json:
    """Never into an index that is given up: putting vectors there would make its collection again."""
    async with work.context.database.read(work.scope) as session:
        total, _ = await chunks.count_chunks(session, work.owner, target.index_id)
    last, done = -1, 0
    while await work.report("index", done, total):
        async with work.context.database.read(work.scope) as session:
            if not await indexes.exists(session, target.index_id):
                return MOVED
            batch = await chunks.get_vectors(session, work.owner, target.index_id, last, _INDEXED_AT_ONCE)
        records = [record for _, record in batch]
        if records:
            await patiently(work.context, partial(work.context.resources.vectors.upsert, target.index_id, records))
        done += len(batch)
        if len(batch) < _INDEXED_AT_ONCE:
            return {"indexed": done}
        last = batch[-1][0]
    return GONE
