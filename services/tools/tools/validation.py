"""Whether a tool could be used as it is defined."""

from collections.abc import Iterator

from services.tools.tools import repository
from services.tools.tools.errors import ToolInvalid
from services.tools.tools.schemas import ToolIn
from shared.database.session import WriteSession
from shared.database.tables.tools import Connection
from shared.net.policy import EgressPolicy, Endpoint, UrlRefused
from shared.tools.connections import is_bound_to
from shared.tools.definitions import problems_of
from shared.web.errors import ErrorDetail


async def check(session: WriteSession, policy: EgressPolicy, wanted: ToolIn) -> None:
    """Raises `ToolInvalid` with all that is wrong. The connection stays there until the transaction ends."""
    problems = [
        ErrorDetail(field=field, message=message, code="tool_definition")
        for field, message in problems_of(wanted.parameters, wanted.config)
    ]
    try:
        endpoint = constant_endpoint(policy, wanted.config.url)
    except UrlRefused as refused:
        problems.append(ErrorDetail(field="config.url", message=str(refused), code="address_not_allowed"))
        endpoint = None
    problems += _connection_problems(wanted, await _connection(session, wanted), endpoint)
    if problems:
        raise ToolInvalid(details=problems)


def constant_endpoint(policy: EgressPolicy, url: str) -> Endpoint | None:
    """Where the request goes whatever the arguments are, if that can be seen. Raises `UrlRefused`."""
    written, placeholder, _ = url.strip().partition("{{")
    scheme, separator, rest = written.partition("://")
    host = rest.replace("?", "/").replace("#", "/").partition("/")
    if not separator or (placeholder and not host[1]):
        if placeholder:
            return None
        raise UrlRefused("the URL must start with http:// or https:// and name a host")
    return policy.check_url(f"{scheme}://{host[0]}/")


async def _connection(session: WriteSession, wanted: ToolIn) -> Connection | None:
    connection_id = wanted.config.connection_id
    return None if connection_id is None else await repository.hold_connection(session, connection_id)


def _connection_problems(
    wanted: ToolIn, connection: Connection | None, endpoint: Endpoint | None
) -> Iterator[ErrorDetail]:
    field = "config.connection_id"
    if connection is None:
        if wanted.config.connection_id is not None:
            yield ErrorDetail(field=field, message="there is no such connection", code="connection_unknown")
    elif endpoint is not None and not is_bound_to(connection.host, endpoint):
        message = f"{connection.name} is for {connection.host}, and the URL leads to {endpoint.host}:{endpoint.port}"
        yield ErrorDetail(field=field, message=message, code="connection_bound")
