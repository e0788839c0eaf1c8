"""Credentials of a tenant's connections: opened for one request, and sent to the host they are bound to alone."""

import base64
import re
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote
from uuid import UUID

from shared.database.tables.tools import Connection
from shared.kit.json import dumps
from shared.net.policy import Endpoint, UrlRefused, parse_url
from shared.security.encryption import Cipher, Place

_HOST = re.compile(r"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_STANDS_FOR_IT = "[secret]"
# A shorter one would take half of every text with it.
_SHORTEST_HIDDEN = 6


class ConnectionKind(StrEnum):
    """How the credential is sent. The secret of `basic` reads `user:password`."""

    BEARER = "bearer"
    BASIC = "basic"
    HEADER = "header"


def secret_place(tenant_id: UUID, connection_id: UUID) -> Place:
    """What a secret is bound to: moved to another row or tenant it does not open."""
    return Place("connections", "secret", connection_id, tenant_id)


def read_host(text: str) -> str:
    """`host` or `host:port` in the one form that is compared. Raises `UrlRefused`."""
    host = text.strip().lower()
    if not _HOST.fullmatch(host):
        raise UrlRefused("write the host alone, as in api.example.com or api.example.com:8443")
    parse_url(f"https://{host}")
    return host


def is_bound_to(host: str, endpoint: Endpoint) -> bool:
    """Whether a connection of `host` is for there. Without a port, it is for the one that the scheme has by default."""
    bound = parse_url(f"{endpoint.scheme}://{host}")
    return (bound.host, bound.port) == (endpoint.host, endpoint.port)


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret in the clear: for one request, not for keeping."""

    host: str
    headers: dict[str, str] = field(repr=False)
    _hidden: tuple[str, ...] = field(repr=False)

    def is_for(self, endpoint: Endpoint) -> bool:
        """Whether it may be sent there."""
        return is_bound_to(self.host, endpoint)

    def hide(self, text: str) -> str:
        """The text without the secret, for a service that says back what it was sent."""
        for each in self._hidden:
            text = text.replace(each, _STANDS_FOR_IT)
        return text


def open_credential(row: Connection, cipher: Cipher) -> Credential:
    """Raises `CannotDecrypt`."""
    secret = cipher.open(row.secret, secret_place(row.tenant_id, row.id))
    match ConnectionKind(row.kind):
        case ConnectionKind.BEARER:
            sent, headers = secret, {"Authorization": f"Bearer {secret}"}
        case ConnectionKind.BASIC:
            sent = base64.b64encode(secret.encode()).decode()
            headers = {"Authorization": f"Basic {sent}"}
        case ConnectionKind.HEADER:
            assert row.header_name is not None, "checked when it was stored"
            sent, headers = secret, {row.header_name: secret}
    return Credential(row.host, headers, _forms(sent, secret, secret.partition(":")[2]))


def _forms(*secrets: str) -> tuple[str, ...]:
    """As they may be written in an answer: plainly, in JSON, in a URL. The longest first."""
    forms = {form for each in secrets for form in (each, dumps(each)[1:-1], quote(each, safe=""))}
    return tuple(sorted((form for form in forms if len(form) >= _SHORTEST_HIDDEN), key=len, reverse=True))
