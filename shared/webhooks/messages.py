"""What is told to webhook endpoints, as it goes over the wire."""

from uuid import UUID

from shared.kit.json import JsonObject, dumps
from shared.security.encryption import Place

TEST_EVENT = "webhook.test"
ENDPOINT_DISABLED = "The endpoint was disabled."


def webhook_id(delivery_id: UUID) -> str:
    """The same with every attempt, so that the endpoint knows what it has seen."""
    return f"msg_{delivery_id.hex}"


def wire(payload: JsonObject) -> bytes:
    return dumps(payload).encode()


def secret_place(endpoint_id: UUID, tenant_id: UUID) -> Place:
    """Where an endpoint's signing secret is sealed for."""
    return Place("webhook_endpoints", "secret", endpoint_id, tenant_id)
