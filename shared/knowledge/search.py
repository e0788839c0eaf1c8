"""Finding passages: by meaning, by words, or by both; their text under the tenant's own session."""

import asyncio
from collections.abc import AsyncGenerator, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import ARRAY, any_, bindparam, select
from sqlalchemy.dialects.postgresql import UUID as PgUuid

from shared.database.session import Database, ReadSession, Scope
from shared.database.tables.knowledge import Chunk, KnowledgeBase, KnowledgeIndex
from shared.kit.logging import get_logger
from shared.knowledge import passages
from shared.knowledge.allowed import Allowed, allowed
from shared.knowledge.embedding import Embedders
from shared.knowledge.errors import (
    EmbeddingModelGone,
    EmbeddingModelMissing,
    KnowledgeBaseNotFound,
    RerankFailed,
    VectorStoreRefused,
    VectorStoreUnavailable,
)
from shared.knowledge.fusion import fuse
from shared.knowledge.index import VectorIndex
from shared.knowledge.keywords.finder import KeywordFinder, Matches, get_finder
from shared.knowledge.nearest import Asked, Hits, Nearest, cosines
from shared.knowledge.request import (
    FoundPassage,
    SameText,
    SearchFilters,
    SearchMode,
    SearchRequest,
    SearchResult,
)
from shared.knowledge.rerank import Reranker
from shared.llm.config import ModelConfig
from shared.llm.refusals import BudgetExceeded, ModelKeyUnreadable, ProviderRefused, ProviderUnavailable
from shared.llm.types import Usage

__all__ = [
    "FoundPassage",
    "KnowledgeSearch",
    "SameText",
    "SearchFilters",
    "SearchMode",
    "SearchRequest",
    "SearchResult",
    "require_knowledge_bases",
]

log = get_logger(__name__)

# Looked at beyond what is wanted: some may be gone, some are joined.
_DEPTH = 4
_LEAST = 40
_WIDER = 4
# What is not found among so many is not looked for any further: a question may be made to fit nothing.
_DEEPEST = 15_000
_LOOKS = 4
# What a reranker gets to see.
_RERANKED = 30

_AWAY = (
    VectorStoreUnavailable,
    VectorStoreRefused,
    EmbeddingModelMissing,
    EmbeddingModelGone,
    ModelKeyUnreadable,
    BudgetExceeded,
    ProviderRefused,
    ProviderUnavailable,
)


