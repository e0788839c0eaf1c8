from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, status

from services.models import service, trial
from services.models.errors import ModelInUse, ModelInvalid, ModelNameTaken, ModelNotFound
from services.models.repository import Filters
from services.models.schemas import ModelIn, ModelOut, ModelSort, ModelTested, ModelUsage, ProviderOut, UsagePeriod
from services.models.service import ModelWriter
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.llm.refusals import BudgetExceeded, ModelKeyUnreadable, ProviderRefused, ProviderUnavailable
from shared.llm.settings import ModelKind, Provider
from shared.web.dependencies import App, ReadDb, WriteDb, requires
from shared.web.errors import responses
from shared.web.pagination import Cursor, Limit, Page
from shared.web.schemas import Text

router = APIRouter(tags=["models"])

Reader = Annotated[Principal, Depends(requires(Permission.MODELS_READ))]
Writer = Annotated[Principal, Depends(requires(Permission.MODELS_WRITE))]
# A call costs money, as an execution does.
Runner = Annotated[Principal, Depends(requires(Permission.EXECUTIONS_RUN))]


def _filters(
    q: Annotated[Text | None, Query(max_length=200, description="In name and model.")] = None,
    provider: Provider | None = None,
    kind: ModelKind | None = None,
) -> Filters:
    return Filters(q=q, provider=provider, kind=kind)


def _writer(app: App) -> ModelWriter:
    return ModelWriter(app.cipher, app.models)


Records = Annotated[ModelWriter, Depends(_writer)]


@router.get("/models", responses=responses(NotAllowed))
async def list_models(
    session: ReadDb,
    caller: Reader,
    filters: Annotated[Filters, Depends(_filters)],
    sort: ModelSort = ModelSort.NEWEST,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ModelOut]:
    return await service.list_models(session, filters, sort, limit, cursor)


@router.post(
    "/models", status_code=status.HTTP_201_CREATED, responses=responses(NotAllowed, ModelInvalid, ModelNameTaken)
)
async def create_model(request: ModelIn, session: WriteDb, caller: Writer, records: Records) -> ModelOut:
    return await records.create(session, caller, request)


@router.get("/models/providers", responses=responses(NotAllowed))
async def list_providers(app: App, caller: Reader) -> Page[ProviderOut]:
    """Who models can be had from, and what can be set for a model of each."""
    return service.list_providers(app.models)


@router.get("/models/{model_id}", responses=responses(NotAllowed, ModelNotFound))
async def get_model(model_id: UUID, session: ReadDb, caller: Reader) -> ModelOut:
    return await service.get(session, model_id)


@router.put(
    "/models/{model_id}", responses=responses(NotAllowed, ModelNotFound, ModelInvalid, ModelNameTaken, ModelInUse)
)
async def update_model(
    model_id: UUID, request: ModelIn, session: WriteDb, caller: Writer, records: Records
) -> ModelOut:
    """Executions that run go over to the changed record within seconds. What would make another model of one that is
    in use (its kind, or the vectors of one that knowledge bases are indexed by) is refused."""
    return await records.update(session, model_id, request)


@router.delete(
    "/models/{model_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(NotAllowed, ModelNotFound, ModelInUse),
)
async def delete_model(model_id: UUID, session: WriteDb, caller: Writer) -> None:
    await service.delete(session, model_id)


@router.post(
    "/models/{model_id}/test",
    responses=responses(
        NotAllowed, ModelNotFound, ModelKeyUnreadable, BudgetExceeded, ProviderRefused, ProviderUnavailable
    ),
)
async def try_model(model_id: UUID, app: App, caller: Runner) -> ModelTested:
    """Asks the model once, for a sentence, two embeddings or a ranking: what it answers, or what the provider says is
    wrong. What that costs counts against budgets and in the model's usage."""
    return await trial.run(app, caller, model_id)


@router.get("/models/{model_id}/usage", responses=responses(NotAllowed, ModelNotFound))
async def get_model_usage(
    model_id: UUID, session: ReadDb, caller: Reader, period: Annotated[UsagePeriod, Query()]
) -> ModelUsage:
    """The last 30 days, unless told otherwise."""
    return await service.usage(session, model_id, period)
