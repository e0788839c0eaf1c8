"""Where outbound requests may go: the public internet, and the private endpoints that the operator named."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from shared.net.addresses import is_public

_DEFAULT_PORTS = {"http": 80, "https": 443}


class UrlRefused(ValueError):
    """The URL is not one this installation requests. The message is fit to be shown."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    scheme: str
    host: str
    port: int


def parse_url(url: str) -> Endpoint:
    """Raises `UrlRefused` for what is no plain http(s) URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UrlRefused("the URL is malformed") from error
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise UrlRefused("the URL must start with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise UrlRefused("the URL must not carry a user name or password")
    host = parts.hostname.rstrip(".")
    if _ends_in_number(host) and not _is_literal(host):
        raise UrlRefused("the URL writes an address in a form that is not accepted")
    return Endpoint(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme])


class EgressPolicy:
    """`allowed` lists private endpoints that may be reached: "host:port" or "host:*", IPv6 in brackets."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = frozenset(_split(entry) for entry in allowed if entry.strip())

    @classmethod
    def from_setting(cls, allowed_hosts: str, *urls: str) -> "EgressPolicy":
        """From the operator's comma separated list, and the endpoints of URLs the operator configured."""
        endpoints = [parse_url(url) for url in urls if url]
        named = [f"[{e.host}]:{e.port}" if ":" in e.host else f"{e.host}:{e.port}" for e in endpoints]
        return cls([*allowed_hosts.split(","), *named])

    def names(self, host: str, port: int) -> bool:
        """Whether the operator named this endpoint."""
        host = host.lower().rstrip(".")
        return (host, str(port)) in self._allowed or (host, "*") in self._allowed

    def check_url(self, url: str) -> Endpoint:
        """Refuses what can be refused without a name lookup; the connection checks the rest.

        Raises `UrlRefused`.
        """
        endpoint = parse_url(url)
        private = _is_literal(endpoint.host) and not is_public(endpoint.host)
        if private and not self.names(endpoint.host, endpoint.port):
            place = f"{endpoint.host}:{endpoint.port}"
            raise UrlRefused(
                f"{place} is a private address that is not allowed here; "
                "who runs this installation can add it to QUARTERDECK_ALLOWED_HOSTS"
            )
        return endpoint


def _split(entry: str) -> tuple[str, str]:
    host, separator, port = entry.strip().lower().rpartition(":")
    if not separator or not host or not (port == "*" or port.isdecimal()):
        raise ValueError(f"an allowed host reads host:port or host:*, not {entry.strip()!r}")
    return host.removeprefix("[").removesuffix("]"), port


def _ends_in_number(host: str) -> bool:
    """Such a host is an IPv4 address to some programs, though "127.1" and "0x7f.1" are not written like one."""
    last = host.rpartition(".")[2]
    return last.isdigit() or re.fullmatch("0x[0-9a-f]*", last) is not None


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
