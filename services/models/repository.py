"""All queries on models. Row-level security narrows each of them to the caller's tenant."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Date, cast, func, or_, select, union_all, update

from services.models.schemas import ModelSort
from shared.database.naming import workflows_naming
from shared.database.session import ReadSession, WriteSession
from shared.database.sorting import Sorting, by_name, by_time
from shared.database.tables.agents import Agent
from shared.database.tables.knowledge import KnowledgeBase, KnowledgeIndex
from shared.database.tables.ledger import CallRow
from shared.database.tables.models import Model, ModelUse
from shared.llm.settings import ModelKind, Provider

# Where a graph, or a body within it, names a model itself, not through an agent.
_NAMES_MODEL = "$.**.config ? (@.manager_model_id == $named)"


SORTINGS = {
    ModelSort.NEWEST: by_time(Model.created_at, Model.id, descending=True),
    ModelSort.OLDEST: by_time(Model.created_at, Model.id, descending=False),
    ModelSort.NAME: by_name(Model.name, Model.id, descending=False),
    ModelSort.NAME_DOWN: by_name(Model.name, Model.id, descending=True),
}


@dataclass(frozen=True, slots=True)
class Filters:
    """What is given has to hold for each model; `q` is looked for in its names."""

    q: str | None = None
    provider: Provider | None = None
    kind: ModelKind | None = None

    def conditions(self) -> Iterable[ColumnElement[bool]]:
        if self.q:
            yield or_(*(field.icontains(self.q, autoescape=True) for field in (Model.name, Model.model)))
        if self.provider is not None:
            yield Model.provider == self.provider
        if self.kind is not None:
            yield Model.kind == self.kind


async def models(
    session: ReadSession, filters: Filters, sorting: Sorting, after: tuple[Any, UUID] | None, limit: int
) -> Sequence[Model]:
    statement = sorting.page(select(Model).where(*filters.conditions()), after, limit)
    return (await session.scalars(statement)).all()


async def get_model(session: ReadSession, model_id: UUID) -> Model | None:
    return await session.get(Model, model_id)


async def lock_model(session: WriteSession, model_id: UUID) -> Model | None:
    """Held against change and against new references, until this transaction ends."""
    return await session.get(Model, model_id, with_for_update=True)


async def kinds(session: ReadSession, model_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Of those that are there."""
    return dict((await session.execute(select(Model.id, Model.kind).where(Model.id.in_(model_ids)))).all())


async def unset_default(session: WriteSession, except_id: UUID) -> None:
    await session.execute(update(Model).where(Model.is_default, Model.id != except_id).values(is_default=False))


async def agents_using(session: ReadSession, model_id: UUID, limit: int) -> Sequence[tuple[UUID, str]]:
    statement = select(Agent.id, Agent.name).where(Agent.model_id == model_id)
    rows = await session.execute(statement.order_by(Agent.name, Agent.id).limit(limit))
    return [(id_, name) for id_, name in rows]


async def workflows_using(session: ReadSession, model_id: UUID, limit: int) -> Sequence[tuple[UUID, str]]:
    """Workflows whose latest version has a crew that this model manages."""
    return await workflows_naming(session, _NAMES_MODEL, model_id, limit)


async def models_falling_back_on(session: ReadSession, model_id: UUID, limit: int) -> Sequence[tuple[UUID, str]]:
    names_it = Model.settings.contains({"fallback_model_ids": [str(model_id)]})
    rows = await session.execute(select(Model.id, Model.name).where(names_it).order_by(Model.name).limit(limit))
    return [(id_, name) for id_, name in rows]


async def bases_indexed_by(session: ReadSession, model_id: UUID, limit: int) -> Sequence[tuple[UUID, str]]:
    """Also those that are being indexed by it."""
    statement = (
        select(KnowledgeBase.id, KnowledgeBase.name)
        .join(KnowledgeIndex, KnowledgeIndex.knowledge_base_id == KnowledgeBase.id)
        .where(KnowledgeIndex.model_id == model_id)
        .distinct()
        .order_by(KnowledgeBase.name, KnowledgeBase.id)
        .limit(limit)
    )
    return [(id_, name) for id_, name in await session.execute(statement)]


@dataclass(frozen=True, slots=True)
class DayOfUsage:
    date: date
    calls: int
    failed_calls: int
    input_tokens: int
    output_tokens: int
    cost: Decimal


async def usage_by_day(
    session: ReadSession, tenant_id: UUID, model_id: UUID, start: datetime, end: datetime
) -> Sequence[DayOfUsage]:
    """Of executions and of what is done outside of them."""
    # The tenant is named, though the policy would see to it, to meet the index.
    calls, uses = (
        select(table.started_at, table.status, table.input_tokens, table.output_tokens, table.cost).where(
            table.tenant_id == tenant_id,
            table.model_id == model_id,
            table.started_at >= start,
            table.started_at < end,
        )
        for table in (CallRow, ModelUse)
    )
    spent = union_all(calls.where(CallRow.copied.is_(False)), uses).subquery()
    day = cast(func.timezone("UTC", spent.c.started_at), Date).label("day")
    statement = (
        select(
            day,
            func.count(),
            func.count().filter(spent.c.status == "failed"),
            func.sum(spent.c.input_tokens),
            func.sum(spent.c.output_tokens),
            func.sum(spent.c.cost),
        )
        .group_by(day)
        .order_by(day)
    )
    return [DayOfUsage(*row) for row in await session.execute(statement)]
