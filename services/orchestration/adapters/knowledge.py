"""Knowledge bases as the engine's steps and tools reach them."""

from uuid import UUID

from services.orchestration.engine.ports import CallFailed, Found, KnowledgeRequest, Passage
from shared.database.away import outlast
from shared.database.session import Scope
from shared.knowledge.errors import EmbeddingModelMissing, KnowledgeBaseNotFound, VectorStoreUnavailable
from shared.knowledge.search import FoundPassage, KnowledgeSearch

_SOURCE = "knowledge"


class KnowledgeBases:
    """Implements the engine's `Knowledge`."""

    def __init__(self, search: KnowledgeSearch) -> None:
        self._search = search

    async def search(self, tenant_id: UUID, request: KnowledgeRequest) -> Found:
        try:
            found = await outlast(
                lambda: self._search.search(Scope(tenant_id), request.knowledge_base_ids, request.query, request.top_k)
            )
        except (KnowledgeBaseNotFound, VectorStoreUnavailable, EmbeddingModelMissing) as error:
            retryable = isinstance(error, VectorStoreUnavailable)
            raise CallFailed(error.text, code=error.code, source=_SOURCE, retryable=retryable) from error
        return Found(tuple(_passage(each) for each in found))


def _passage(found: FoundPassage) -> Passage:
    return Passage(
        knowledge_base_id=found.knowledge_base_id,
        document_id=found.document_id,
        document_name=found.document_name,
        chunk_id=found.chunk_id,
        text=found.text,
        score=found.score,
        page=found.page,
        start=found.start,
        end=found.end,
        headings=tuple(found.headings),
    )
