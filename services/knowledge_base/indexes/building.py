"""Builds an index beside the one that answers, and changes over to it when it is whole.

    embed     every chunk that is found gets a vector of the new model; where that is the model it has, it is copied
    switch    what came meanwhile is caught up with; then, in one transaction, the new index answers
    clean     what was deleted while it was being put there is taken out

Vectors are kept in Postgres some hundreds at a time, so a run that takes over goes on where the one before it was
killed. An index that is gone was given up: for another model, or with its knowledge base.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from uuid import UUID

from services.knowledge_base import purges
from services.knowledge_base.indexes import repository, vectors
from services.knowledge_base.indexes.changes import SEARCHES_END
from services.knowledge_base.indexes.repository import Target
from services.knowledge_base.indexes.vectors import Missing
from services.knowledge_base.ingestion.stages.work import patiently
from services.knowledge_base.tidying import tidy_when_ended
from shared.database.session import Scope
from shared.executions.jobs import JobContext, JobFailed
from shared.kit.json import Json, JsonObject
from shared.knowledge.embedding import pack
from shared.knowledge.index import VectorRecord
from shared.web.errors import AppError

_AT_ONCE = 256
_EMBEDDED_AT_ONCE = 64
_STAGE = "embed"

_GIVEN_UP: JsonObject = {"given_up": True}


_Step = Callable[[], Awaitable[Json]]


class _Gone(Exception):
    """The index, or all of its knowledge base."""


class Building:
    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._scope = Scope(context.tenant_id)
        self._base = UUID(context.spec["knowledge_base_id"])
        self._index = UUID(context.spec["index_id"])
        self._vectors = context.resources.vectors

    async def run(self) -> Json:
        result: JsonObject = {"knowledge_base_id": str(self._base), "index_id": str(self._index)}
        try:
            for name, step in (("embed", self._embed), ("switch", self._switch), ("clean", self._clean)):
                output = await self._context.step(name, partial(self._told, step))
                if output == _GIVEN_UP:
                    return {**result, **_GIVEN_UP}
                result[name] = output
        except asyncio.CancelledError:
            tidy_when_ended(self._context.resources, self._scope, self._context.execution_id)
            raise
        return result

    async def _told(self, step: _Step) -> Json:
        try:
            return await step()
        except _Gone:
            return _GIVEN_UP
        except AppError as error:
            raise JobFailed(error.code, error.text) from error

    async def _embed(self) -> Json:
        put_again = await self._put_what_is_kept()
        return {**await self._fill(), "put_again": put_again}

    async def _put_what_is_kept(self) -> int:
        """A run that was killed may have kept vectors in Postgres and not have put them into the index any more."""
        last: UUID | None = None
        put = 0
        while True:
            async with self._context.database.read(self._scope) as session:
                records = await vectors.get_kept(session, self._index, last, _AT_ONCE)
            if not records:
                return put
            last = records[-1].chunk_id
            ids = [record.chunk_id for record in records]
            there = await patiently(self._context, partial(self._vectors.present, self._index, ids))
            put += await self._put([record for record in records if record.chunk_id not in there])

    async def _fill(self) -> JsonObject:
        embedded = copied = 0
        last: UUID | None = None
        source, target = await self._targets()
        same = source if source.model_id == target.model_id else None
        async with self._context.database.read(self._scope) as session:
            coverage = await repository.get_coverage(session, self._base, self._index)
        done = coverage.embedded
        while True:
            self._context.progress(_STAGE, done, coverage.chunks)
            async with self._context.database.read(self._scope) as session:
                batch = await vectors.get_missing(session, self._base, self._index, same, last, _AT_ONCE)
            if not batch:
                return {"embedded": embedded, "copied": copied}
            last = batch[-1].chunk_id
            known = {one.chunk_id: one.vector for one in batch if one.vector is not None}
            await self._keep(batch, known)
            unknown = [one for one in batch if one.vector is None]
            for start in range(0, len(unknown), _EMBEDDED_AT_ONCE):
                some = unknown[start : start + _EMBEDDED_AT_ONCE]
                made = await self._context.embed(target.model_id, [one.text for one in some])
                packed = [pack(vector) for vector in made]
                await self._keep(some, dict(zip((one.chunk_id for one in some), packed, strict=True)))
                self._context.progress(_STAGE, done + len(known) + start + len(some), coverage.chunks)
            embedded += len(unknown)
            copied += len(known)
            done = min(done + len(batch), coverage.chunks)

    async def _targets(self) -> tuple[Target, Target]:
        async with self._context.database.read(self._scope) as session:
            active = await repository.get_active(session, self._base)
            mine = await repository.get_target(session, self._index)
        if active is None or mine is None:
            raise _Gone
        return active, mine

    async def _keep(self, batch: Sequence[Missing], made: dict[UUID, bytes]) -> None:
        if not made:
            return
        documents = {one.document_id for one in batch}
        async with self._context.database.write(self._scope) as session:
            if not await repository.hold(session, self._base, self._index, documents):
                raise _Gone
            await vectors.put(session, self._context.tenant_id, self._index, made)
        await self._put(
            [VectorRecord(one.chunk_id, one.document_id, made[one.chunk_id]) for one in batch if one.chunk_id in made]
        )

    async def _put(self, records: Sequence[VectorRecord]) -> int:
        if records:
            await self._require()
            await patiently(self._context, partial(self._vectors.upsert, self._index, records))
        return len(records)

    async def _require(self) -> None:
        """To put vectors into an index that is gone would make its collection again."""
        async with self._context.database.read(self._scope) as session:
            if not await repository.exists(session, self._index):
                raise _Gone

    async def _switch(self) -> Json:
        caught_up = 0
        while not await self._try_to_switch():
            filled = await self._fill()
            caught_up += filled["embedded"] + filled["copied"]
        return {"caught_up": caught_up}

    async def _try_to_switch(self) -> bool:
        """Who publishes a document holds the knowledge base against this: each of them comes before, and is looked for
        here, or after, and sees the new index."""
        context = self._context
        async with context.database.write(self._scope) as session:
            base = await repository.lock_base(session, self._base)
            index = await repository.get_index(session, self._index)
            if base is None or index is None:
                raise _Gone
            if index.status == repository.ACTIVE:  # by a run that was killed before it could say so
                return True
            coverage = await repository.get_coverage(session, self._base, self._index)
            if coverage.embedded < coverage.chunks:
                return False
            replaced = await repository.replace_active(session, base, index)
            purges.note(session, context.tenant_id, self._base, index_id=replaced, delay=SEARCHES_END)
            ring = context.resources.doorbell.ring
            await purges.submit_purge(session, context.tenant_id, f"Forget an index of {base.name}", ring)
        return True

    async def _clean(self) -> Json:
        """Nothing puts deleted chunks there any more, so what is found now is all there will be."""
        strays: list[UUID] = []
        async for page in self._vectors.pages(self._index):
            async with self._context.database.read(self._scope) as session:
                strays += await vectors.not_chunks(session, page)
        await patiently(self._context, partial(self._vectors.delete_chunks, self._index, strays))
        return {"removed": len(strays)}
