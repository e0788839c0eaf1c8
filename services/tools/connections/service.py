"""Credentials of a tenant, each bound to one host."""

from uuid import UUID

from sqlalchemy.exc import IntegrityError

from services.tools.connections import repository
from services.tools.connections.errors import (
    ConnectionInUse,
    ConnectionInvalid,
    ConnectionNameTaken,
    ConnectionNotFound,
)
from services.tools.connections.repository import SORTINGS, Filters
from services.tools.connections.schemas import ConnectionIn, ConnectionOut, ConnectionSort
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession, is_unique_violation
from shared.database.tables.tools import Connection
from shared.kit.ids import new_id
from shared.security.encryption import Cipher
from shared.tools.connections import ConnectionKind, secret_place
from shared.web.errors import ErrorDetail
from shared.web.pagination import Page, decode_cursor, page

_NAMED_USERS = 20


async def list_connections(
    session: ReadSession, filters: Filters, sort: ConnectionSort, limit: int, cursor: str | None
) -> Page[ConnectionOut]:
    sorting = SORTINGS[sort]
    after = decode_cursor(cursor, sorting.read, UUID) if cursor else None
    rows = await repository.connections(session, filters, sorting, after, limit + 1)
    return page(rows, limit, ConnectionOut.model_validate, lambda row: (getattr(row, sorting.column.key), row.id))


async def get(session: ReadSession, connection_id: UUID) -> ConnectionOut:
    connection = await repository.get_connection(session, connection_id)
    if connection is None:
        raise ConnectionNotFound
    return ConnectionOut.model_validate(connection)


async def create(session: WriteSession, cipher: Cipher, caller: Principal, wanted: ConnectionIn) -> ConnectionOut:
    if wanted.secret is None:
        raise _secret_needed("a connection needs a secret", "missing")
    connection = Connection(id=new_id(), tenant_id=caller.tenant_id, created_by=caller.user_id)
    session.add(connection)
    return await _save(session, cipher, connection, wanted)


async def update(session: WriteSession, cipher: Cipher, connection_id: UUID, wanted: ConnectionIn) -> ConnectionOut:
    connection = await repository.lock_connection(session, connection_id)
    if connection is None:
        raise ConnectionNotFound
    if wanted.secret is None:
        # Whoever may change the host must not get the secret sent there.
        if wanted.host != connection.host:
            raise _secret_needed("it was entered for another host: enter it again", "entered_for_another_host")
        if ConnectionKind(connection.kind) is not wanted.kind:
            raise _secret_needed("it was entered for another kind: enter it again", "entered_for_another_kind")
    return await _save(session, cipher, connection, wanted)


async def delete(session: WriteSession, connection_id: UUID) -> None:
    connection = await repository.lock_connection(session, connection_id)
    if connection is None:
        raise ConnectionNotFound
    users = [
        *(("tools", *user) for user in await repository.tools_using(session, connection_id, _NAMED_USERS)),
        *(("workflows", *user) for user in await repository.workflows_using(session, connection_id, _NAMED_USERS)),
    ]
    if users:
        raise ConnectionInUse(
            details=[
                ErrorDetail(field=f"{kind}.{id_}", message=name, code="uses_connection") for kind, id_, name in users
            ]
        )
    await session.delete(connection)


async def _save(session: WriteSession, cipher: Cipher, connection: Connection, wanted: ConnectionIn) -> ConnectionOut:
    connection.name = wanted.name
    connection.host = wanted.host
    connection.kind = wanted.kind.value
    connection.header_name = wanted.header_name
    if wanted.secret is not None:
        place = secret_place(connection.tenant_id, connection.id)
        connection.secret = cipher.seal(wanted.secret.get_secret_value(), place)
    try:
        await session.flush()
    except IntegrityError as error:
        if is_unique_violation(error, "uq_connections_tenant_id_name"):
            raise ConnectionNameTaken from error
        raise
    await session.refresh(connection)
    return ConnectionOut.model_validate(connection)


def _secret_needed(message: str, code: str) -> ConnectionInvalid:
    return ConnectionInvalid(details=[ErrorDetail(field="secret", message=message, code=code)])