@dataclass(frozen=True, slots=True)
class _Base:
    id: UUID
    language: str
    index_id: UUID
    model_id: UUID | None


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Scores of chunks, and whether there are no more."""

    scores: dict[UUID, float]
    exhausted: bool

    @property
    def ranked(self) -> list[UUID]:
        return sorted(self.scores, key=lambda chunk_id: (-self.scores[chunk_id], chunk_id))


@dataclass(frozen=True, slots=True)
class _Plan:
    """A request with all that is known before the first passage is read."""

    scope: Scope
    request: SearchRequest
    bases: Sequence[_Base]
    allowed: Allowed | None
    asked: Sequence[Asked]
    matches: Matches | None
    usage: Usage

    @property
    def languages(self) -> dict[UUID, str]:
        return {base.id: base.language for base in self.bases}


class KnowledgeSearch:
    """`reranker` is needed by those who ask for one."""

    def __init__(
        self,
        database: Database,
        vectors: VectorIndex,
        embedders: Embedders,
        reranker: Reranker | None = None,
        *,
        finder: KeywordFinder | None = None,
    ) -> None:
        self._database = database
        self._vectors = vectors
        self._embedders = embedders
        self._reranker = reranker
        self._finder = finder or get_finder()

    async def search(self, scope: Scope, request: SearchRequest) -> SearchResult:
        """The best passages of all these knowledge bases together, best first.

        Raises `KnowledgeBaseNotFound` and `RerankModelNotFound` if one of them is not the tenant's. When vectors cannot
        be had, `vector` raises `VectorStoreUnavailable` or what is wrong with the embedding model; `hybrid` looks at
        words alone and says so.
        """
        request = replace(request, knowledge_base_ids=list(dict.fromkeys(request.knowledge_base_ids)))
        judge = await self._judge(scope, request)
        wanted = request if judge is None else replace(request, top_k=max(request.top_k, _RERANKED), min_score=0.0)
        try:
            result = await self._search(scope, wanted)
        except _AWAY as error:
            if request.mode is not SearchMode.HYBRID:
                raise
            log.warning("searched by words alone", error=error.code)
            result = await self._search(scope, replace(wanted, mode=SearchMode.KEYWORD))
            warning = f"Searched by words alone, because meaning could not be compared: {error.text}"
            result = replace(result, warnings=[*result.warnings, warning])
        return result if judge is None else await self._rerank(scope, judge, request, result)

    async def _judge(self, scope: Scope, request: SearchRequest) -> ModelConfig | None:
        if request.rerank_model_id is None:
            return None
        assert self._reranker is not None
        return await self._reranker.find(scope, request.rerank_model_id)

    async def _search(self, scope: Scope, request: SearchRequest) -> SearchResult:
        """Again where something was changed while it was looked for: what can be found is found at every moment."""
        vectors: dict[UUID | None, Sequence[float]] = {}
        usage, known, looks = Usage(), set[UUID](), 0
        while True:
            plan = await self._plan(scope, request, vectors)
            usage += plan.usage
            found, candidates = await self._look(plan)
            gone = await self._gone(plan, candidates)
            looks += 1
            if gone <= known or looks == _LOOKS:  # of what is deleted, vectors may stay for a while
                return SearchResult(found, request.mode, usage)
            known |= gone

    async def _look(self, plan: _Plan) -> tuple[list[FoundPassage], _Candidates]:
        limit = max(_LEAST, plan.request.top_k * _DEPTH)
        while True:
            candidates = await self._candidates(plan, limit)
            found = await self._read(plan, candidates, last=limit >= _DEEPEST)
            if found is not None:
                return found, candidates
            limit = min(limit * _WIDER, _DEEPEST)

    async def _gone(self, plan: _Plan, candidates: _Candidates) -> set[UUID]:
        """Chunks that were replaced or deleted since they were named, and indexes that answer no more."""
        named = bindparam("named", list(candidates.scores), type_=ARRAY(PgUuid(as_uuid=True)))
        async with self._database.read(plan.scope) as session:
            indexes = {base.index_id for base in await _bases(session, plan.request.knowledge_base_ids)}
            there = set(await session.scalars(select(Chunk.id).where(Chunk.id == any_(named))))
        return (candidates.scores.keys() - there) | ({base.index_id for base in plan.bases} - indexes)

    async def _plan(self, scope: Scope, request: SearchRequest, vectors: dict[UUID | None, Sequence[float]]) -> _Plan:
        async with _snapshot(self._database, scope) as session:
            bases = await _bases(session, request.knowledge_base_ids)
            may = await allowed(session, request.knowledge_base_ids, request.filters)
            if request.mode is SearchMode.VECTOR:
                matches = None
            else:
                only = None if may is None else may.documents
                matches = await self._finder.find(session, request.knowledge_base_ids, request.query, only)
        if request.mode is SearchMode.KEYWORD:
            return _Plan(scope, request, bases, may, [], matches, Usage())
        usage = await self._embed(scope, request.query, {base.model_id for base in bases} - vectors.keys(), vectors)
        asked = [Asked(base.id, base.index_id, vectors[base.model_id]) for base in bases]
        return _Plan(scope, request, bases, may, asked, matches, usage)

    async def _embed(
        self, scope: Scope, query: str, model_ids: Set[UUID | None], vectors: dict[UUID | None, Sequence[float]]
    ) -> Usage:
        usage = Usage()
        for model_id in model_ids:
            embedder = await self._embedders.of(scope, model_id)
            embedded = await embedder.embed([query])
            [vectors[model_id]] = embedded.vectors
            usage += embedded.usage
        return usage

    async def _candidates(self, plan: _Plan, limit: int) -> _Candidates:
        match plan.request.mode, plan.matches:
            case SearchMode.KEYWORD, Matches() as matches:
                return _Candidates(dict(await asyncio.to_thread(matches.best, limit)), limit >= matches.count)
            case SearchMode.HYBRID, Matches() as matches:
                return await self._fused(plan, matches, limit)
            case _:
                hits, exhausted = await self._nearest(plan, limit)
                return _Candidates(dict(hits), exhausted)

    async def _fused(self, plan: _Plan, matches: Matches, limit: int) -> _Candidates:
        """Each candidate gets both scores, whichever side it comes from."""
        by_words = dict(await asyncio.to_thread(matches.best, limit))
        hits, exhausted = await self._nearest(plan, limit)
        near = dict(hits)
        by_words |= await asyncio.to_thread(matches.scores_of, [one for one in near if one not in by_words])
        if passages.phrases(plan.request.query):  # required: what lacks their words is no candidate
            by_words = {one: score for one, score in by_words.items() if score}
            near = {one: score for one, score in near.items() if one in by_words}
        unknown = [one for one in by_words if one not in near]
        async with self._database.read(plan.scope) as session:
            near |= await cosines(session, plan.asked, unknown)
        return _Candidates(fuse(near, by_words), exhausted and limit >= matches.count)

    async def _nearest(self, plan: _Plan, limit: int) -> tuple[Hits, bool]:
        nearest = Nearest(self._database, self._vectors, plan.scope, plan.request.filters, plan.allowed)
        found = await asyncio.gather(*(nearest.of(asked, limit) for asked in plan.asked))
        hits = sorted((hit for one, _ in found for hit in one), key=lambda hit: (-hit[1], hit[0]))
        return hits, all(exhausted for _, exhausted in found)

    async def _read(self, plan: _Plan, candidates: _Candidates, *, last: bool) -> list[FoundPassage] | None:
        """None if these are too few, and there are more to be looked at."""
        request, scores = plan.request, candidates.scores
        good = [one for one in candidates.ranked if scores[one] >= request.min_score]
        exhausted = last or candidates.exhausted or len(good) < len(scores)  # the rest is worse than asked for
        async with self._database.read(plan.scope) as session:
            rows = await passages.read(session, request, good)
            if request.mode is not SearchMode.VECTOR:
                rows = await asyncio.to_thread(passages.with_phrases, rows, request.query, plan.languages)
            groups = await asyncio.to_thread(passages.assemble, rows, scores, request.top_k)
            if len(groups) < request.top_k and not exhausted:
                return None
            return await passages.complete(session, groups, request.query, plan.languages)

    async def _rerank(
        self, scope: Scope, judge: ModelConfig, request: SearchRequest, result: SearchResult
    ) -> SearchResult:
        assert self._reranker is not None
        found = result.passages
        if not found:
            return result
        try:
            ranked = await self._reranker.rank(scope, judge, request.query, [_shown(passage) for passage in found])
        except RerankFailed as error:
            log.warning("not reranked", error=error.text)
            kept = [passage for passage in found if passage.score >= request.min_score]
            return replace(result, passages=kept[: request.top_k], warnings=[*result.warnings, error.text])
        judged = [replace(passage, score=score) for passage, score in zip(found, ranked.scores, strict=True)]
        best = sorted((one for one in judged if one.score >= request.min_score), key=lambda one: -one.score)
        return replace(result, passages=best[: request.top_k], usage=result.usage + ranked.usage, reranked=True)


def _shown(passage: FoundPassage) -> str:
    return "\n".join(filter(None, (" > ".join(passage.headings), passage.table_header, passage.text)))


@asynccontextmanager
async def _snapshot(database: Database, scope: Scope) -> AsyncGenerator[ReadSession]:
    """All statements see the same: segments of words may be merged in between."""
    async with database.read(scope) as session:
        await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        yield session


async def _bases(session: ReadSession, knowledge_base_ids: Sequence[UUID]) -> list[_Base]:
    statement = (
        select(KnowledgeBase.id, KnowledgeBase.language, KnowledgeBase.index_id, KnowledgeIndex.model_id)
        .outerjoin(KnowledgeIndex, KnowledgeIndex.id == KnowledgeBase.index_id)
        .where(KnowledgeBase.id.in_(knowledge_base_ids))
    )
    found = [_Base(row[0], row[1], row[2] or row[0], row[3]) for row in await session.execute(statement)]
    if len(found) != len(set(knowledge_base_ids)):
        raise KnowledgeBaseNotFound
    return found


async def require_knowledge_bases(session: ReadSession, knowledge_base_ids: Sequence[UUID]) -> None:
    await _bases(session, knowledge_base_ids)
