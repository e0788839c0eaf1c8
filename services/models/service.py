"""The models of a tenant: kept, found, changed, taken away."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from services.models import repository, validation
from services.models.errors import ModelInUse, ModelNameTaken, ModelNotFound
from services.models.repository import SORTINGS, Filters
from services.models.schemas import ModelIn, ModelOut, ModelSort, ModelUsage, ProviderOut, UsageDay, UsagePeriod
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession, is_unique_violation
from shared.database.tables.models import Model
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from shared.llm.client import LanguageModels
from shared.llm.prices import default_context_window, price_of
from shared.llm.records import api_key_place
from shared.llm.settings import API_KEY, KINDS, SETTINGS, TITLES, ModelKind, Provider, ProviderSettings
from shared.security.encryption import Cipher
from shared.web.errors import ErrorDetail, Invalid
from shared.web.pagination import Page, decode_cursor, page

_NAMED_USERS = 20
# Four characters of a short key would be too much of it.
_LONG_KEY = 16
_DEFAULT_PERIOD = timedelta(days=30)


def list_providers(models: LanguageModels) -> Page[ProviderOut]:
    items = [
        ProviderOut(
            provider=provider,
            title=TITLES[provider],
            kinds=list(KINDS[provider]),
            api_key=API_KEY[provider],
            available=provider is not Provider.LOCAL or models.has_local_model,
            settings_schema=settings.model_json_schema(),
        )
        for provider, settings in SETTINGS.items()
    ]
    return Page(items=items, next_cursor=None)


async def list_models(
    session: ReadSession, filters: Filters, sort: ModelSort, limit: int, cursor: str | None
) -> Page[ModelOut]:
    sorting = SORTINGS[sort]
    after = decode_cursor(cursor, sorting.read, UUID) if cursor else None
    rows = await repository.models(session, filters, sorting, after, limit + 1)
    return page(rows, limit, _out, lambda row: (getattr(row, sorting.column.key), row.id))


async def get(session: ReadSession, model_id: UUID) -> ModelOut:
    return _out(await find(session, model_id))


async def find(session: ReadSession, model_id: UUID) -> Model:
    model = await repository.get_model(session, model_id)
    if model is None:
        raise ModelNotFound
    return model


class ModelWriter:
    """Changes to records: what they need beside a session."""

    def __init__(self, cipher: Cipher, models: LanguageModels) -> None:
        self._cipher = cipher
        self._models = models

    async def create(self, session: WriteSession, caller: Principal, wanted: ModelIn) -> ModelOut:
        settings = await validation.check(session, self._models, wanted, None)
        model = Model(id=new_id(), tenant_id=caller.tenant_id, created_by=caller.user_id)
        session.add(model)
        return await self._save(session, model, wanted, settings)

    async def update(self, session: WriteSession, model_id: UUID, wanted: ModelIn) -> ModelOut:
        model = await repository.lock_model(session, model_id)
        if model is None:
            raise ModelNotFound
        settings = await validation.check(session, self._models, wanted, model)
        await _require_unchanged(session, model, wanted, settings)
        model.version += 1
        return await self._save(session, model, wanted, settings)

    async def _save(self, session: WriteSession, model: Model, wanted: ModelIn, settings: ProviderSettings) -> ModelOut:
        for column, value in _columns(wanted, settings).items():
            setattr(model, column, value)
        if "api_key" in wanted.model_fields_set or API_KEY[wanted.provider] == "none":
            self._set_key(model, wanted)
        try:
            await session.flush()
        except IntegrityError as error:
            if is_unique_violation(error, "uq_models_tenant_id_name"):
                raise ModelNameTaken from error
            raise
        if model.is_default:
            await repository.unset_default(session, model.id)
        await session.refresh(model)
        return _out(model)

    def _set_key(self, model: Model, wanted: ModelIn) -> None:
        key = wanted.api_key.get_secret_value() if wanted.api_key else None
        model.api_key = self._cipher.seal(key, api_key_place(model.tenant_id, model.id)) if key else None
        model.api_key_last4 = key[-4:] if key and len(key) >= _LONG_KEY else None


async def delete(session: WriteSession, model_id: UUID) -> None:
    model = await repository.lock_model(session, model_id)
    if model is None:
        raise ModelNotFound
    if users := await _users(session, model_id):
        raise ModelInUse(details=users)
    await session.delete(model)


async def _require_unchanged(session: WriteSession, model: Model, wanted: ModelIn, settings: ProviderSettings) -> None:
    """A model that is in use stays of its kind, and one that knowledge bases are indexed by gives the same vectors:
    raises `ModelInUse`. Who wants another one makes another record, and has them indexed by that."""
    problems: list[ErrorDetail] = []
    if wanted.kind != model.kind:
        problems += await _users(session, model.id)
    elif model.kind == ModelKind.EMBEDDING and validation.vectors_of(model) != validation.vectors_wanted(
        wanted, settings
    ):
        problems += await _bases(session, model.id)
    if problems:
        raise ModelInUse(details=problems)


async def _bases(session: ReadSession, model_id: UUID) -> list[ErrorDetail]:
    found = await repository.bases_indexed_by(session, model_id, _NAMED_USERS)
    return [ErrorDetail(field=f"knowledge_bases.{id_}", message=name, code="indexed_by_model") for id_, name in found]


async def _users(session: ReadSession, model_id: UUID) -> list[ErrorDetail]:
    users = [
        *(("agents", "uses_model", *user) for user in await repository.agents_using(session, model_id, _NAMED_USERS)),
        *(
            ("workflows", "uses_model", *user)
            for user in await repository.workflows_using(session, model_id, _NAMED_USERS)
        ),
        *(
            ("models", "falls_back_on_model", *user)
            for user in await repository.models_falling_back_on(session, model_id, _NAMED_USERS)
        ),
    ]
    named = [ErrorDetail(field=f"{kind}.{id_}", message=name, code=code) for kind, code, id_, name in users]
    return [*named, *await _bases(session, model_id)]


async def usage(session: ReadSession, model_id: UUID, period: UsagePeriod) -> ModelUsage:
    model = await find(session, model_id)
    end = period.end or utcnow()
    start = period.start or end - _DEFAULT_PERIOD
    if start >= end:
        raise Invalid(details=[ErrorDetail(field="from", message="must be before `to`", code="range")])
    found = await repository.usage_by_day(session, model.tenant_id, model_id, start, end)
    days = [UsageDay.model_validate(day) for day in found]
    return ModelUsage(
        model_id=model_id,
        from_=start,
        to=end,
        calls=sum(day.calls for day in days),
        failed_calls=sum(day.failed_calls for day in days),
        input_tokens=sum(day.input_tokens for day in days),
        output_tokens=sum(day.output_tokens for day in days),
        cost=sum((day.cost for day in found), start=Decimal(0)),
        days=days,
    )


def _columns(wanted: ModelIn, settings: ProviderSettings) -> dict[str, Any]:
    columns = wanted.model_dump(exclude={"api_key", "settings"})
    # Only what was said: defaults may become better ones.
    columns["settings"] = settings.model_dump(mode="json", exclude_unset=True)
    if wanted.context_window is None:
        columns["context_window"] = default_context_window(wanted.provider, wanted.model, wanted.kind)
    return columns


def _out(model: Model) -> ModelOut:
    provider = Provider(model.provider)
    price = price_of(provider, model.model, model.input_price, model.output_price)
    columns = {name: getattr(model, name) for name in ModelOut.model_fields if hasattr(model, name)}
    columns |= {
        "settings": SETTINGS[provider].model_validate(model.settings).model_dump(mode="json"),
        "has_api_key": model.api_key is not None,
        "effective_input_price": price.input,
        "effective_output_price": price.output,
    }
    return ModelOut(**columns)
