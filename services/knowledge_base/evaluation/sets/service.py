from uuid import UUID

from sqlalchemy.exc import IntegrityError

from services.knowledge_base.evaluation.errors import SetNameTaken, SetNotFound
from services.knowledge_base.evaluation.sets import repository
from services.knowledge_base.evaluation.sets.schemas import EvaluationSetIn, EvaluationSetOut, QuestionCounts
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession, is_unique_violation
from shared.database.tables.evaluation import EvaluationSet
from shared.kit.ids import new_id
from shared.knowledge.search import require_knowledge_bases
from shared.web.pagination import Page, decode_cursor, page

_NAME = "uq_evaluation_sets_tenant_id_name"


async def list_sets(
    session: ReadSession, *, name: str | None, limit: int, cursor: str | None
) -> Page[EvaluationSetOut]:
    before = decode_cursor(cursor, UUID)[0] if cursor else None
    rows = await repository.list_sets(session, name=name, before=before, limit=limit + 1)
    counts = await repository.count_questions(session, [row.id for row in rows])
    return page(rows, limit, lambda row: _out(row, counts.get(row.id, {})), lambda row: (row.id,))


async def get_set(session: ReadSession, set_id: UUID) -> EvaluationSetOut:
    found = await require_set(session, set_id)
    counts = await repository.count_questions(session, [set_id])
    return _out(found, counts.get(set_id, {}))


async def require_set(session: ReadSession, set_id: UUID) -> EvaluationSet:
    found = await repository.get_set(session, set_id)
    if found is None:
        raise SetNotFound
    return found


async def create(session: WriteSession, caller: Principal, request: EvaluationSetIn) -> EvaluationSetOut:
    await require_knowledge_bases(session, request.knowledge_base_ids)
    made = EvaluationSet(id=new_id(), tenant_id=caller.tenant_id, created_by=caller.user_id, **request.model_dump())
    session.add(made)
    await _flush(session)
    await session.refresh(made)
    return _out(made, {})


async def update(session: WriteSession, set_id: UUID, request: EvaluationSetIn) -> EvaluationSetOut:
    found = await require_set(session, set_id)
    await require_knowledge_bases(session, request.knowledge_base_ids)
    for field, value in request.model_dump().items():
        setattr(found, field, value)
    await _flush(session)
    await session.refresh(found)
    return await get_set(session, set_id)


async def delete(session: WriteSession, set_id: UUID) -> None:
    await session.delete(await require_set(session, set_id))


async def _flush(session: WriteSession) -> None:
    try:
        await session.flush()
    except IntegrityError as error:
        if is_unique_violation(error, _NAME):
            raise SetNameTaken from None
        raise


def _out(row: EvaluationSet, counts: dict[str, int]) -> EvaluationSetOut:
    return EvaluationSetOut(
        id=row.id,
        name=row.name,
        description=row.description,
        knowledge_base_ids=row.knowledge_base_ids,
        questions=QuestionCounts(
            draft=counts.get("draft", 0), approved=counts.get("approved", 0), rejected=counts.get("rejected", 0)
        ),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
