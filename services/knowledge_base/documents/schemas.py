from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from shared.web.schemas import Name, RequestModel, ResponseModel, Text, Timestamp

MAX_TEXT = 5_000_000


class DocumentStatus(StrEnum):
    PENDING = "pending"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


class DocumentError(ResponseModel):
    code: str
    message: str


class DocumentProgress(ResponseModel):
    """How far the stage at hand has come: `extract`, `chunk`, `embed`, `index`."""

    stage: str
    done: int
    total: int


class DocumentOut(ResponseModel):
    id: UUID
    knowledge_base_id: UUID
    name: str
    media_type: str
    size_bytes: int
    content_hash: str
    status: DocumentStatus
    error: DocumentError | None
    progress: DocumentProgress | None
    page_count: int | None
    char_count: int | None
    chunk_count: int | None
    execution_id: UUID | None
    created_at: Timestamp
    updated_at: Timestamp


class UploadStatus(StrEnum):
    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


class UploadResult(ResponseModel):
    """What became of one file. `document` is the new one, or the one that holds the same content already."""

    name: str
    status: UploadStatus
    document: DocumentOut | None
    error: DocumentError | None


class UploadOut(ResponseModel):
    """One result per file, in the order they were sent."""

    items: list[UploadResult]


def _has_words(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


class TextContent(RequestModel):
    name: Name
    text: Annotated[Text, StringConstraints(max_length=MAX_TEXT, strip_whitespace=False), AfterValidator(_has_words)]
    format: Literal["markdown", "text"] = Field(
        default="markdown", description="Markdown's headings part the text into sections."
    )
