"""What routes ask for: the caller, a permission, a session of the caller's tenant.

All of them are coroutines, though few wait for anything: FastAPI runs any other kind in a thread, every time.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from shared.auth.errors import NotAllowed, NotAuthenticated
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession
from shared.web.resources import Resources, get_resources


async def get_principal(connection: HTTPConnection) -> Principal:
    principal = getattr(connection.state, "principal", None)
    if principal is None:
        raise NotAuthenticated
    return principal


App = Annotated[Resources, Depends(get_resources)]
Caller = Annotated[Principal, Depends(get_principal)]


async def get_person(principal: Caller) -> Principal:
    """The caller, if he signed in himself; 403 for an API key, which acts for a person but is not one."""
    if principal.session_id is None:
        raise NotAllowed("An API key cannot do this: sign in.")
    return principal


Person = Annotated[Principal, Depends(get_person)]


def requires(permission: Permission) -> Callable[[Principal], Awaitable[Principal]]:
    """`Annotated[Principal, Depends(requires(Permission.X))]`: the caller, or 403."""

    async def check(principal: Caller) -> Principal:
        if not principal.may(permission):
            raise NotAllowed
        return principal

    return check


async def _read_session(app: App, principal: Caller) -> AsyncGenerator[ReadSession]:
    async with app.database.read(principal.scope) as session:
        yield session


async def _write_session(app: App, principal: Caller) -> AsyncGenerator[WriteSession]:
    async with app.database.write(principal.scope) as session:
        yield session


# scope="function": the commit happens before the response is sent, not after it.
ReadDb = Annotated[ReadSession, Depends(_read_session, scope="function")]
WriteDb = Annotated[WriteSession, Depends(_write_session, scope="function")]
