from enum import StrEnum
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from shared.web.schemas import RequestModel, ResponseModel, Text, Timestamp

MAX_TEXT = 2000
MAX_EXPECTED = 1000
MAX_GRADE = 3
MAX_IMPORT = 10_000_000
MAX_GENERATED = 200
_MAX_NAME = 1000


class QuestionStatus(StrEnum):
    DRAFT = "draft"
    APPROVED = "approved"
    REJECTED = "rejected"


class QuestionSource(StrEnum):
    TYPED = "typed"
    IMPORTED = "imported"
    GENERATED = "generated"


class ExpectedIn(RequestModel):
    """A document by its id or, where that is unambiguous, by its name. `grade`: how relevant it is; 0 is not at all."""

    document_id: UUID | None = None
    document: Annotated[Text, StringConstraints(min_length=1, max_length=_MAX_NAME)] | None = None
    grade: Annotated[int, Field(ge=0, le=MAX_GRADE)] = 1

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.document_id is None) == (self.document is None):
            raise ValueError("give either document_id or document")
        return self

    @property
    def reference(self) -> str:
        return str(self.document_id) if self.document_id else self.document or ""


def _some_relevant(expected: list[ExpectedIn]) -> list[ExpectedIn]:
    if not any(one.grade for one in expected):
        raise ValueError("at least one document must have a grade above 0")
    return expected


QuestionText = Annotated[Text, StringConstraints(min_length=1, max_length=MAX_TEXT)]


class QuestionIn(RequestModel):
    text: QuestionText
    expected: Annotated[list[ExpectedIn], Field(min_length=1, max_length=MAX_EXPECTED), AfterValidator(_some_relevant)]


class ExpectedOut(ResponseModel):
    """`deleted`: the document is no longer there."""

    document_id: UUID
    name: str
    grade: int
    deleted: bool


class QuestionOut(ResponseModel):
    """`passage` is what a generated question was made from."""

    id: UUID
    text: str
    status: QuestionStatus
    source: QuestionSource
    expected: list[ExpectedOut]
    passage: str | None
    created_at: Timestamp
    updated_at: Timestamp


class ImportFormat(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"
    BEIR = "beir"


class ImportRequest(RequestModel):
    """- `jsonl`: in each line `{"question": "...", "expected": [{"document": "<name or id>", "grade": 1}, ...]}`;
      a document may also be just its name or id.
    - `csv`: columns `question`, `document` and, if wanted, `grade`; a line per expected document.
    - `beir`: in `content` lines of `{"_id": "...", "text": "..."}`, in `qrels` lines of query, document and grade, as
      the collections of BEIR and TREC have them. Queries that `qrels` does not name are left out."""

    # Lines are counted from the first one.
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)

    format: ImportFormat
    content: Annotated[Text, StringConstraints(min_length=1, max_length=MAX_IMPORT)]
    qrels: Annotated[Text, StringConstraints(min_length=1, max_length=MAX_IMPORT)] | None = None

    @model_validator(mode="after")
    def _qrels_fit(self) -> Self:
        if (self.format is ImportFormat.BEIR) != (self.qrels is not None):
            raise ValueError("qrels is given with the format beir, and with no other")
        return self


class ImportOut(ResponseModel):
    """`duplicates` were in the set, or earlier in the file; `skipped` are queries that no judgment names."""

    imported: int
    duplicates: int
    skipped: int


class QuestionIds(RequestModel):
    ids: Annotated[list[UUID], Field(min_length=1, max_length=1000)]


class ChangedOut(ResponseModel):
    """How many changed: those that were so already are not counted."""

    changed: int


class GenerateRequest(RequestModel):
    """`model_id`: a chat model; none: the tenant's default. `document_ids`: what to ask about; none: all documents.
    `seed` makes the choice of passages the same again."""

    count: Annotated[int, Field(ge=1, le=MAX_GENERATED)] = 20
    model_id: UUID | None = None
    document_ids: Annotated[list[UUID], Field(max_length=1000)] = Field(default_factory=list[UUID])
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None


ExportFormat = Literal["jsonl", "csv"]
