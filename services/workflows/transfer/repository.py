from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import select

from shared.database.session import ReadSession
from shared.database.tables.knowledge import KnowledgeBase
from shared.database.tables.models import Model
from shared.database.tables.tools import Connection, Tool
from shared.llm.settings import ModelKind

_MOST_MODELS = 1000
_MOST_TOOLS = 1000


async def list_models(session: ReadSession) -> Sequence[Model]:
    """Those that agents can have: the default first, then the oldest."""
    statement = (
        select(Model)
        .where(Model.kind == ModelKind.CHAT)
        .order_by(Model.is_default.desc(), Model.id)
        .limit(_MOST_MODELS)
    )
    return (await session.scalars(statement)).all()


async def knowledge_bases_named(session: ReadSession, names: Iterable[str]) -> dict[str, UUID]:
    statement = select(KnowledgeBase.name, KnowledgeBase.id).where(KnowledgeBase.name.in_(list(names)))
    return dict((await session.execute(statement)).all())


async def connections_named(session: ReadSession, names: Iterable[str]) -> dict[tuple[str, str], UUID]:
    """By name and host."""
    statement = select(Connection).where(Connection.name.in_(list(names)))
    return {(row.name, row.host): row.id for row in await session.scalars(statement)}


async def tool_names(session: ReadSession) -> Sequence[str]:
    """Of the tenant's own tools."""
    return (await session.scalars(select(Tool.name).order_by(Tool.name).limit(_MOST_TOOLS))).all()
