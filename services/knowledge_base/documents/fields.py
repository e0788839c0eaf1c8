"""What people say of a document: its tags, who may find it, what opens it."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from pydantic import SecretStr, ValidationError

from services.knowledge_base.documents import repository
from services.knowledge_base.documents.schemas import UploadFields
from shared.database.session import ReadSession
from shared.database.tables.knowledge import Document
from shared.security.encryption import Cipher, Place
from shared.web.errors import ErrorDetail, Invalid, validation_message

_LISTS = frozenset({"tags", "agent_ids"})
UPLOAD_FIELDS = frozenset(UploadFields.model_fields)


def parse_fields(given: Mapping[str, list[str]]) -> UploadFields:
    """From a form, where everything is text and a list is a field that comes again. Raises `Invalid`."""
    values = {name: texts if name in _LISTS else texts[-1] for name, texts in given.items()}
    try:
        return UploadFields.model_validate(values)
    except ValidationError as error:
        details = [
            ErrorDetail(
                field=".".join(map(str, fault["loc"])), message=validation_message({**fault}), code=fault["type"]
            )
            for fault in error.errors(include_input=False, include_url=False)
        ]
    raise Invalid(details=details)


async def require_agents(session: ReadSession, agent_ids: Sequence[UUID]) -> None:
    """Raises `Invalid` if one of them is not the tenant's."""
    known = await repository.find_agents(session, agent_ids) if agent_ids else set[UUID]()
    details = [
        ErrorDetail(field=f"agent_ids.{index}", message="there is no such agent", code="agent_unknown")
        for index, agent_id in enumerate(agent_ids)
        if agent_id not in known
    ]
    if details:
        raise Invalid(details=details)


def place_of_password(tenant_id: UUID, document_id: UUID) -> Place:
    return Place("documents", "password", document_id, tenant_id)


def seal(cipher: Cipher, password: SecretStr | None, tenant_id: UUID, document_id: UUID) -> bytes | None:
    if password is None:
        return None
    return cipher.seal(password.get_secret_value(), place_of_password(tenant_id, document_id))


def open_password(cipher: Cipher, document: Document) -> str | None:
    """Raises `CannotDecrypt`."""
    if document.password is None:
        return None
    return cipher.open(document.password, place_of_password(document.tenant_id, document.id))
