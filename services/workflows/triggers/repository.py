from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import LargeBinary, Row, bindparam, delete, select, text

from services.workflows.triggers.errors import TriggerNotFound
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.ledger import ExecutionRow
from shared.database.tables.triggers import Trigger

_FIND_WEBHOOK = text("SELECT * FROM trigger_find_webhook(:hash)").bindparams(bindparam("hash", type_=LargeBinary))


async def list_triggers(
    session: ReadSession, workflow_id: UUID, *, limit: int, before: UUID | None
) -> Sequence[Trigger]:
    """The newest first."""
    statement = select(Trigger).where(Trigger.workflow_id == workflow_id).order_by(Trigger.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(Trigger.id < before)
    return (await session.scalars(statement)).all()


async def get_trigger(session: ReadSession, trigger_id: UUID) -> Trigger:
    trigger = await session.get(Trigger, trigger_id)
    if trigger is None:
        raise TriggerNotFound
    return trigger


async def lock_trigger(session: WriteSession, trigger_id: UUID) -> Trigger:
    """It does not fire, and nobody else changes it, until this transaction ends."""
    statement = select(Trigger).where(Trigger.id == trigger_id).with_for_update(key_share=True)
    trigger = await session.scalar(statement)
    if trigger is None:
        raise TriggerNotFound
    return trigger


async def delete_trigger(session: WriteSession, trigger_id: UUID) -> None:
    """Its executions stay."""
    gone = await session.execute(delete(Trigger).where(Trigger.id == trigger_id).returning(Trigger.id))
    if gone.one_or_none() is None:
        raise TriggerNotFound


async def find_webhook(session: ReadSession, token_hash: bytes) -> Row[tuple[object, ...]] | None:
    """Whosever it is: what a delivery to this URL is proved by."""
    return (await session.execute(_FIND_WEBHOOK, {"hash": token_hash})).one_or_none()


async def find_started(session: ReadSession, key: str) -> ExecutionRow | None:
    return await session.scalar(select(ExecutionRow).where(ExecutionRow.idempotency_key == key))
