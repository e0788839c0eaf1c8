"""What is asked of knowledge bases, and what they answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from shared.llm.types import Usage


class SearchMode(StrEnum):
    VECTOR = "vector"
    KEYWORD = "keyword"
    HYBRID = "hybrid"


@dataclass(frozen=True, slots=True)
class SearchFilters:
    """All of them hold; what is left out does not matter. `tags`: any of these. A document that says when it is from
    counts by that, another by when it came. `agent_id`: what this agent may find."""

    tags: Sequence[str] = ()
    document_ids: Sequence[UUID] = ()
    dated_from: datetime | None = None
    dated_to: datetime | None = None
    agent_id: UUID | None = None

    def __bool__(self) -> bool:
        return bool(self.tags or self.document_ids or self.dated_from or self.dated_to or self.agent_id)


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """Phrases in quotation marks are required in modes that look at words."""

    knowledge_base_ids: Sequence[UUID]
    query: str
    top_k: int = 5
    mode: SearchMode = SearchMode.HYBRID
    filters: SearchFilters = SearchFilters()
    rerank_model_id: UUID | None = None
    min_score: float = 0.0


@dataclass(frozen=True, slots=True)
class SameText:
    """Where a passage stands once more."""

    knowledge_base_id: UUID
    document_id: UUID
    document_name: str
    chunk_id: UUID


@dataclass(frozen=True, slots=True)
class Span:
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """One chunk, or several of a document that follow one another.

    `text` is what stands from `start` to `end` in the document's text, counted in characters. `highlights` are the
    words of the question within `text`. `score` is 0 to 1: the cosine similarity (vector), the share of the best score
    that a text could have for these words (keyword), the mean of both (hybrid), or what the rerank model says.
    """

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
    page_end: int | None = None
    part: str | None = None
    table_header: str | None = None
    chunk_ids: list[UUID] = field(default_factory=list[UUID])
    highlights: list[Span] = field(default_factory=list[Span])
    also_in: list[SameText] = field(default_factory=list[SameText])


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Best first. `mode` is how it was searched, which is not as asked where a part was away: `warnings` say so."""

    passages: list[FoundPassage]
    mode: SearchMode
    usage: Usage = field(default_factory=Usage)
    reranked: bool = False
    warnings: list[str] = field(default_factory=list[str])
