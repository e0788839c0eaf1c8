"""What a model record must hold to, beyond the form of the request."""

from collections.abc import Iterable
from uuid import UUID

from pydantic import ValidationError

from services.models import repository
from services.models.errors import ModelInvalid
from services.models.schemas import ModelIn
from shared.database.session import WriteSession
from shared.database.tables.models import Model
from shared.llm.client import LanguageModels
from shared.llm.settings import API_KEY, SETTINGS, Provider, ProviderSettings, base_url_of
from shared.net.policy import UrlRefused, parse_url
from shared.web.errors import ErrorDetail, validation_message


async def check(
    session: WriteSession, models: LanguageModels, wanted: ModelIn, current: Model | None
) -> ProviderSettings:
    """The settings, read by the provider's schema. Raises `ModelInvalid` with all that is wrong."""
    settings = read_settings(wanted)
    problems = [*_key_problems(wanted, settings, current), *_url_problems(models, settings)]
    problems += await _fallback_problems(session, settings, current)
    if problems:
        raise ModelInvalid(details=problems)
    return settings


def read_settings(wanted: ModelIn) -> ProviderSettings:
    try:
        return SETTINGS[wanted.provider].model_validate(wanted.settings)
    except ValidationError as error:
        details = [
            ErrorDetail(field=_field(item["loc"]), message=validation_message(item), code=item["type"])
            for item in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise ModelInvalid(details=details) from None


def _field(location: Iterable[int | str]) -> str:
    return ".".join(["settings", *map(str, location)])


def _key_problems(wanted: ModelIn, settings: ProviderSettings, current: Model | None) -> Iterable[ErrorDetail]:
    rule = API_KEY[wanted.provider]
    kept = current is not None and current.api_key is not None and "api_key" not in wanted.model_fields_set
    if rule == "none" and wanted.api_key is not None:
        yield ErrorDetail(field="api_key", message="this provider takes no key", code="not_allowed")
    if rule == "required" and wanted.api_key is None and not kept:
        yield ErrorDetail(field="api_key", message="this provider needs a key", code="missing")
    # A key belongs to where it was entered for. Whoever may change the address must not get it sent there.
    if rule != "none" and kept and current is not None and _destination(current) != _origin(wanted.provider, settings):
        message = "the key was entered for another address: enter it again, or take it away with null"
        yield ErrorDetail(field="api_key", message=message, code="entered_for_another_address")


def _destination(current: Model) -> tuple[object, ...]:
    provider = Provider(current.provider)
    return _origin(provider, SETTINGS[provider].model_validate(current.settings))


def _origin(provider: Provider, settings: ProviderSettings) -> tuple[object, ...]:
    url = base_url_of(settings)
    return (provider, parse_url(url) if url else None)


def _url_problems(models: LanguageModels, settings: ProviderSettings) -> Iterable[ErrorDetail]:
    url = base_url_of(settings)
    if url is None:
        return
    try:
        models.check_url(url)
    except UrlRefused as error:
        yield ErrorDetail(field="settings.base_url", message=str(error), code="address_not_allowed")


async def _fallback_problems(
    session: WriteSession, settings: ProviderSettings, current: Model | None
) -> list[ErrorDetail]:
    wanted = settings.fallback_model_ids
    known: set[UUID] = await repository.existing(session, wanted) if wanted else set()
    if current is not None:
        known.discard(current.id)
    unknown = [position for position, model_id in enumerate(wanted) if model_id not in known]
    fields = [f"settings.fallback_model_ids.{position}" for position in unknown]
    return [ErrorDetail(field=field, message="there is no such other model", code="unknown_model") for field in fields]
