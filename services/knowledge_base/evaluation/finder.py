"""The search as it is measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from shared.database.session import Scope
from shared.knowledge.errors import RerankFailed, VectorStoreUnavailable
from shared.knowledge.rerank import Reranker
from shared.knowledge.search import KnowledgeSearch, SearchMode, SearchRequest, SearchResult
from shared.web.resources import Resources

# Passages of one document are one result, so more passages than documents are asked for.
_PASSAGES_PER_DOCUMENT = 3
_MOST_PASSAGES = 100


@dataclass(frozen=True, slots=True)
class FoundDocument:
    """By its best passage."""

    document_id: UUID
    name: str
    chunk_id: UUID
    page: int | None
    score: float


class Finder:
    def __init__(
        self, resources: Resources, scope: Scope, knowledge_base_ids: Sequence[UUID], rerank_model_id: UUID | None
    ) -> None:
        reranker = Reranker(resources.tenant_models)
        self._search = KnowledgeSearch(resources.database, resources.vectors, resources.embedders, reranker)
        self._scope = scope
        self._knowledge_base_ids = list(knowledge_base_ids)
        self._rerank_model_id = rerank_model_id

    async def find(self, question: str, mode: SearchMode, count: int) -> list[FoundDocument]:
        """The documents in the order of their best passages. A search that did with less than it was asked for is none:
        raises what was missing."""
        request = SearchRequest(
            knowledge_base_ids=self._knowledge_base_ids,
            query=question,
            top_k=min(count * _PASSAGES_PER_DOCUMENT, _MOST_PASSAGES),
            mode=mode,
            rerank_model_id=self._rerank_model_id,
        )
        result = await self._search.search(self._scope, request)
        if result.mode is not mode:
            raise VectorStoreUnavailable
        if self._rerank_model_id and result.passages and not result.reranked:
            raise RerankFailed(result.warnings[-1] if result.warnings else None)
        return _documents(result)[:count]


def _documents(result: SearchResult) -> list[FoundDocument]:
    """The same text in several documents is found in all of them."""
    best: dict[UUID, FoundDocument] = {}
    for passage in result.passages:
        for one in (passage, *passage.also_in):
            found = FoundDocument(one.document_id, one.document_name, one.chunk_id, passage.page, passage.score)
            best.setdefault(one.document_id, found)
    return list(best.values())
