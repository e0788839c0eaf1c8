"""What every new tenant starts with: the model that runs on this machine, so that all works without a key."""

from uuid import UUID

from shared.database.tables.models import Model

LOCAL_MODEL_NAME = "Local model"


def local_model_row(tenant_id: UUID) -> Model:
    """A record of provider `local`; where it is and its key come from the installation's settings, not from the row."""
    return Model(
        tenant_id=tenant_id,
        name=LOCAL_MODEL_NAME,
        provider="local",
        model="local-llm",
        settings={},
        context_window=8192,
        supports_tools=True,
        is_default=True,
    )
