import hashlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from services.knowledge_base.evaluation.questions.schemas import QuestionStatus
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.evaluation import EvaluationQuestion


def text_hash(text: str) -> str:
    """The same for questions that differ in letter case and blanks alone."""
    return hashlib.sha256(" ".join(text.casefold().split()).encode()).hexdigest()


async def list_questions(
    session: ReadSession,
    set_id: UUID,
    *,
    status: QuestionStatus | None,
    text: str | None = None,
    after: UUID | None = None,
    limit: int | None = None,
) -> Sequence[EvaluationQuestion]:
    statement = select(EvaluationQuestion).where(EvaluationQuestion.set_id == set_id).order_by(EvaluationQuestion.id)
    if status is not None:
        statement = statement.where(EvaluationQuestion.status == status.value)
    if text:
        statement = statement.where(EvaluationQuestion.text.icontains(text, autoescape=True))
    if after is not None:
        statement = statement.where(EvaluationQuestion.id > after)
    return (await session.scalars(statement.limit(limit))).all()


async def get_question(session: ReadSession, set_id: UUID, question_id: UUID) -> EvaluationQuestion | None:
    found = await session.get(EvaluationQuestion, question_id)
    return found if found is not None and found.set_id == set_id else None


async def count_questions(session: ReadSession, set_id: UUID) -> int:
    statement = select(func.count()).select_from(EvaluationQuestion).where(EvaluationQuestion.set_id == set_id)
    return await session.scalar(statement) or 0


async def add_questions(session: WriteSession, rows: Sequence[dict[str, Any]]) -> list[UUID]:
    """Those that the set does not have yet; gives the ids of what was added."""
    if not rows:
        return []
    statement = insert(EvaluationQuestion).on_conflict_do_nothing().returning(EvaluationQuestion.id)
    return list(await session.scalars(statement, list(rows)))


async def set_status(
    session: WriteSession, set_id: UUID, ids: Sequence[UUID], status: QuestionStatus
) -> tuple[int, int]:
    """How many of these are in the set, and how many of them had another status."""
    mine = (EvaluationQuestion.set_id == set_id, EvaluationQuestion.id.in_(ids))
    there = await session.scalar(select(func.count()).select_from(EvaluationQuestion).where(*mine)) or 0
    changed = await session.scalars(
        update(EvaluationQuestion)
        .where(*mine, EvaluationQuestion.status != status.value)
        .values(status=status.value)
        .returning(EvaluationQuestion.id)
    )
    return there, len(changed.all())
