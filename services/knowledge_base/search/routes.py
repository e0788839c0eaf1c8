from typing import Annotated

from fastapi import APIRouter, Depends

from services.knowledge_base.search.schemas import KnowledgeQuery, PassagesOut
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.knowledge.errors import (
    EmbeddingModelGone,
    EmbeddingModelMissing,
    KnowledgeBaseNotFound,
    RerankModelNotFound,
    VectorStoreUnavailable,
)
from shared.knowledge.rerank import Reranker
from shared.knowledge.search import KnowledgeSearch
from shared.llm.refusals import BudgetExceeded, ModelKeyUnreadable, ProviderRefused, ProviderUnavailable
from shared.web.dependencies import App, requires
from shared.web.errors import responses

router = APIRouter(prefix="/knowledge-bases", tags=["knowledge bases"])

Reader = Annotated[Principal, Depends(requires(Permission.KNOWLEDGE_READ))]


@router.post(
    "/query",
    responses=responses(
        NotAllowed,
        KnowledgeBaseNotFound,
        RerankModelNotFound,
        EmbeddingModelGone,
        VectorStoreUnavailable,
        EmbeddingModelMissing,
        ModelKeyUnreadable,
        BudgetExceeded,
        ProviderRefused,
        ProviderUnavailable,
    ),
)
async def query_knowledge_bases(request: KnowledgeQuery, app: App, caller: Reader) -> PassagesOut:
    """The passages that fit best, of all these knowledge bases together."""
    search = KnowledgeSearch(app.database, app.vectors, app.embedders, Reranker(app.tenant_models))
    return PassagesOut.model_validate(await search.search(caller.scope, request.as_request()))
