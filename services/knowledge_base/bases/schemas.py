from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from shared.knowledge.keywords import LANGUAGES
from shared.web.schemas import LongText, Name, RequestModel, ResponseModel, Timestamp

_SIZE = 200
_OVERLAP = 32
_LARGEST = 8192


def _known(language: str) -> str:
    if language not in LANGUAGES:
        raise ValueError(f"must be one of {', '.join(LANGUAGES)}")
    return language


ChunkSize = Annotated[
    int,
    Field(
        ge=32, le=_LARGEST, description="In tokens of the embedding model, which cannot take more than its own most."
    ),
]
ChunkOverlap = Annotated[
    int, Field(ge=0, le=_LARGEST // 2, description="Tokens that two chunks may share; at most half a chunk.")
]
Language = Annotated[
    str,
    AfterValidator(_known),
    Field(
        description="What the documents are mostly written in, in English and lower case, as a stemmer is called;"
        " `none` takes words as they are."
    ),
]


class KnowledgeBaseSort(StrEnum):
    NEWEST = "-created_at"
    OLDEST = "created_at"


class KnowledgeBaseCreate(RequestModel):
    name: Name
    description: LongText = ""
    chunk_size: ChunkSize = _SIZE
    chunk_overlap: ChunkOverlap = Field(default=_OVERLAP, validate_default=True)
    embedding_model_id: Annotated[UUID | None, Field(description="An embedding model; null is the built-in one.")] = (
        None
    )
    language: Language = "english"
    summary_model_id: Annotated[
        UUID | None,
        Field(description="A chat model that writes the summary; without one it is a list of what there is."),
    ] = None

    @field_validator("chunk_overlap")
    @classmethod
    def _overlap_is_smaller(cls, overlap: int, others: ValidationInfo) -> int:
        size = others.data.get("chunk_size")  # not there if it is wrong itself
        if size is not None and overlap > size // 2:
            raise ValueError(f"must be at most half of chunk_size, which is {size}")
        return overlap


class KnowledgeBaseUpdate(KnowledgeBaseCreate):
    """New sizes hold for documents that are processed from now on; reprocess those that are there. Models and language
    stay if they are not given. Another model has everything embedded anew; what is found meanwhile is found
    by the present one, until all is done."""


class IndexOut(ResponseModel):
    """Of the chunks that are found, how many have a vector in this index."""

    embedding_model_id: UUID | None
    embedding_model: str
    execution_id: UUID | None
    chunks: int
    chunks_done: int


class KnowledgeBaseOut(ResponseModel):
    """`chunk_count` and `documents_searchable` count what is found. `building`: the index of another embedding model,
    which answers when it is whole. `summary` is what agents that may search are told; it follows the documents within
    a minute or two."""

    id: UUID
    name: str
    description: str
    embedding_model_id: UUID | None
    embedding_model: str
    language: str
    chunk_size: int
    chunk_overlap: int
    document_count: int
    documents_by_status: dict[str, int]
    documents_searchable: int
    chunk_count: int
    size_bytes: int
    building: IndexOut | None
    summary: str
    summary_model_id: UUID | None
    summary_at: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp
