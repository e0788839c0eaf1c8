import unicodedata
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, ValidationInfo, field_validator

from services.knowledge_base.bases.schemas import ChunkOverlap, ChunkSize
from shared.web.schemas import Name, RequestModel, ResponseModel, Timestamp, Verbatim

MAX_TEXT = 5_000_000
MAX_TAGS = 30
_MAX_AGENTS = 100
_HOURS_OF_A_YEAR = 8784


class DocumentStatus(StrEnum):
    PENDING = "pending"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


class DocumentSource(StrEnum):
    UPLOAD = "upload"
    TEXT = "text"
    URL = "url"
    ARCHIVE = "archive"  # came out of one


class DocumentSort(StrEnum):
    NEWEST = "-created_at"
    OLDEST = "created_at"
    NAME = "name"
    NAME_DOWN = "-name"


def _visible(text: str) -> str:
    if any(unicodedata.category(letter)[0] == "C" for letter in text):
        raise ValueError("must hold no control characters")
    return unicodedata.normalize("NFC", text)


def _once(tags: list[str]) -> list[str]:
    return list(dict.fromkeys(tags))


def _each_once(ids: list[UUID]) -> list[UUID]:
    return list(dict.fromkeys(ids))


Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=50), AfterValidator(_visible)]
Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS), AfterValidator(_once)]
AgentIds = Annotated[
    list[UUID],
    Field(max_length=_MAX_AGENTS, description="The only agents that may find it; none: all."),
    AfterValidator(_each_once),
]
RefreshHours = Annotated[int, Field(ge=1, le=_HOURS_OF_A_YEAR)]
Password = Annotated[SecretStr, Field(min_length=1, max_length=200)]
OcrLanguages = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_]{3,20}(\+[A-Za-z_]{3,20}){0,9}$"),
    Field(description="As tesseract calls them, such as `eng+deu`."),
]


# Of a document that is being worked on, or will be.
OPEN_STATUSES = (DocumentStatus.PENDING.value, DocumentStatus.PROCESSING.value)


class DocumentError(ResponseModel):
    code: str
    message: str


class DocumentProgress(ResponseModel):
    """How far the stage at hand has come: `fetch`, `unpack`, `extract`, `ocr`, `chunk`, `embed`, `index`."""

    stage: str
    done: int
    total: int


class DocumentSettings(ResponseModel):
    """How the document is processed where that differs from its knowledge base; null: as there."""

    chunk_size: int | None
    chunk_overlap: int | None
    ocr_languages: str | None


class DocumentOut(ResponseModel):
    """`version` is its newest content. `searchable`: it is found, whatever its status, maybe still by an earlier
    content. `revision` is the processing that is found. `parent_id` and `path` say which archive it came out of, and
    where it stood there."""

    id: UUID
    knowledge_base_id: UUID
    name: str
    title: str | None
    dated_at: Timestamp | None
    media_type: str
    size_bytes: int
    content_hash: str
    version: int
    searchable: bool
    revision: int | None
    status: DocumentStatus
    error: DocumentError | None
    warnings: list[str]
    progress: DocumentProgress | None
    page_count: int | None
    char_count: int | None
    chunk_count: int | None
    source: DocumentSource
    tags: list[str]
    agent_ids: list[UUID]
    settings: DocumentSettings
    has_password: bool
    parent_id: UUID | None
    path: str | None
    url: str | None
    refresh_every_hours: int | None
    refresh_at: Timestamp | None
    execution_id: UUID | None
    created_at: Timestamp
    updated_at: Timestamp


class DocumentChange(RequestModel):
    """What is not given stays. Tags and agents of an archive are also those of what it holds."""

    name: Name = ""
    tags: Tags = Field(default=[])
    agent_ids: AgentIds = Field(default=[])
    refresh_every_hours: RefreshHours | None = Field(
        default=None, description="Of a web page alone; null: never again."
    )


class ReprocessRequest(RequestModel):
    """What is not given stays as it is; null is as the knowledge base has it."""

    password: Password | None = None
    chunk_size: ChunkSize | None = None
    chunk_overlap: ChunkOverlap | None = None
    ocr_languages: OcrLanguages | None = None


class UploadFields(RequestModel):
    """What an upload says of all its files."""

    tags: Tags = Field(default=[])
    agent_ids: AgentIds = Field(default=[])
    password: Password | None = None


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
    """One result per file, in the order they were sent. Where the rest of the body cannot be taken, a last one that
    has no name says why."""

    items: list[UploadResult]


def _has_words(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


class TextContent(RequestModel):
    name: Name
    text: Annotated[Verbatim, StringConstraints(max_length=MAX_TEXT), AfterValidator(_has_words)]
    format: Literal["markdown", "text"] = Field(
        default="markdown", description="Markdown's headings part the text into sections."
    )
    tags: Tags = Field(default=[])
    agent_ids: AgentIds = Field(default=[])


class TagCount(ResponseModel):
    tag: str
    documents: int


class DocumentsSummary(ResponseModel):
    """`bytes` are those of the newest versions; `tags` are the commonest ones."""

    documents: int
    searchable: int
    bytes: int
    by_status: dict[DocumentStatus, int]
    tags: list[TagCount]


class BulkAction(StrEnum):
    DELETE = "delete"
    REPROCESS = "reprocess"
    TAG = "tag"
    UNTAG = "untag"


class BulkRequest(RequestModel):
    action: BulkAction
    document_ids: Annotated[list[UUID], Field(min_length=1, max_length=200), AfterValidator(_each_once)]
    tags: Tags = Field(default=[], description="For `tag` and `untag`.", validate_default=True)

    @field_validator("tags")
    @classmethod
    def _fit_the_action(cls, tags: list[str], others: ValidationInfo) -> list[str]:
        action = others.data.get("action")  # not there if it is wrong itself
        if action is not None and (action in (BulkAction.TAG, BulkAction.UNTAG)) != bool(tags):
            raise ValueError("are given with the actions tag and untag, and with no other")
        return tags


class BulkStatus(StrEnum):
    DONE = "done"
    REFUSED = "refused"


class BulkResult(ResponseModel):
    document_id: UUID
    status: BulkStatus
    error: DocumentError | None


class BulkOut(ResponseModel):
    """One result per document, in the order they were named."""

    items: list[BulkResult]


class VersionOut(ResponseModel):
    """`searchable`: it is what is found at present."""

    number: int
    name: str
    media_type: str
    size_bytes: int
    content_hash: str
    searchable: bool
    created_at: Timestamp
    created_by: UUID | None


class PageMark(ResponseModel):
    number: int
    start: int


class HeadingMark(ResponseModel):
    level: int
    title: str
    start: int


class PartMark(ResponseModel):
    name: str
    start: int


class DocumentTextOut(ResponseModel):
    """`text` is what stands from `start` to `end`, in characters of the whole, of which there are `length`. The pages
    and parts that it touches, and the headings that it stands below or holds, with where each begins."""

    document_id: UUID
    name: str
    version: int
    revision: int
    length: int
    start: int
    end: int
    text: str
    pages: list[PageMark]
    headings: list[HeadingMark]
    parts: list[PartMark]


class ChunkOut(ResponseModel):
    """`start` and `end` count characters of the document's text, as `GET /documents/{id}/text` does."""

    id: UUID
    ordinal: int
    text: str
    tokens: int
    start: int
    end: int
    page: int | None
    headings: list[str]
    part: str | None
    table_header: str | None
