from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select

from shared.database.session import ReadSession, WriteSession
from shared.database.tables.evaluation import EvaluationQuestion, EvaluationSet


async def list_sets(
    session: ReadSession, *, name: str | None, before: UUID | None, limit: int
) -> Sequence[EvaluationSet]:
    statement = select(EvaluationSet).order_by(EvaluationSet.id.desc()).limit(limit)
    if name:
        statement = statement.where(EvaluationSet.name.icontains(name, autoescape=True))
    if before is not None:
        statement = statement.where(EvaluationSet.id < before)
    return (await session.scalars(statement)).all()


async def get_set(session: ReadSession, set_id: UUID) -> EvaluationSet | None:
    return await session.get(EvaluationSet, set_id)


async def lock_set(session: WriteSession, set_id: UUID) -> EvaluationSet | None:
    return await session.scalar(select(EvaluationSet).where(EvaluationSet.id == set_id).with_for_update())


async def count_questions(session: ReadSession, set_ids: Sequence[UUID]) -> dict[UUID, dict[str, int]]:
    statement = (
        select(EvaluationQuestion.set_id, EvaluationQuestion.status, func.count())
        .where(EvaluationQuestion.set_id.in_(set_ids))
        .group_by(EvaluationQuestion.set_id, EvaluationQuestion.status)
    )
    counts: dict[UUID, dict[str, int]] = defaultdict(dict)
    for set_id, status, count in await session.execute(statement):
        counts[set_id][status] = count
    return counts
