from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, status

from services.knowledge_base.consistency import service
from services.knowledge_base.consistency.schemas import CheckRequest, WorkOut
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.executions.errors import IdempotencyMismatch
from shared.executions.submit import IdempotencyKey
from shared.knowledge.errors import KnowledgeBaseNotFound
from shared.web.dependencies import App, WriteDb, requires
from shared.web.errors import responses

router = APIRouter(prefix="/knowledge-bases", tags=["knowledge bases"])

Writer = Annotated[Principal, Depends(requires(Permission.KNOWLEDGE_WRITE))]


@router.post(
    "/{knowledge_base_id}/check",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(NotAllowed, KnowledgeBaseNotFound, IdempotencyMismatch),
)
async def check_knowledge_base(
    knowledge_base_id: UUID,
    session: WriteDb,
    app: App,
    caller: Writer,
    request: CheckRequest | None = None,
    idempotency_key: IdempotencyKey = None,
) -> WorkOut:
    """Compares what is kept of the documents with what is searched, and with `repair` mends what differs."""
    wanted = request or CheckRequest()
    return await service.request_check(session, caller, knowledge_base_id, wanted, app.doorbell.ring, idempotency_key)


@router.post(
    "/{knowledge_base_id}/rebuild",
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(NotAllowed, KnowledgeBaseNotFound, IdempotencyMismatch),
)
async def rebuild_knowledge_base(
    knowledge_base_id: UUID, session: WriteDb, app: App, caller: Writer, idempotency_key: IdempotencyKey = None
) -> WorkOut:
    """Fills a new collection of vectors from what is kept, and changes over to it when it is whole. While one is being
    filled, the execution that does it is answered."""
    return await service.request_rebuild(session, caller, knowledge_base_id, app.doorbell.ring, idempotency_key)
