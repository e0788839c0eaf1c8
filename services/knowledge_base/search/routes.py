from typing import Annotated

from fastapi import APIRouter, Depends

from services.knowledge_base.search.schemas import KnowledgeQuery, PassageOut, PassagesOut
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.knowledge.embedding import get_embedder
from shared.knowledge.errors import EmbeddingModelMissing, KnowledgeBaseNotFound, VectorStoreUnavailable
from shared.knowledge.search import KnowledgeSearch
from shared.web.dependencies import App, requires
from shared.web.errors import responses

router = APIRouter(prefix="/knowledge-bases", tags=["knowledge bases"])

Reader = Annotated[Principal, Depends(requires(Permission.KNOWLEDGE_READ))]


@router.post(
    "/query", responses=responses(NotAllowed, KnowledgeBaseNotFound, VectorStoreUnavailable, EmbeddingModelMissing)
)
async def query_knowledge_bases(request: KnowledgeQuery, app: App, caller: Reader) -> PassagesOut:
    """The passages nearest in meaning, of all these knowledge bases together."""
    search = KnowledgeSearch(app.database, app.vectors, get_embedder(app.settings.cache))
    found = await search.search(caller.scope, request.knowledge_base_ids, request.query, request.top_k)
    return PassagesOut(passages=[PassageOut.model_validate(passage) for passage in found])
