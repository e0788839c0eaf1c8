from uuid import UUID

from shared.database.session import WriteSession
from shared.executions.cancel import cancel
from shared.executions.pause import pause, resume
from shared.executions.schemas import ExecutionOut
from shared.web.resources import Resources


async def stop(session: WriteSession, app: Resources, execution_id: UUID) -> ExecutionOut:
    return ExecutionOut.model_validate(await cancel(session, execution_id, app.redis))


async def hold(session: WriteSession, app: Resources, execution_id: UUID) -> ExecutionOut:
    return ExecutionOut.model_validate(await pause(session, execution_id, app.redis))


async def go_on(session: WriteSession, app: Resources, execution_id: UUID) -> ExecutionOut:
    return ExecutionOut.model_validate(await resume(session, execution_id, app.redis, app.doorbell.ring))
