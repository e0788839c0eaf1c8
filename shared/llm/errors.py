"""What can go wrong with a provider, in one shape for all of them."""

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

from shared.net.session import BLOCKED, AddressBlocked

_SHOWN_CHARACTERS = 300
_CODES = {
    401: "provider_unauthorized",
    402: "provider_quota_exceeded",
    403: "provider_unauthorized",
    404: "provider_model_unknown",
    408: "provider_timeout",
    413: "provider_request_too_large",
    429: "provider_rate_limited",
}


class ProviderError(Exception):
    """A model provider did not give a usable answer. The message names it and the cause and holds no key.

    `unhealthy` tells trouble of the endpoint (it counts against its circuit) from trouble of this one request.
    """

    def __init__(
        self,
        provider: str,
        cause: str,
        *,
        code: str,
        retryable: bool,
        retry_after: float | None = None,
        status: int | None = None,
        unhealthy: bool = False,
    ) -> None:
        super().__init__(f"{provider}: {cause}")
        self.provider = provider
        self.cause = cause
        self.code = code
        self.retryable = retryable
        self.retry_after = retry_after
        self.status = status
        self.unhealthy = unhealthy


def from_status(
    provider: str, status: int, body: bytes, retry_after: str | None, *, secret: str | None
) -> ProviderError:
    """The error that an HTTP answer of `status` stands for. `secret` is blotted out of the provider's own words."""
    unhealthy = status >= 500 or status == 408
    said = _provider_message(body)
    if secret and said:
        said = said.replace(secret, "***")
    return ProviderError(
        provider,
        f"answered {status}" + (f": {said}" if said else ""),
        code=_CODES.get(status, "provider_unavailable" if unhealthy else "provider_refused"),
        retryable=unhealthy or status in (409, 425, 429),
        retry_after=parse_retry_after(retry_after),
        status=status,
        unhealthy=unhealthy,
    )


def from_exception(provider: str, error: BaseException) -> ProviderError:
    """The error behind an exception of an HTTP client or of a provider's SDK that wraps one."""
    chain = list(_chain(error))
    for each in chain:
        if isinstance(each, ProviderError):
            return each
    if any(isinstance(each, AddressBlocked) for each in chain):
        return ProviderError(provider, BLOCKED, code="address_blocked", retryable=False)
    if any(isinstance(each, TimeoutError) or "Timeout" in type(each).__name__ for each in chain):
        return silent(provider)
    if any(isinstance(each, OSError) or _is_transport_error(each) for each in chain):
        return disconnected(provider)
    return garbage(provider, type(error).__name__)


def silent(provider: str) -> ProviderError:
    return ProviderError(provider, "did not answer in time", code="provider_timeout", retryable=True, unhealthy=True)


def disconnected(provider: str) -> ProviderError:
    return ProviderError(
        provider, "the connection failed or broke off", code="provider_unavailable", retryable=True, unhealthy=True
    )


def garbage(provider: str, detail: str) -> ProviderError:
    return ProviderError(
        provider,
        f"sent an answer that cannot be read ({detail})",
        code="provider_garbage",
        retryable=True,
        unhealthy=True,
    )


def truncated(provider: str) -> ProviderError:
    return ProviderError(
        provider, "the answer broke off before its end", code="provider_truncated", retryable=True, unhealthy=True
    )


def bad_output(provider: str, detail: str) -> ProviderError:
    """The provider works, but what its model wrote is of no use."""
    return ProviderError(provider, detail, code="model_output_invalid", retryable=True)


def cut_off(provider: str) -> ProviderError:
    detail = "the answer was cut off at max_tokens before its JSON was complete"
    return ProviderError(provider, detail, code="model_output_invalid", retryable=False)


def parse_retry_after(value: str | None) -> float | None:
    """Seconds to wait, from either form of the header."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return _seconds_until(value)
    # "nan" and "inf" parse as floats too.
    return max(0.0, seconds) if seconds < float("inf") else None


def _seconds_until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _chain(error: BaseException | None) -> Any:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        # aiohttp keeps the socket's own error beside, not behind, the one it raises.
        inner = getattr(error, "os_error", None)
        if isinstance(inner, BaseException):
            yield inner
        error = error.__cause__ or error.__context__


def _is_transport_error(error: BaseException) -> bool:
    names = {base.__name__ for base in type(error).__mro__}
    return bool(names & {"ClientConnectionError", "ClientPayloadError", "TransportError", "ServerDisconnectedError"})


def _provider_message(body: bytes) -> str:
    """The words for people in an error body; none if it is no JSON, since a proxy's HTML page helps nobody."""
    try:
        found: Any = json.loads(body)
    except ValueError:
        return ""
    if isinstance(found, list) and found:
        found = cast(list[Any], found)[0]
    for key in ("error", "message", "detail"):
        if isinstance(found, dict) and key in found:
            found = cast(dict[str, Any], found)[key]
    return " ".join(found.split())[:_SHOWN_CHARACTERS] if isinstance(found, str) else ""
