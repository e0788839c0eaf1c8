"""How much a tenant may keep: the operator's limits, and lower ones that the tenant sets itself."""

from dataclasses import dataclass
from uuid import UUID

from services.knowledge_base.limits import repository
from services.knowledge_base.limits.errors import KnowledgeLimitReached, MoreThanAllowed
from services.knowledge_base.limits.schemas import Allowed, KnowledgeLimitsOut, KnowledgeLimitsPut
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession
from shared.kit.settings import Settings
from shared.web.errors import ErrorDetail

_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    max_file_bytes: int
    max_documents: int
    max_bytes: int


def operators(settings: Settings) -> Limits:
    return Limits(settings.upload_max_bytes, settings.knowledge_max_documents, settings.knowledge_max_bytes)


async def limits_of(session: ReadSession, settings: Settings, tenant_id: UUID) -> Limits:
    """What holds for the tenant."""
    allowed = operators(settings)
    own = await repository.find_own(session, tenant_id)
    if own is None:
        return allowed
    return Limits(
        max_file_bytes=_lower(own.max_file_bytes, allowed.max_file_bytes),
        max_documents=_lower(own.max_documents, allowed.max_documents),
        max_bytes=_lower(own.max_bytes, allowed.max_bytes),
    )


async def check_room(
    session: ReadSession, settings: Settings, tenant_id: UUID, *, more_bytes: int, adds_documents: bool
) -> None:
    """Whether so much more would fit now, before it is written. Raises `KnowledgeLimitReached`."""
    limits = await limits_of(session, settings, tenant_id)
    used = await repository.count_used(session, tenant_id)
    _require(limits, used.documents, used.bytes + more_bytes, adds_documents=adds_documents)


async def settle(session: WriteSession, settings: Settings, tenant_id: UUID, *, adds_documents: bool) -> None:
    """Whether what is kept, with what this transaction adds, is within the limits: raises `KnowledgeLimitReached`,
    and the transaction is to be rolled back.

    To be called last: from here to the commit the tenant's other transactions wait that add something too. Each counts
    what is committed, so that any number of them at once do not pass the limit together.
    """
    limits = await limits_of(session, settings, tenant_id)
    await repository.take_turn(session, tenant_id)
    used = await repository.count_used(session, tenant_id)
    _require(limits, used.documents, used.bytes, adds_documents=adds_documents)


async def read_limits(session: ReadSession, settings: Settings, tenant_id: UUID) -> KnowledgeLimitsOut:
    own = await repository.find_own(session, tenant_id)
    limits = await limits_of(session, settings, tenant_id)
    used = await repository.count_used(session, tenant_id)
    nothing = Allowed(max_file_bytes=None, max_documents=None, max_bytes=None)
    return KnowledgeLimitsOut(
        max_file_bytes=limits.max_file_bytes,
        max_files=settings.upload_max_files,
        max_documents=limits.max_documents,
        max_bytes=limits.max_bytes,
        own=nothing if own is None else Allowed.model_validate(own),
        operator=Allowed.model_validate(operators(settings)),
        documents=used.documents,
        bytes=used.bytes,
    )


async def put_limits(
    session: WriteSession, settings: Settings, caller: Principal, request: KnowledgeLimitsPut
) -> KnowledgeLimitsOut:
    allowed = Allowed.model_validate(operators(settings)).model_dump()
    details = [
        ErrorDetail(field=field, message=f"must be at most {allowed[field]}", code="more_than_allowed")
        for field, value in request.model_dump().items()
        if value is not None and value > allowed[field]
    ]
    if details:
        raise MoreThanAllowed(details=details)
    await repository.put_own(session, caller.tenant_id, {**request.model_dump(), "updated_by": caller.user_id})
    return await read_limits(session, settings, caller.tenant_id)


def _lower(own: int | None, allowed: int) -> int:
    return allowed if own is None else min(own, allowed)


def _require(limits: Limits, documents: int, stored: int, *, adds_documents: bool) -> None:
    if adds_documents and documents > limits.max_documents:
        raise KnowledgeLimitReached(f"No more than {limits.max_documents:,} documents may be kept.")
    if stored > limits.max_bytes:
        raise KnowledgeLimitReached(f"No more than {readable(limits.max_bytes)} of documents may be kept.")


def readable(size: int) -> str:
    return f"{size:,} bytes" if size < _MEGABYTE else f"{size / _MEGABYTE:,.0f} MB"
