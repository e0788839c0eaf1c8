"""Knowledge bases as the engine's steps and tools reach them."""

from collections.abc import Sequence
from uuid import UUID

from services.orchestration.engine.ports import CallFailed, Passage
from shared.database.away import outlast
from shared.database.session import Scope
from shared.knowledge.errors import EmbeddingModelMissing, KnowledgeBaseNotFound, VectorStoreUnavailable
from shared.knowledge.search import KnowledgeSearch

_SOURCE = "knowledge"
_MODE = "vector"


class KnowledgeBases:
    """Implements the engine's `Knowledge`."""

    def __init__(self, search: KnowledgeSearch) -> None:
        self._search = search

    async def search(
        self, tenant_id: UUID, knowledge_base_ids: Sequence[UUID], query: str, top_k: int, mode: str
    ) -> list[Passage]:
        if mode != _MODE:
            message = f"Knowledge bases cannot be searched in mode {mode!r}, only {_MODE!r}."
            raise CallFailed(message, code="knowledge_mode_unknown", source=_SOURCE, retryable=False)
        try:
            found = await outlast(lambda: self._search.search(Scope(tenant_id), knowledge_base_ids, query, top_k))
        except (KnowledgeBaseNotFound, VectorStoreUnavailable, EmbeddingModelMissing) as error:
            retryable = isinstance(error, VectorStoreUnavailable)
            raise CallFailed(error.text, code=error.code, source=_SOURCE, retryable=retryable) from error
        return [
            Passage(
                knowledge_base_id=passage.knowledge_base_id,
                document_id=passage.document_id,
                document_name=passage.document_name,
                chunk_id=passage.chunk_id,
                text=passage.text,
                score=passage.score,
                page=passage.page,
                start=passage.start,
                end=passage.end,
            )
            for passage in found
        ]
