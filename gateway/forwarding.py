"""How a request and a response are written down again on the other side of the gateway."""

import re
from dataclasses import dataclass
from urllib.parse import quote

from starlette.types import Scope

from gateway.errors import BadRequest
from gateway.http1 import Exchange, Headers
from gateway.pool import Address

# RFC 9110, 7.6.1: they speak about one connection and end there.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# `expect` was answered by our own server; length and host are written anew.
_NOT_FORWARDED = HOP_BY_HOP | {b"expect", b"content-length", b"host"}
# Our own server writes these two.
_NOT_RETURNED = HOP_BY_HOP | {b"date", b"server"}
_UNSAFE_IN_TARGET = re.compile(rb"[^\x21-\x7e]")
_HOST = re.compile(rb"[A-Za-z0-9._:\[\]-]+")
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Framing:
    """How the body's end is told: by chunks, or by its length (0: there is none)."""

    chunked: bool
    length: int

    @property
    def has_body(self) -> bool:
        return self.chunked or self.length > 0

    def frame(self, body: bytes, more: bool) -> bytes:
        if not self.chunked:
            return body
        chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return chunk if more else chunk + b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    method: str
    head: bytes
    framing: Framing

    @property
    def repeatable(self) -> bool:
        return self.method in _REPEATABLE and not self.framing.has_body


def outgoing_request(scope: Scope, address: Address) -> OutgoingRequest:
    """The request as the service will read it. Raises `BadRequest`."""
    method: str = scope["method"]
    lines = [b"%b %b HTTP/1.1" % (method.encode(), request_target(scope))]
    headers: Headers = scope["headers"]
    nominated = _nominated(headers)
    own: Headers = []
    for header in headers:
        if header[0] in _NOT_FORWARDED:
            own.append(header)
        elif header[0] not in nominated:
            lines.append(b"%b: %b" % header)
    lines.append(b"host: " + host(own, address))
    lines.extend(b"%b: %b" % header for header in forwarded_headers(scope))
    framing = _framing(own)
    if framing.chunked:
        lines.append(b"transfer-encoding: chunked")
    elif framing.length:
        lines.append(b"content-length: %d" % framing.length)
    head = b"\r\n".join(lines)
    # Our server has refused such headers already; one that slipped through would split the request in two.
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1:
        raise BadRequest("A header has a line break in it.")
    return OutgoingRequest(method, head + b"\r\n\r\n", framing)


def request_target(scope: Scope) -> bytes:
    path: bytes = scope.get("raw_path") or quote(scope["path"], safe="/:@!$&'()*+,;=~-._").encode()
    query: bytes = scope["query_string"]
    target = path + b"?" + query if query else path
    if not path.startswith(b"/") or _UNSAFE_IN_TARGET.search(target):
        raise BadRequest("The request's path has characters that must be percent-encoded.")
    return target


def host(headers: Headers, default: Address) -> bytes:
    """The name the client knows us by: services write it into links and redirects."""
    value = _single(headers, b"host")
    if value is None:
        return str(default).encode()
    if not _HOST.fullmatch(value):
        raise BadRequest("The Host header is not a host.")
    return value


def forwarded_headers(scope: Scope) -> Headers:
    """Who asked, for the service's logs and throttles. What clients send under these names is stripped before."""
    secure = scope["scheme"] in ("https", "wss")
    headers = [(b"x-forwarded-proto", b"https" if secure else b"http")]
    if scope.get("client"):
        headers.append((b"x-forwarded-for", scope["client"][0].encode()))
    return headers


def response_headers(exchange: Exchange) -> Headers:
    """The service's headers as the client may see them."""
    nominated = _nominated(exchange.headers)
    no_length = exchange.status in (204, 304)
    return [
        (name, value)
        for name, value in exchange.headers
        if name not in _NOT_RETURNED and name not in nominated and not (no_length and name == b"content-length")
    ]


def _nominated(headers: Headers) -> frozenset[bytes]:
    """Headers that the sender's own Connection header declares to be hop-by-hop."""
    for name, value in headers:
        if name == b"connection" and value.lower() not in (b"keep-alive", b"close"):
            return frozenset(token.strip().lower() for token in value.split(b","))
    return frozenset()


def _framing(headers: Headers) -> Framing:
    if any(name == b"transfer-encoding" for name, _ in headers):
        return Framing(chunked=True, length=0)
    length = _single(headers, b"content-length") or b"0"
    if not length.isdigit() or len(length) > 15:
        raise BadRequest("Content-Length is not a number.")
    return Framing(chunked=False, length=int(length))


def _single(headers: Headers, wanted: bytes) -> bytes | None:
    values = [value for name, value in headers if name == wanted]
    if len(values) > 1:
        raise BadRequest(f"{wanted.decode().title()} may be given only once.")
    return values[0] if values else None
