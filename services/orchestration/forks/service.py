from uuid import UUID

from pydantic import BaseModel

from services.orchestration.forks.answers import ANSWERING
from services.orchestration.forks.schemas import ForkRequest, FromCall, RerunRequest, RetryRequest
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.database.session import WriteSession
from shared.executions.carrying import Given
from shared.executions.fork import Asked, Change, fork_execution, rerun_execution, retry_execution
from shared.executions.keeping import Place
from shared.executions.schemas import ExecutionOut
from shared.web.resources import Resources


async def retry(
    session: WriteSession, app: Resources, caller: Principal, execution_id: UUID, request: RetryRequest, key: str | None
) -> ExecutionOut:
    asked = _asked(execution_id, request, request.priority, key)
    return ExecutionOut.model_validate(await retry_execution(session, caller, asked, app.doorbell.ring))


async def rerun(
    session: WriteSession, app: Resources, caller: Principal, execution_id: UUID, request: RerunRequest, key: str | None
) -> ExecutionOut:
    asked = _asked(execution_id, request, request.priority, key)
    latest = request.version == "latest"
    row = await rerun_execution(session, caller, asked, app.doorbell.ring, inputs=request.inputs, latest=latest)
    return ExecutionOut.model_validate(row)


async def fork(
    session: WriteSession, app: Resources, caller: Principal, execution_id: UUID, request: ForkRequest, key: str | None
) -> ExecutionOut:
    _require(caller, request)
    begin = request.begin
    overrides = request.overrides
    row = await fork_execution(
        session,
        caller,
        _asked(execution_id, request, request.priority, key),
        app.doorbell.ring,
        begin=begin.call_id if isinstance(begin, FromCall) else Place(begin.node, begin.path),
        change=Change(
            inputs=request.inputs,
            nodes=overrides.nodes,
            agents={id_: change.given() for id_, change in overrides.agents.items()},
        ),
        answer=Given(request.answer) if request.has_answer else None,
        answering=ANSWERING,
    )
    return ExecutionOut.model_validate(row)


def _require(caller: Principal, request: ForkRequest) -> None:
    """A key that may only run what there is cannot change it on the way, nor answer in others' place."""
    needed = {
        Permission.WORKFLOWS_WRITE: request.overrides.nodes,
        Permission.AGENTS_WRITE: request.overrides.agents,
        Permission.INBOX_RESPOND: request.has_answer,
    }
    if any(wanted and not caller.may(permission) for permission, wanted in needed.items()):
        raise NotAllowed


def _asked(execution_id: UUID, request: BaseModel, priority: int | None, key: str | None) -> Asked:
    sent = request.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return Asked(execution_id, sent, priority, key)
