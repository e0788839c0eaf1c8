from typing import Annotated

from fastapi import APIRouter, Depends

from services.orchestration.policy import service
from services.orchestration.policy.errors import MoreThanAllowed
from services.orchestration.policy.schemas import ExecutionPolicyOut, ExecutionPolicyPut
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.web.dependencies import ReadDb, WriteDb, requires
from shared.web.errors import responses

router = APIRouter(tags=["executions"])

Reader = Annotated[Principal, Depends(requires(Permission.EXECUTIONS_READ))]
Writer = Annotated[Principal, Depends(requires(Permission.EXECUTION_POLICY_WRITE))]


@router.get("/execution-policy", responses=responses(NotAllowed))
async def get_execution_policy(session: ReadDb, caller: Reader) -> ExecutionPolicyOut:
    """The tenant's own, or what holds for whoever has none."""
    return await service.read_policy(session, caller.tenant_id)


@router.put("/execution-policy", responses=responses(NotAllowed, MoreThanAllowed))
async def put_execution_policy(request: ExecutionPolicyPut, session: WriteDb, caller: Writer) -> ExecutionPolicyOut:
    """Takes effect at the next claim, and with the next pruning within minutes. What was removed does not come back
    when the days are raised again."""
    return await service.put_policy(session, caller, request)
