from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, status

from services.models.budgets import service
from services.models.budgets.errors import BudgetInvalid, BudgetNameTaken, BudgetNotFound
from services.models.budgets.repository import Filters
from services.models.budgets.schemas import BudgetIn, BudgetOut, BudgetScope, BudgetSort
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.web.dependencies import ReadDb, WriteDb, requires
from shared.web.errors import responses
from shared.web.pagination import Cursor, Limit, Page
from shared.web.schemas import Text

router = APIRouter(tags=["budgets"])

Reader = Annotated[Principal, Depends(requires(Permission.BUDGETS_READ))]
Writer = Annotated[Principal, Depends(requires(Permission.BUDGETS_WRITE))]


def _filters(
    q: Annotated[Text | None, Query(max_length=200, description="In the name.")] = None,
    scope: BudgetScope | None = None,
) -> Filters:
    return Filters(q=q, scope=scope)


@router.get("/budgets", responses=responses(NotAllowed))
async def list_budgets(
    session: ReadDb,
    caller: Reader,
    filters: Annotated[Filters, Depends(_filters)],
    sort: BudgetSort = BudgetSort.NEWEST,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[BudgetOut]:
    return await service.list_budgets(session, filters, sort, limit, cursor)


@router.post(
    "/budgets", status_code=status.HTTP_201_CREATED, responses=responses(NotAllowed, BudgetInvalid, BudgetNameTaken)
)
async def create_budget(request: BudgetIn, session: WriteDb, caller: Writer) -> BudgetOut:
    """It holds for calls made from a few seconds later on, and counts from now."""
    return await service.create(session, caller, request)


@router.get("/budgets/{budget_id}", responses=responses(NotAllowed, BudgetNotFound))
async def get_budget(budget_id: UUID, session: ReadDb, caller: Reader) -> BudgetOut:
    return await service.get(session, budget_id)


@router.put("/budgets/{budget_id}", responses=responses(NotAllowed, BudgetNotFound, BudgetInvalid, BudgetNameTaken))
async def update_budget(budget_id: UUID, request: BudgetIn, session: WriteDb, caller: Writer) -> BudgetOut:
    return await service.update(session, budget_id, request)


@router.delete(
    "/budgets/{budget_id}", status_code=status.HTTP_204_NO_CONTENT, responses=responses(NotAllowed, BudgetNotFound)
)
async def delete_budget(budget_id: UUID, session: WriteDb, caller: Writer) -> None:
    await service.delete(session, budget_id)
