from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, status

from services.tools.connections import service
from services.tools.connections.errors import (
    ConnectionInUse,
    ConnectionInvalid,
    ConnectionNameTaken,
    ConnectionNotFound,
)
from services.tools.connections.repository import Filters
from services.tools.connections.schemas import ConnectionIn, ConnectionOut, ConnectionSort
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.tools.connections import ConnectionKind
from shared.web.dependencies import App, ReadDb, WriteDb, requires
from shared.web.errors import responses
from shared.web.pagination import Cursor, Limit, Page
from shared.web.schemas import Text

router = APIRouter(tags=["connections"])

Reader = Annotated[Principal, Depends(requires(Permission.CONNECTIONS_READ))]
Writer = Annotated[Principal, Depends(requires(Permission.CONNECTIONS_WRITE))]


def _filters(
    q: Annotated[Text | None, Query(max_length=200, description="In name and host.")] = None,
    kind: ConnectionKind | None = None,
) -> Filters:
    return Filters(q=q, kind=kind)


@router.get("/connections", responses=responses(NotAllowed))
async def list_connections(
    session: ReadDb,
    caller: Reader,
    filters: Annotated[Filters, Depends(_filters)],
    sort: ConnectionSort = ConnectionSort.NEWEST,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ConnectionOut]:
    return await service.list_connections(session, filters, sort, limit, cursor)


@router.post(
    "/connections",
    status_code=status.HTTP_201_CREATED,
    responses=responses(NotAllowed, ConnectionInvalid, ConnectionNameTaken),
)
async def create_connection(request: ConnectionIn, session: WriteDb, app: App, caller: Writer) -> ConnectionOut:
    """Keeps a credential that tools and `http` nodes may use. Its secret is never shown again."""
    return await service.create(session, app.cipher, caller, request)


@router.get("/connections/{connection_id}", responses=responses(NotAllowed, ConnectionNotFound))
async def get_connection(connection_id: UUID, session: ReadDb, caller: Reader) -> ConnectionOut:
    return await service.get(session, connection_id)


@router.put(
    "/connections/{connection_id}",
    responses=responses(NotAllowed, ConnectionNotFound, ConnectionInvalid, ConnectionNameTaken),
)
async def update_connection(
    connection_id: UUID, request: ConnectionIn, session: WriteDb, app: App, caller: Writer
) -> ConnectionOut:
    """Executions that run use the changed credential from their next call on."""
    return await service.update(session, app.cipher, connection_id, request)


@router.delete(
    "/connections/{connection_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(NotAllowed, ConnectionNotFound, ConnectionInUse),
)
async def delete_connection(connection_id: UUID, session: WriteDb, caller: Writer) -> None:
    await service.delete(session, connection_id)
