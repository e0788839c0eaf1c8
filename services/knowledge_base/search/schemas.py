from decimal import Decimal
from typing import Annotated, Self
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints, computed_field, model_validator

from shared.kit import links
from shared.knowledge.search import SearchFilters, SearchMode, SearchRequest
from shared.web.schemas import RequestModel, ResponseModel, Text

MAX_BASES = 20
MAX_PASSAGES = 100
MAX_TAGS = 50
MAX_DOCUMENTS = 1000

Tag = Annotated[Text, StringConstraints(min_length=1, max_length=100)]


class QueryFilters(RequestModel):
    """All of them hold. Dates are inclusive."""

    tags: list[Tag] = Field(
        default_factory=list[Tag], max_length=MAX_TAGS, description="Documents with any of these tags."
    )
    document_ids: list[UUID] = Field(default_factory=list[UUID], max_length=MAX_DOCUMENTS)
    dated_from: Annotated[
        AwareDatetime | None, Field(description="When the document says it is from, else when it was added.")
    ] = None
    dated_to: AwareDatetime | None = None
    agent_id: Annotated[
        UUID | None, Field(description="Documents that this agent may find: meant for all, or for it.")
    ] = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.dated_from and self.dated_to and self.dated_from > self.dated_to:
            raise ValueError("dated_from must not be later than dated_to")
        return self


class KnowledgeQuery(RequestModel):
    knowledge_base_ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_BASES)]
    query: Annotated[
        Text,
        StringConstraints(min_length=1, max_length=8000),
        Field(
            description='What stands in "quotation marks" must be in a passage word for word, if words are searched.'
        ),
    ]
    top_k: Annotated[int, Field(ge=1, le=MAX_PASSAGES)] = 5
    mode: Annotated[
        SearchMode, Field(description="By meaning (`vector`), by words (`keyword`, BM25), or by both (`hybrid`).")
    ] = SearchMode.HYBRID
    filters: QueryFilters = Field(default_factory=QueryFilters)
    rerank_model_id: Annotated[
        UUID | None, Field(description="A rerank or chat model that puts the passages in order.")
    ] = None
    min_score: Annotated[float, Field(ge=0, le=1, description="Passages below are left out.")] = 0.0

    def as_request(self) -> SearchRequest:
        filters = SearchFilters(**self.filters.model_dump())
        return SearchRequest(
            self.knowledge_base_ids,
            self.query,
            self.top_k,
            self.mode,
            filters,
            self.rerank_model_id,
            self.min_score,
        )


class Highlight(ResponseModel):
    start: int
    end: int


class SameTextOut(ResponseModel):
    knowledge_base_id: UUID
    document_id: UUID
    document_name: str
    chunk_id: UUID


class PassageOut(ResponseModel):
    """One chunk, or several that follow one another. `text` is what stands from `start` to `end` in the document's
    text, in characters; `highlights` are words of the query within `text`; `also_in` are documents with the same text.

    `score` is 0 to 1 and says the same in every mode: what share this is of the best there could be. For `vector` that
    is the cosine similarity; for `keyword` BM25 divided by what a text could reach at most for these words; for
    `hybrid` the mean of the two, both of which every passage has, whichever of them found it; after a rerank what its
    model says. Of joined chunks it is the best one's.
    """

    knowledge_base_id: UUID
    document_id: UUID
    document_name: str
    chunk_id: UUID
    chunk_ids: list[UUID]
    text: str
    score: float
    page: int | None
    page_end: int | None
    start: int
    end: int
    headings: list[str]
    part: Annotated[str | None, Field(description="The attachment it stands in.")]
    table_header: Annotated[str | None, Field(description="The head of the table that `text` is a later part of.")]
    highlights: list[Highlight]
    also_in: list[SameTextOut]

    @computed_field
    @property
    def original_url(self) -> str:
        return links.original(self.document_id, self.page)


class SearchUsageOut(ResponseModel):
    """What models were used for the query. `cost` is in USD."""

    input_tokens: int
    output_tokens: int
    cost: Decimal


class PassagesOut(ResponseModel):
    """Best first. `mode` is how it was searched: `hybrid` falls back to `keyword` when meaning cannot be compared, and
    `warnings` say so; they also say when a reranker failed."""

    passages: list[PassageOut]
    mode: SearchMode
    reranked: bool
    usage: SearchUsageOut
    warnings: list[str]
