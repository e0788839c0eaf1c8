"""What a model record must hold to, beyond the form of the request."""

from collections.abc import Iterable

from pydantic import ValidationError

from services.models import repository
from services.models.errors import ModelInvalid
from services.models.schemas import ModelIn
from shared.database.session import WriteSession
from shared.database.tables.models import Model
from shared.llm.client import LanguageModels
from shared.llm.settings import API_KEY, KINDS, SETTINGS, ModelKind, Provider, ProviderSettings, base_url_of
from shared.net.policy import UrlRefused, parse_url
from shared.web.errors import ErrorDetail, validation_message


async def check(
    session: WriteSession, models: LanguageModels, wanted: ModelIn, current: Model | None
) -> ProviderSettings:
    """The settings, read by the provider's schema. Raises `ModelInvalid` with all that is wrong."""
    settings = read_settings(wanted)
    problems = [
        *_kind_problems(wanted),
        *_key_problems(wanted, settings, current),
        *_url_problems(models, settings),
        *await _fallback_problems(session, wanted.kind, settings, current),
    ]
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


def vectors_of(current: Model) -> tuple[object, ...]:
    """What an embedding model's vectors depend on: change it, and they say something else."""
    provider = Provider(current.provider)
    settings = SETTINGS[provider].model_validate(current.settings)
    return (provider, current.model, getattr(settings, "dimensions", None))


def vectors_wanted(wanted: ModelIn, settings: ProviderSettings) -> tuple[object, ...]:
    return (wanted.provider, wanted.model, getattr(settings, "dimensions", None))


def _kind_problems(wanted: ModelIn) -> Iterable[ErrorDetail]:
    offered = KINDS[wanted.provider]
    if wanted.kind not in offered:
        message = f"this provider has models of these kinds here: {', '.join(offered)}"
        yield ErrorDetail(field="kind", message=message, code="kind_not_offered")
    if wanted.is_default and wanted.kind is not ModelKind.CHAT:
        yield ErrorDetail(field="is_default", message="only a chat model can be the default", code="model_kind_wrong")


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
    session: WriteSession, kind: ModelKind, settings: ProviderSettings, current: Model | None
) -> list[ErrorDetail]:
    wanted = settings.fallback_model_ids
    if wanted and kind is not ModelKind.CHAT:
        # Vectors and scores of two models cannot be compared.
        message = "only a chat model can have others in its place"
        return [ErrorDetail(field="settings.fallback_model_ids", message=message, code="model_kind_wrong")]
    known = await repository.kinds(session, wanted) if wanted else {}
    if current is not None:
        known.pop(current.id, None)
    problems: list[ErrorDetail] = []
    for position, model_id in enumerate(wanted):
        field = f"settings.fallback_model_ids.{position}"
        if model_id not in known:
            problems.append(ErrorDetail(field=field, message="there is no such other model", code="unknown_model"))
        elif known[model_id] != ModelKind.CHAT:
            message = f"it is of kind {known[model_id]}, and a chat model is needed"
            problems.append(ErrorDetail(field=field, message=message, code="model_kind_wrong"))
    return problems
