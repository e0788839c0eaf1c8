"""What may leave with a request that a provider's SDK has put together.

SDKs pick up keys, organisations, extra headers and addresses from the environment. None of that belongs to the
tenant whose request it is, so the request is cut down to known headers, given the record's own key, and refused
if it is not addressed to the record's own endpoint.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.llm.errors import ProviderError
from shared.net.policy import Endpoint

_PASSED_ON = frozenset(
    {
        "accept",
        "anthropic-beta",
        "anthropic-version",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
        "user-agent",
    }
)


@dataclass(frozen=True, slots=True)
class Pin:
    """Binds requests to one endpoint and one set of credentials."""

    label: str
    endpoint: Endpoint
    credentials: Mapping[str, str] = field(repr=False)
    secret: str | None = field(repr=False)
    silence: float

    def check(self, scheme: str, host: str, port: int | None) -> None:
        if Endpoint(scheme, host, port or (443 if scheme == "https" else 80)) != self.endpoint:
            raise ProviderError(
                self.label, "the request would have gone to another host", code="address_blocked", retryable=False
            )

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in headers.items() if name.lower() in _PASSED_ON}
        return {**kept, "accept-encoding": "identity", **self.credentials}
