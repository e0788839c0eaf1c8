"""Documents as the API shows them."""

from services.knowledge_base.documents.refreshing import hours_of
from services.knowledge_base.documents.repository import DocumentView
from services.knowledge_base.documents.schemas import (
    DocumentError,
    DocumentOut,
    DocumentProgress,
    DocumentSettings,
    DocumentSource,
    DocumentStatus,
)


def is_open(view: DocumentView) -> bool:
    return view.status in (DocumentStatus.PENDING, DocumentStatus.PROCESSING)


def out(view: DocumentView) -> DocumentOut:
    document = view.document
    settings = document.settings or {}
    return DocumentOut(
        id=document.id,
        knowledge_base_id=document.knowledge_base_id,
        name=document.name,
        title=document.title,
        dated_at=document.dated_at,
        media_type=document.media_type,
        size_bytes=document.size_bytes,
        content_hash=document.content_hash,
        version=document.version,
        searchable=document.revision is not None,
        revision=document.revision,
        status=view.status,
        error=error_of(view),
        warnings=document.warnings,
        progress=DocumentProgress.model_validate(document.progress) if is_open(view) and document.progress else None,
        page_count=document.page_count,
        char_count=document.char_count,
        chunk_count=document.chunk_count,
        source=DocumentSource(document.source),
        tags=document.tags,
        agent_ids=document.agent_ids,
        settings=DocumentSettings.model_validate({name: settings.get(name) for name in DocumentSettings.model_fields}),
        has_password=document.password is not None,
        parent_id=document.parent_id,
        path=document.path,
        url=document.url,
        refresh_every_hours=hours_of(document.refresh_seconds),
        refresh_at=document.refresh_at,
        execution_id=document.execution_id,
        created_at=document.created_at,
        updated_at=document.updated_at,
    )


def error_of(view: DocumentView) -> DocumentError | None:
    if view.status is not DocumentStatus.FAILED:
        return None
    if view.document.error:
        return DocumentError(code=view.document.error["code"], message=view.document.error["message"])
    if view.execution_error:
        return DocumentError(
            code=str(view.execution_error.get("code", "internal")),
            message=str(view.execution_error.get("message", "The document could not be processed.")),
        )
    return DocumentError(code="cancelled", message="The processing of the document was cancelled.")
