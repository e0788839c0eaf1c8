"""From a model record to something that answers."""

import asyncio
from dataclasses import dataclass, field

import aiohttp

from shared.llm.config import ModelConfig
from shared.llm.errors import ProviderError
from shared.llm.providers.base import ChatProvider, Connection
from shared.llm.providers.openai_wire import OpenAIWire
from shared.llm.providers.schema_tools import SchemaTools
from shared.llm.providers.vector_wire import VectorProvider, open_vectors
from shared.llm.settings import OpenAICompatibleSettings, Provider, base_url_of


@dataclass(frozen=True, slots=True)
class LocalEndpoint:
    """Where the installation's own model answers. An empty `base_url` says that there is none."""

    base_url: str = ""
    api_key: str = field(default="", repr=False)
    model: str = ""


def endpoint_of(config: ModelConfig, local: LocalEndpoint) -> str:
    """The address that a record's requests go to. Raises `ProviderError` for a local model that is not there."""
    if config.provider is not Provider.LOCAL:
        return base_url_of(config.settings) or ""
    if not local.base_url:
        advice = "choose another model, or start it with QUARTERDECK_LOCAL_MODEL=qwen"
        cause = f"this installation runs no model of its own: {advice}"
        raise ProviderError(config.label, cause, code="provider_unavailable", retryable=False)
    return local.base_url.rstrip("/")


async def open_provider(config: ModelConfig, local: LocalEndpoint, session: aiohttp.ClientSession) -> ChatProvider:
    connection = Connection(config, endpoint_of(config, local), config.api_key, session)
    if config.provider is Provider.LOCAL:
        return SchemaTools(OpenAIWire(_at_local(connection, local)), config.label)
    if isinstance(config.settings, OpenAICompatibleSettings):
        wire = OpenAIWire(connection)
        return SchemaTools(wire, config.label) if config.settings.tool_calls == "schema" else wire
    # The vendors' packages take a second of CPU to import: not on the event loop.
    return await asyncio.to_thread(_open_vendor, connection)


def open_vector_provider(config: ModelConfig, local: LocalEndpoint, session: aiohttp.ClientSession) -> VectorProvider:
    return open_vectors(Connection(config, endpoint_of(config, local), config.api_key, session))


def _at_local(connection: Connection, local: LocalEndpoint) -> Connection:
    return Connection(connection.config, connection.base_url, local.api_key or None, connection.session, local.model)


def _open_vendor(connection: Connection) -> ChatProvider:
    from shared.llm.providers import vendors  # noqa: PLC0415 - loaded by the first record that needs it

    openers = {
        Provider.OPENAI: vendors.openai,
        Provider.ANTHROPIC: vendors.anthropic,
        Provider.GOOGLE: vendors.google,
        Provider.OLLAMA: vendors.ollama,
    }
    return openers[connection.config.provider](connection)
