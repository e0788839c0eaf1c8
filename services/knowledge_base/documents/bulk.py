"""One thing done to many documents, with a result for each."""

from uuid import UUID

from services.knowledge_base import locks
from services.knowledge_base.documents import processing, repository
from services.knowledge_base.documents.deleting import delete_documents
from services.knowledge_base.documents.errors import DocumentNotFound
from services.knowledge_base.documents.repository import DocumentView
from services.knowledge_base.documents.schemas import (
    MAX_TAGS,
    BulkAction,
    BulkOut,
    BulkRequest,
    BulkResult,
    BulkStatus,
    DocumentError,
)
from services.knowledge_base.documents.service import require_idle
from services.knowledge_base.locks import Keep
from shared.auth.principal import Principal
from shared.database.session import WriteSession
from shared.database.tables.knowledge import Document
from shared.executions.submit import Ring
from shared.knowledge.errors import KnowledgeBaseNotFound
from shared.web.errors import AppError, Invalid


async def apply(
    session: WriteSession, caller: Principal, knowledge_base_id: UUID, request: BulkRequest, ring: Ring
) -> BulkOut:
    """To all that it can be done to, in one transaction."""
    is_deletion = request.action is BulkAction.DELETE
    if not await locks.hold_base(session, knowledge_base_id, Keep.INDEX if is_deletion else Keep.THERE):
        raise KnowledgeBaseNotFound
    wanted = await repository.in_base(session, knowledge_base_id, request.document_ids)
    is_alone = request.action is BulkAction.REPROCESS
    locked = await (locks.lock_documents if is_alone else locks.lock_with_children)(session, wanted)
    views = await repository.get_documents(session, [id_ for id_ in wanted if id_ in locked])
    results: list[BulkResult] = []
    going: list[Document] = []
    for document_id in request.document_ids:
        view = views.get(document_id)
        try:
            if view is None:
                raise DocumentNotFound
            if is_deletion:
                going.append(view.document)
            else:
                await _change(session, caller, request, view, ring)
            results.append(BulkResult(document_id=document_id, status=BulkStatus.DONE, error=None))
        except AppError as refusal:
            error = DocumentError(code=refusal.code, message=refusal.text)
            results.append(BulkResult(document_id=document_id, status=BulkStatus.REFUSED, error=error))
    if going:
        name = going[0].name if len(going) == 1 else f"{len(going)} documents"
        await delete_documents(session, caller, name, list(locked.values()), ring)
    return BulkOut(items=results)


async def _change(
    session: WriteSession, caller: Principal, request: BulkRequest, view: DocumentView, ring: Ring
) -> None:
    document = view.document
    if request.action is BulkAction.REPROCESS:
        require_idle(view)
        await processing.begin(session, document, ring, created_by=caller.user_id)
        return
    document.tags = _tagged(request, document.tags)
    await session.flush()
    await repository.set_children(session, document.id, {"tags": document.tags})


def _tagged(request: BulkRequest, tags: list[str]) -> list[str]:
    if request.action is BulkAction.UNTAG:
        return [tag for tag in tags if tag not in request.tags]
    together = list(dict.fromkeys((*tags, *request.tags)))
    if len(together) > MAX_TAGS:
        raise Invalid(f"A document has at most {MAX_TAGS} tags.")
    return together
