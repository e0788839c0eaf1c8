"""One document from its bytes to its vectors, in recorded steps: extract, chunk, embed, index.

Each step may be begun again at any point: chunks have the same ids whichever run makes them, embeddings that are
there are not computed again, and what is indexed beyond the document's chunks is taken out. A step that finds its
document deleted, or taken over by another execution, ends the ingestion without changing anything more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, NoReturn, TypeVar
from uuid import UUID

from services.knowledge_base.ingestion import repository
from services.knowledge_base.ingestion.chunk import Chunk, ChunkPolicy, chunks
from services.knowledge_base.ingestion.extract.model import DocumentFormat, Extracted, ExtractionError
from services.knowledge_base.ingestion.extractor import Extractor
from services.knowledge_base.ingestion.repository import Owner, Unembedded
from shared.database.session import Scope, WriteSession
from shared.executions.jobs import JobContext, JobFailed
from shared.kit.json import Json, JsonObject
from shared.knowledge.embedding import get_embedder, pack
from shared.knowledge.errors import VectorStoreUnavailable
from shared.web.errors import AppError

_EMBEDDED_AT_ONCE = 64
_INDEXED_AT_ONCE = 1000
_PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0)
_LAST_UPSERT = 4.0  # less than a worker that must leave gives its steps

T = TypeVar("T")

_GONE: JsonObject = {"gone": True}
_extractor = Extractor()
# A document is in memory whole while it is read and cut: few at a time, however many are ingested.
_whole_documents = asyncio.Semaphore(2)


class Ingestion:
    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._scope = Scope(context.tenant_id)
        self._owner = Owner(
            tenant_id=context.tenant_id,
            execution_id=context.execution_id,
            knowledge_base_id=UUID(context.spec["knowledge_base_id"]),
            document_id=UUID(context.spec["document_id"]),
        )
        self._vectors = context.resources.vectors
        self._embedder = get_embedder(context.resources.settings.cache)

    async def run(self) -> Json:
        steps = {"extract": self._extract, "chunk": self._chunk, "embed": self._embed, "index": self._index}
        result: JsonObject = {"document_id": str(self._owner.document_id)}
        for name, step in steps.items():
            output = await self._context.step(name, partial(self._guarded, step))
            if output == _GONE:
                await self._remove_strays()
                return {**result, **_GONE}
            result[name] = output
        return result

    async def _guarded(self, step: Callable[[], Awaitable[Json]]) -> Json:
        """Says on the document what its owner can understand; anything else is told by the execution."""
        try:
            return await step()
        except ExtractionError as error:
            await self._fail(error.code, error.message)
        except AppError as error:
            await self._fail(error.code, error.text)

    async def _extract(self) -> Json:
        if not await self._report("extract", 0, 1, status="processing"):
            return _GONE
        async with _whole_documents:
            async with self._context.database.read(self._scope) as session:
                original = await repository.get_original(session, self._owner)
            if original is None:
                return _GONE
            # What was given as Markdown is read as Markdown, whatever it is called.
            markdown = original.media_type == DocumentFormat.MARKDOWN.media_type
            extracted = await _extractor.extract(original.content, "x.md" if markdown else original.name)
            return await self._write(lambda session: self._store(session, extracted))

    async def _store(self, session: WriteSession, extracted: Extracted) -> Json:
        for warning in extracted.warnings:
            self._context.log("warning", warning)
        await repository.set_extracted(session, self._owner, extracted)
        found: JsonObject = {"char_count": len(extracted.text), "page_count": len(extracted.pages) or None}
        await repository.set_document(session, self._owner, media_type=extracted.format.media_type, **found)
        return {"format": extracted.format.value, "headings": len(extracted.headings), **found}

    async def _chunk(self) -> Json:
        if not await self._report("chunk", 0, 1):
            return _GONE
        async with _whole_documents:
            async with self._context.database.read(self._scope) as session:
                extracted = await repository.get_extracted(session, self._owner)
                policy = await repository.get_policy(session, self._owner)
            if extracted is None or policy is None:
                return _GONE
            made = await asyncio.to_thread(self._cut, extracted, policy[0])
            return await self._write(lambda session: self._replace(session, policy[1], made))

    def _cut(self, extracted: Extracted, policy: ChunkPolicy) -> list[Chunk]:
        return list(chunks(extracted, policy, self._embedder.count_tokens))

    async def _replace(self, session: WriteSession, model: str, made: list[Chunk]) -> Json:
        await repository.replace_chunks(session, self._owner, model, made)
        return {"chunks": len(made), "tokens": sum(chunk.tokens for chunk in made)}

    async def _embed(self) -> Json:
        async with self._context.database.read(self._scope) as session:
            total, done = await repository.count_chunks(session, self._owner)
        there_before = done
        while await self._report("embed", done, total):
            async with self._context.database.read(self._scope) as session:
                batch = await repository.get_unembedded(session, self._owner, _EMBEDDED_AT_ONCE)
            vectors = await self._embedder.embed([_as_embedded(one) for one in batch])
            packed = [(one.chunk_id, pack(vector)) for one, vector in zip(batch, vectors, strict=True)]
            if packed:
                async with self._context.database.write(self._scope) as session:
                    await repository.set_embeddings(session, packed)
            done += len(batch)
            if len(batch) < _EMBEDDED_AT_ONCE:
                return {"embedded": done - there_before, "there_before": there_before}
        return _GONE

    async def _index(self) -> Json:
        async with self._context.database.read(self._scope) as session:
            total, _ = await repository.count_chunks(session, self._owner)
        last, done = -1, 0
        while await self._report("index", done, total):
            async with self._context.database.read(self._scope) as session:
                batch = await repository.get_vectors(session, self._owner, last, _INDEXED_AT_ONCE)
            records = [record for _, record in batch]
            await self._patiently(partial(self._vectors.upsert, self._owner.knowledge_base_id, records))
            done += len(batch)
            if len(batch) < _INDEXED_AT_ONCE:
                await self._remove_strays()
                return await self._write(partial(self._finish, indexed=done))
            last = batch[-1][0]
        return _GONE

    async def _finish(self, session: WriteSession, indexed: int) -> Json:
        await repository.set_document(
            session, self._owner, status="ready", chunk_count=indexed, progress=None, error=None
        )
        return {"indexed": indexed}

    async def _remove_strays(self) -> None:
        """Takes out of the index what is no chunk of the document: everything, if the document is gone."""
        base, document = self._owner.knowledge_base_id, self._owner.document_id
        indexed = await self._patiently(partial(self._vectors.chunk_ids, base, document))
        async with self._context.database.read(self._scope) as session:
            strays = indexed - await repository.get_chunk_ids(session, self._owner)
        if strays:
            await self._patiently(partial(self._vectors.delete_chunks, base, strays))

    async def _report(self, stage: str, done: int, total: int, **values: Any) -> bool:
        """Tells watchers how far it is; False if this ingestion has no business with the document any more."""
        self._context.progress(stage, done, total)
        async with self._context.database.write(self._scope) as session:
            if not await repository.hold(session, self._owner):
                return False
            progress = {"stage": stage, "done": done, "total": total}
            await repository.set_document(session, self._owner, progress=progress, **values)
        return True

    async def _write(self, write: Callable[[WriteSession], Awaitable[Json]]) -> Json:
        async with self._context.database.write(self._scope) as session:
            if not await repository.hold(session, self._owner):
                return _GONE
            return await write(session)

    async def _fail(self, code: str, message: str) -> NoReturn:
        error = {"code": code, "message": message}
        async with self._context.database.write(self._scope) as session:
            if await repository.hold(session, self._owner):
                await repository.set_document(session, self._owner, status="failed", error=error, progress=None)
        raise JobFailed(code, message)

    async def _patiently(self, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Waits for a vector store that restarts; raises `VectorStoreUnavailable` when it stays away."""
        for pause in _PAUSES:
            try:
                return await _unbroken(operation())
            except VectorStoreUnavailable:
                self._context.log("warning", "the vector store does not answer, trying again")
                await asyncio.sleep(pause)
        return await _unbroken(operation())


async def _unbroken(operation: Coroutine[Any, Any, T]) -> T:
    """When the job is cancelled in the middle, the request ends first: who deletes next then finds all of it."""
    task = asyncio.ensure_future(operation)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=_LAST_UPSERT)
        raise


def _as_embedded(chunk: Unembedded) -> str:
    """With its headings: a paragraph seldom repeats what it is about."""
    return " > ".join(chunk.headings) + "\n" + chunk.text if chunk.headings else chunk.text
