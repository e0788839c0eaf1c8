"""One document from its bytes to its vectors, in recorded steps:

    fetch     a page in the web is fetched, and is a new version if it has changed
    extract   its text, with pages, headings and tables; of an archive only that it is one
    unpack    an archive's documents get ingestions of their own, and that is all
    ocr       pages that are images are read, one by one
    chunk     the text is cut
    embed     chunks get vectors; words that were embedded before keep theirs
    index     vectors are put where they are searched
    publish   in one transaction this revision is what is found: words, status, counts; the one before it goes
    clean     vectors of the one before it are removed

Each step may be begun again at any point: chunks have the same ids whichever run makes them, pages that were read and
vectors that are there are not made again, and what is indexed beyond the document's chunks is taken out. Until
`publish` what could be found before is what is found. A step that finds its document deleted, or taken over by another
execution, ends the ingestion without changing anything more.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import UUID

from services.knowledge_base.indexes import repository as indexes
from services.knowledge_base.indexes.repository import Target
from services.knowledge_base.ingestion import repository
from services.knowledge_base.ingestion.extract.model import DocumentFormat, ExtractionError
from services.knowledge_base.ingestion.owner import Owner
from services.knowledge_base.ingestion.stages import reading
from services.knowledge_base.ingestion.stages.chunking import chunk
from services.knowledge_base.ingestion.stages.publishing import clean, publish
from services.knowledge_base.ingestion.stages.recognizing import recognize
from services.knowledge_base.ingestion.stages.vectors import embed, put_into_index
from services.knowledge_base.ingestion.stages.work import GONE, Work
from services.knowledge_base.tidying import tidy_when_ended
from shared.executions.jobs import JobContext, JobFailed
from shared.kit.json import Json, JsonObject
from shared.web.errors import AppError

_Stage = Callable[[], Awaitable[Json]]


class _Ended(Exception):
    """There is nothing more to do; `output` says why."""

    def __init__(self, output: JsonObject) -> None:
        self.output = output


class Ingestion:
    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._work = Work(context, Owner.of(context.tenant_id, context.execution_id, context.spec))
        self._result: JsonObject = {"document_id": str(self._work.owner.document_id)}

    async def run(self) -> Json:
        try:
            target = await self._prepare()
            published = await self._step("publish", lambda: publish(self._work, target))
            await self._step("clean", lambda: clean(self._work, UUID(published["purge"])))
        except _Ended as ended:
            return {**self._result, **ended.output}
        except asyncio.CancelledError:
            tidy_when_ended(self._context.resources, self._work.scope, self._context.execution_id)
            raise
        return self._result

    async def _prepare(self) -> Target:
        """Makes all of the revision. The answer is the index that it is in."""
        async with self._context.database.read(self._work.scope) as session:
            source = await repository.get_source(session, self._work.owner)
        if source == "url":
            await self._fetch()
        extracted = await self._step("extract", lambda: reading.extract(self._work))
        if extracted["format"] == DocumentFormat.ZIP.value:
            await self._step("unpack", lambda: reading.unpack(self._work))
            return await self._active()
        if extracted["images_only"]:
            await self._step("ocr", lambda: recognize(self._work))
        await self._step("chunk", lambda: chunk(self._work))
        return await self._make_vectors()

    async def _fetch(self) -> None:
        fetched = await self._step("fetch", lambda: reading.fetch(self._work))
        if fetched.get("unchanged"):
            raise _Ended({})
        self._work.owner = replace(self._work.owner, version=fetched["version"])

    async def _make_vectors(self) -> Target:
        """For the index that answers when they are begun."""
        embedded = await self._step("embed", self._embed)
        model = embedded["model_id"]
        target = Target(UUID(embedded["index_id"]), UUID(model) if model else None)
        await self._step("index", lambda: put_into_index(self._work, target))
        return target

    async def _embed(self) -> Json:
        target = await self._active()
        output = await embed(self._work, target)
        if output == GONE or not isinstance(output, dict):
            return output
        model = target.model_id and str(target.model_id)
        return {**output, "index_id": str(target.index_id), "model_id": model}

    async def _active(self) -> Target:
        base = self._work.owner.knowledge_base_id
        async with self._context.database.write(self._work.scope) as session:
            await indexes.ensure_first(session, self._work.owner.tenant_id, base)
            return await indexes.get_active(session, base) or Target(base, None)

    async def _step(self, name: str, stage: _Stage) -> JsonObject:
        output = await self._context.step(name, lambda: self._guarded(stage))
        if output == GONE:
            await clean(self._work, None)
            raise _Ended(GONE)
        assert isinstance(output, dict), "stages answer with objects"
        self._result[name] = output
        return output

    async def _guarded(self, stage: _Stage) -> Json:
        """Says on the document what its owner can understand; anything else is told by the execution."""
        try:
            return await stage()
        except ExtractionError as error:
            await self._work.fail(error.code, error.message)
        except AppError as error:
            await self._work.fail(error.code, error.text)
        except JobFailed as error:
            await self._work.fail(error.code, error.message)
