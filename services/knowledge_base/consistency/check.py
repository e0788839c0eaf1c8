"""Whether Postgres, the index of words and Chroma say the same of a knowledge base, and making them so.

Postgres is right: what it has and the others lack is missing there, what they have and it lacks is orphaned. What an
ingestion is just working on is nobody's fault: a chunk counts as missing only if it could be found before and after
Chroma was asked, and documents that are being processed are not looked at.
"""

from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from services.knowledge_base.consistency import findings, repair
from services.knowledge_base.consistency.findings import Finding
from services.knowledge_base.indexes import repository as indexes
from services.knowledge_base.indexes import vectors
from services.knowledge_base.indexes.repository import Target
from services.knowledge_base.ingestion.stages.work import patiently
from shared.database.session import Scope
from shared.executions.jobs import JobContext, JobFailed
from shared.kit.json import Json, JsonObject
from shared.knowledge.errors import KnowledgeBaseNotFound
from shared.web.errors import AppError

ACTION = "check"
_PAGE = 1000
_EXAMPLES = 20


@dataclass(slots=True)
class Report:
    """How many of each kind of fault there are, the first of each, and how many were mended."""

    checked: JsonObject = field(default_factory=dict[str, int])
    counts: dict[Finding, int] = field(default_factory=lambda: dict.fromkeys(Finding, 0))
    examples: dict[Finding, list[str]] = field(default_factory=dict[Finding, list[str]])
    repaired: dict[Finding, int] = field(default_factory=dict[Finding, int])

    def add(self, finding: Finding, ids: list[UUID]) -> None:
        self.counts[finding] += len(ids)
        shown = self.examples.setdefault(finding, [])
        shown.extend(str(one) for one in ids[: _EXAMPLES - len(shown)])

    def as_json(self, repaired: bool) -> JsonObject:
        return {
            "consistent": not any(self.counts.values()),
            "checked": self.checked,
            "found": {finding.value: count for finding, count in self.counts.items()},
            "examples": {finding.value: shown for finding, shown in self.examples.items() if shown},
            "repaired": {finding.value: count for finding, count in self.repaired.items()} if repaired else None,
        }


async def check(context: JobContext) -> Json:
    """The job. With `repair` in its spec everything that is found is mended as well."""
    return await context.step(ACTION, lambda: _told(context))


async def _told(context: JobContext) -> Json:
    try:
        return await _Check(context).run()
    except AppError as error:
        raise JobFailed(error.code, error.text) from error


class _Check:
    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._scope = Scope(context.tenant_id)
        self._base = UUID(context.spec["knowledge_base_id"])
        self._repair = bool(context.spec.get("repair"))
        self._report = Report()

    async def run(self) -> Json:
        async with self._context.database.write(self._scope) as session:
            await indexes.ensure_first(session, self._context.tenant_id, self._base)
            target = await indexes.get_active(session, self._base)
        if target is None:
            raise KnowledgeBaseNotFound
        await self._documents()
        await self._leftovers()
        await self._vectors(target)
        await self._strays(target)
        await self._words()
        return self._report.as_json(self._repair)

    async def _documents(self) -> None:
        """First, because what is processed again needs no other repair."""
        async with self._context.database.read(self._scope) as session:
            stuck = await findings.stuck_documents(session, self._base)
            twice = await findings.duplicate_chunks(session, self._base)
        self._report.add(Finding.STUCK, stuck)
        self._report.add(Finding.DUPLICATE, twice)
        if self._repair:
            self._report.repaired[Finding.STUCK] = await repair.process_again(self._context, stuck)
            self._report.repaired[Finding.DUPLICATE] = await repair.process_again(self._context, twice)

    async def _leftovers(self) -> None:
        async with self._context.database.read(self._scope) as session:
            left = await findings.leftover_revisions(session, self._base)
        self._report.counts[Finding.LEFTOVER] += sum(left.values())
        self._report.examples[Finding.LEFTOVER] = [str(document) for document in left][:_EXAMPLES]
        if self._repair:
            removed = await repair.remove_leftovers(self._context, list(left))
            self._report.repaired[Finding.LEFTOVER] = removed

    async def _vectors(self, target: Target) -> None:
        """What Postgres lacks of vectors, and what Chroma lacks of what Postgres has."""
        last: UUID | None = None
        checked = 0
        async with self._context.database.read(self._scope) as session:
            total = (await indexes.get_coverage(session, self._base, target.index_id)).chunks
        while True:
            self._context.progress(ACTION, checked, total)
            async with self._context.database.read(self._scope) as session:
                page = await findings.found_chunks(session, self._base, target.index_id, last, _PAGE)
            if not page:
                break
            last = page[-1].chunk_id
            checked += len(page)
            ids = [one.chunk_id for one in page]
            ask = partial(self._context.resources.vectors.present, target.index_id, ids)
            there = await patiently(self._context, ask)
            async with self._context.database.read(self._scope) as session:
                still = await findings.still_found(session, ids)
            bare = [one for one in page if one.chunk_id in still and not one.has_vector]
            absent = [one for one in page if one.chunk_id in still and one.has_vector and one.chunk_id not in there]
            self._report.add(Finding.WITHOUT_VECTOR, [one.chunk_id for one in bare])
            self._report.add(Finding.NOT_INDEXED, [one.chunk_id for one in absent])
            if self._repair:
                await self._mend(target, bare, absent)
        self._report.checked["chunks"] = checked

    async def _mend(self, target: Target, bare: list[findings.FoundChunk], absent: list[findings.FoundChunk]) -> None:
        embedded = await repair.embed(self._context, self._base, target, [one.chunk_id for one in bare])
        put = await repair.put(self._context, target, [one.chunk_id for one in absent])
        for finding, count in ((Finding.WITHOUT_VECTOR, embedded), (Finding.NOT_INDEXED, put)):
            self._report.repaired[finding] = self._report.repaired.get(finding, 0) + count

    async def _strays(self, target: Target) -> None:
        strays: list[UUID] = []
        indexed = 0
        async for page in self._context.resources.vectors.pages(target.index_id):
            indexed += len(page)
            async with self._context.database.read(self._scope) as session:
                strays += await vectors.not_chunks(session, page)
        self._report.checked["indexed"] = indexed
        self._report.add(Finding.ORPHANED, strays)
        if self._repair:
            remove = partial(self._context.resources.vectors.delete_chunks, target.index_id, strays)
            await patiently(self._context, remove)
            self._report.repaired[Finding.ORPHANED] = len(strays)

    async def _words(self) -> None:
        async with self._context.database.read(self._scope) as session:
            wordless = await findings.without_words(session, self._base)
        self._report.add(Finding.WITHOUT_WORDS, wordless)
        if self._repair:
            self._report.repaired[Finding.WITHOUT_WORDS] = await repair.put_words(self._context, self._base, wordless)
