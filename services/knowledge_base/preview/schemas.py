from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from services.knowledge_base.bases.schemas import ChunkOverlap, ChunkSize
from shared.web.schemas import RequestModel, ResponseModel, Text

MAX_TEXT = 1_000_000
MAX_CHUNKS = 200


class ChunkPreviewRequest(RequestModel):
    """Of a document of the knowledge base as it was last read, or of a text. Sizes that are not given are those of the
    document, or else of the knowledge base."""

    # Offsets are those of the text as it was sent.
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)

    document_id: UUID | None = None
    text: Annotated[Text, StringConstraints(min_length=1, max_length=MAX_TEXT)] | None = None
    format: Literal["markdown", "text"] = Field(default="markdown", description="Of `text`.")
    chunk_size: ChunkSize | None = None
    chunk_overlap: ChunkOverlap | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_CHUNKS, description="How many chunks at most.")] = 50

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.document_id is None) == (self.text is None):
            raise ValueError("give either document_id or text")
        return self


class PreviewedChunk(ResponseModel):
    """`start` and `end` count characters of the text. `part` is the attachment it stands in; `table_header` the head of
    the table that it is a later part of."""

    ordinal: int
    text: str
    start: int
    end: int
    tokens: int
    page: int | None
    headings: list[str]
    part: str | None
    table_header: str | None


class ChunkPreview(ResponseModel):
    """The first chunks; `has_more` when the text goes on after them."""

    chunk_size: int
    chunk_overlap: int
    char_count: int
    chunks: list[PreviewedChunk]
    has_more: bool
