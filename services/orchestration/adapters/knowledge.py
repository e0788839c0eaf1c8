"""Knowledge bases as the engine's steps and tools reach them."""

from uuid import UUID

from services.orchestration.engine.ports import CallFailed, Found, KnowledgeRequest, Passage, Usage
from shared.database.away import outlast
from shared.database.session import Scope
from shared.knowledge.errors import VectorStoreUnavailable
from shared.knowledge.search import FoundPassage, KnowledgeSearch, SearchFilters, SearchMode, SearchRequest
from shared.llm.refusals import ProviderUnavailable
from shared.web.errors import AppError

_SOURCE = "knowledge"


class KnowledgeBases:
    """Implements the engine's `Knowledge`."""

    def __init__(self, search: KnowledgeSearch) -> None:
        self._search = search

    async def search(self, tenant_id: UUID, request: KnowledgeRequest) -> Found:
        try:
            found = await outlast(lambda: self._search.search(Scope(tenant_id), _asked(request)))
        except AppError as error:
            retryable = isinstance(error, (VectorStoreUnavailable, ProviderUnavailable))
            raise CallFailed(error.text, code=error.code, source=_SOURCE, retryable=retryable) from error
        usage = Usage(found.usage.input_tokens, found.usage.output_tokens, found.usage.cost)
        return Found(tuple(_passage(each) for each in found.passages), usage, tuple(found.warnings))


def _asked(request: KnowledgeRequest) -> SearchRequest:
    try:
        mode = SearchMode(request.mode)
    except ValueError as error:
        message = f"Knowledge bases cannot be searched in mode {request.mode!r}."
        raise CallFailed(message, code="knowledge_mode_unknown", source=_SOURCE, retryable=False) from error
    return SearchRequest(
        request.knowledge_base_ids,
        request.query,
        request.top_k,
        mode,
        SearchFilters(tags=request.tags, document_ids=request.document_ids, agent_id=request.agent_id),
        request.rerank_model_id,
        request.min_score,
    )


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
        part=found.part,
        page_end=found.page_end,
    )
