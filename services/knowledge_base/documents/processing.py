"""Each processing of a document is an execution of its own, which owns the document until another one is begun."""

from uuid import UUID

from services.knowledge_base.documents.schemas import DocumentStatus
from services.knowledge_base.work import submit_work
from shared.database.session import WriteSession
from shared.database.tables.knowledge import Document
from shared.executions.submit import Ring
from shared.kit.json import JsonObject


async def begin(
    session: WriteSession,
    document: Document,
    ring: Ring,
    *,
    created_by: UUID | None,
    key: str | None = None,
    request: JsonObject | None = None,
    is_refresh: bool = False,
) -> None:
    """Has the newest version processed, from now on by this execution alone; `document` is locked. What was processed
    before is found until this is done. With `is_refresh` a web page is processed only if it has changed."""
    revision = document.last_revision + 1
    execution = await submit_work(
        session,
        ring,
        tenant_id=document.tenant_id,
        name=f"Ingest {document.name}",
        spec={
            "document_id": str(document.id),
            "knowledge_base_id": str(document.knowledge_base_id),
            "name": document.name,
            "version": document.version,
            "revision": revision,
            **({"refresh": True} if is_refresh else {}),
        },
        inputs={"knowledge_base_id": str(document.knowledge_base_id), "document_id": str(document.id)},
        created_by=created_by,
        key=key,
        request=request,
    )
    document.execution_id = execution.id
    document.last_revision = revision
    document.status = DocumentStatus.PENDING.value
    document.error = None
    document.progress = None
    await session.flush()
