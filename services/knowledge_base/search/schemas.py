from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from shared.web.schemas import RequestModel, ResponseModel, Text

MAX_BASES = 20
MAX_PASSAGES = 100


class KnowledgeQuery(RequestModel):
    knowledge_base_ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_BASES)]
    query: Annotated[Text, StringConstraints(min_length=1, max_length=8000)]
    top_k: Annotated[int, Field(ge=1, le=MAX_PASSAGES)] = 5
    mode: Literal["vector"] = "vector"


class PassageOut(ResponseModel):
    """`score` is the cosine similarity, 0 to 1. `start` and `end` count characters of the document's text."""

    knowledge_base_id: UUID
    document_id: UUID
    document_name: str
    chunk_id: UUID
    text: str
    score: float
    page: int | None
    start: int
    end: int
    headings: list[str]


class PassagesOut(ResponseModel):
    """Best first."""

    passages: list[PassageOut]
