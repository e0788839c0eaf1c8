from enum import StrEnum
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, model_validator

from shared.knowledge.embedding import MAX_CHUNK_TOKENS
from shared.web.schemas import LongText, Name, RequestModel, ResponseModel, Timestamp

_SIZE = 200
_OVERLAP = 32

ChunkSize = Annotated[int, Field(ge=32, le=MAX_CHUNK_TOKENS, description="In tokens of the embedding model.")]
ChunkOverlap = Annotated[
    int, Field(ge=0, le=MAX_CHUNK_TOKENS // 2, description="Tokens that two chunks may share; at most half a chunk.")
]


class KnowledgeBaseSort(StrEnum):
    NEWEST = "-created_at"
    OLDEST = "created_at"


class KnowledgeBaseCreate(RequestModel):
    name: Name
    description: LongText = ""
    chunk_size: ChunkSize = _SIZE
    chunk_overlap: ChunkOverlap = _OVERLAP

    @model_validator(mode="after")
    def _overlap_is_smaller(self) -> Self:
        if self.chunk_overlap > self.chunk_size // 2:
            raise ValueError("chunk_overlap must be at most half of chunk_size")
        return self


class KnowledgeBaseUpdate(KnowledgeBaseCreate):
    """New sizes hold for documents that are processed from now on; reprocess those that are there."""


class KnowledgeBaseOut(ResponseModel):
    id: UUID
    name: str
    description: str
    embedding_model: str
    chunk_size: int
    chunk_overlap: int
    document_count: int
    chunk_count: int
    created_at: Timestamp
    updated_at: Timestamp
