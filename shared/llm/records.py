"""From a row of the models table to something that can be called."""

from uuid import UUID

from shared.database.tables.models import Model
from shared.llm.config import ModelConfig
from shared.llm.prices import price_of
from shared.llm.settings import SETTINGS, ModelKind, Provider
from shared.security.encryption import Cipher, Place


def api_key_place(tenant_id: UUID, model_id: UUID) -> Place:
    """What a record's key is bound to: moved to another row or tenant it does not open."""
    return Place("models", "api_key", model_id, tenant_id)


def model_config(row: Model, cipher: Cipher) -> ModelConfig:
    """The record with its key in the clear: for a call, not for keeping. Raises `CannotDecrypt`."""
    provider = Provider(row.provider)
    key = cipher.open(row.api_key, api_key_place(row.tenant_id, row.id)) if row.api_key else None
    return ModelConfig(
        tenant_id=row.tenant_id,
        id=row.id,
        version=row.version,
        name=row.name,
        provider=provider,
        model=row.model,
        settings=SETTINGS[provider].model_validate(row.settings),
        context_window=row.context_window,
        supports_tools=row.supports_tools,
        price=price_of(provider, row.model, row.input_price, row.output_price),
        api_key=key,
        kind=ModelKind(row.kind),
    )
