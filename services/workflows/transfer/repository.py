from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import select

from shared.database.session import ReadSession
from shared.database.tables.knowledge import KnowledgeBase
from shared.database.tables.models import Model

_MOST_MODELS = 1000


async def list_models(session: ReadSession) -> Sequence[Model]:
    """The default first, then the oldest."""
    statement = select(Model).order_by(Model.is_default.desc(), Model.id).limit(_MOST_MODELS)
    return (await session.scalars(statement)).all()


async def knowledge_bases_named(session: ReadSession, names: Iterable[str]) -> dict[str, UUID]:
    statement = select(KnowledgeBase.name, KnowledgeBase.id).where(KnowledgeBase.name.in_(list(names)))
    return dict((await session.execute(statement)).all())
