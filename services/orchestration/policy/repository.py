from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from shared.database.session import ReadSession, WriteSession
from shared.database.tables.auth import Tenant
from shared.database.tables.retention import ExecutionPolicyRow


async def find_policy(session: ReadSession, tenant_id: UUID) -> ExecutionPolicyRow | None:
    return await session.get(ExecutionPolicyRow, tenant_id)


async def running_allowed(session: ReadSession, tenant_id: UUID) -> int:
    """The operator's limit."""
    return (await session.scalars(select(Tenant.max_running).where(Tenant.id == tenant_id))).one()


async def put_policy(session: WriteSession, tenant_id: UUID, values: dict[str, Any]) -> None:
    """Two who put at the same moment both succeed, and the later one stands."""
    statement = insert(ExecutionPolicyRow).values(tenant_id=tenant_id, **values)
    changes = {**values, "updated_at": func.now()}
    await session.execute(statement.on_conflict_do_update(index_elements=["tenant_id"], set_=changes))
