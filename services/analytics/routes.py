from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from services.analytics import service
from services.analytics.csv_export import IN_BOTH_FORMS, csv_response, wants_csv
from services.analytics.period import InPeriod
from services.analytics.schemas import (
    Grouping,
    ResourceUsage,
    Summary,
    Usage,
    WorkflowPerformance,
    WorkflowPerformanceReport,
)
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.web.dependencies import ReadDb, requires
from shared.web.errors import responses

router = APIRouter(tags=["analytics"])

Reader = Annotated[Principal, Depends(requires(Permission.ANALYTICS_READ))]
Most = Annotated[int, Query(ge=1, le=200, description="How many items at most.")]


@router.get("/analytics/summary", responses=responses(NotAllowed))
async def summary(session: ReadDb, caller: Reader, period: InPeriod) -> Summary:
    """The key figures of a period."""
    return await service.summary(session, period)


@router.get(
    "/analytics/workflow-performance",
    response_model=WorkflowPerformanceReport,
    responses=IN_BOTH_FORMS | responses(NotAllowed),
)
async def workflow_performance(
    request: Request, session: ReadDb, caller: Reader, period: InPeriod, limit: Most = 50
) -> WorkflowPerformanceReport | Response:
    """How each workflow that ran in the period did."""
    report = await service.workflow_performance(session, period, limit)
    return csv_response("workflow-performance", WorkflowPerformance, report.items) if wants_csv(request) else report


@router.get("/analytics/resource-usage", response_model=ResourceUsage, responses=IN_BOTH_FORMS | responses(NotAllowed))
async def resource_usage(
    request: Request,
    session: ReadDb,
    caller: Reader,
    period: InPeriod,
    group_by: Grouping = Grouping.MODEL,
    limit: Most = 50,
) -> ResourceUsage | Response:
    """What tokens and money went where."""
    report = await service.resource_usage(session, period, group_by, limit)
    return csv_response("resource-usage", Usage, report.items) if wants_csv(request) else report
