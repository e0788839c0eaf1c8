from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field

from shared.web.schemas import LongText, Name, RequestModel, ResponseModel, Timestamp

MAX_BASES = 20


def _each_once(ids: list[UUID]) -> list[UUID]:
    return list(dict.fromkeys(ids))


class EvaluationSetIn(RequestModel):
    name: Name
    description: LongText = ""
    knowledge_base_ids: Annotated[
        list[UUID],
        Field(min_length=1, max_length=MAX_BASES, description="What is searched."),
        AfterValidator(_each_once),
    ]


class QuestionCounts(ResponseModel):
    """Only those that are approved count."""

    draft: int
    approved: int
    rejected: int


class EvaluationSetOut(ResponseModel):
    id: UUID
    name: str
    description: str
    knowledge_base_ids: list[UUID]
    questions: QuestionCounts
    created_at: Timestamp
    updated_at: Timestamp
