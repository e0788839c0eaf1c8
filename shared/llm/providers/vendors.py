"""The vendors' chat models, made so that nothing in them reads the environment or opens a connection of its own.

Constructors are given every address and key they would otherwise look up; the transport below them enforces it.
"""

import os
from functools import cached_property
from typing import Any, cast

import httpx
from pydantic import PrivateAttr, SecretStr

from shared.llm.providers.base import ChatProvider, Connection
from shared.llm.providers.headers import Pin
from shared.llm.providers.langchain import LangChainChat, openai_style, sampling
from shared.llm.providers.transports import NoTransport, httpx2_transport, httpx_transport
from shared.llm.settings import OllamaSettings, OpenAISettings
from shared.llm.types import ChatRequest
from shared.net.policy import parse_url

# The transport puts the record's key on the wire; SDKs only need to see that there is one.
_KEY_IS_ELSEWHERE = "set-by-the-transport"
# Google's client asks these, whatever it is told, and would turn to another API under the machine's own identity.
_GOOGLE_SWITCHES = ("GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_ENTERPRISE")


def openai(connection: Connection) -> ChatProvider:
    from langchain_openai import ChatOpenAI  # noqa: PLC0415 - a second of CPU, for those who use it

    settings = cast(OpenAISettings, connection.config.settings)
    credentials = {"Authorization": f"Bearer {connection.api_key}"}
    if settings.organization:
        credentials["OpenAI-Organization"] = settings.organization
    if settings.project:
        credentials["OpenAI-Project"] = settings.project
    transport = httpx_transport(connection.session, _pin(connection, credentials))
    model = ChatOpenAI(
        model=connection.config.model,
        api_key=SecretStr(_KEY_IS_ELSEWHERE),
        base_url=connection.base_url,
        openai_proxy=None,
        max_retries=0,
        stream_usage=True,
        reasoning_effort=settings.reasoning_effort,
        http_client=httpx.Client(transport=NoTransport()),
        http_async_client=httpx.AsyncClient(transport=transport),
    )
    return LangChainChat(connection.config.label, model, openai_style)


def anthropic(connection: Connection) -> ChatProvider:
    import anthropic as sdk  # noqa: PLC0415
    import httpx2  # noqa: PLC0415
    from langchain_anthropic import ChatAnthropic  # noqa: PLC0415

    class PinnedAnthropic(ChatAnthropic):
        _http: Any = PrivateAttr(default=None)

        @cached_property
        def _async_client(self) -> sdk.AsyncClient:
            return sdk.AsyncClient(**self._client_params, http_client=self._http)

    credentials = {"x-api-key": connection.api_key or ""}
    transport = httpx2_transport(connection.session, _pin(connection, credentials))
    model = PinnedAnthropic(
        model_name=connection.config.model,
        api_key=SecretStr(_KEY_IS_ELSEWHERE),
        base_url=connection.base_url,
        anthropic_proxy=None,
        max_retries=0,
        timeout=None,
        stop=None,
    )
    model._http = httpx2.AsyncClient(transport=transport)  # pyright: ignore[reportPrivateUsage]
    return LangChainChat(connection.config.label, model, openai_style)


def google(connection: Connection) -> ChatProvider:
    from langchain_google_genai import ChatGoogleGenerativeAI  # noqa: PLC0415

    for switch in _GOOGLE_SWITCHES:
        os.environ.pop(switch, None)
    credentials = {"x-goog-api-key": connection.api_key or ""}
    transport = httpx_transport(connection.session, _pin(connection, credentials))
    model = ChatGoogleGenerativeAI(
        model=connection.config.model,
        google_api_key=SecretStr(_KEY_IS_ELSEWHERE),
        base_url=connection.base_url,
        vertexai=False,
        max_retries=1,  # counts the first try
        client_args={"transport": transport},
    )

    def arguments(request: ChatRequest) -> dict[str, Any]:
        found = sampling(request, "max_output_tokens")
        if request.response_schema is not None:
            found |= {"response_mime_type": "application/json", "response_json_schema": request.response_schema}
        return found

    return LangChainChat(connection.config.label, model, arguments)


def ollama(connection: Connection) -> ChatProvider:
    from langchain_ollama import ChatOllama  # noqa: PLC0415

    settings = cast(OllamaSettings, connection.config.settings)
    credentials = {"Authorization": f"Bearer {connection.api_key}"} if connection.api_key else {}
    transport = httpx_transport(connection.session, _pin(connection, credentials))
    model = ChatOllama(
        model=connection.config.model,
        base_url=connection.base_url,
        keep_alive=settings.keep_alive,
        sync_client_kwargs={"transport": NoTransport()},
        async_client_kwargs={"transport": transport, "follow_redirects": False},
    )

    def arguments(request: ChatRequest) -> dict[str, Any]:
        options = sampling(request, "num_predict")
        if settings.context_length:
            options["num_ctx"] = settings.context_length
        if request.stop:
            options["stop"] = list(request.stop)
        found: dict[str, Any] = {"options": options}
        if request.response_schema is not None:
            found["format"] = request.response_schema
        return found

    return LangChainChat(connection.config.label, model, arguments)


def _pin(connection: Connection, credentials: dict[str, str]) -> Pin:
    config = connection.config
    endpoint = parse_url(connection.base_url)
    return Pin(config.label, endpoint, credentials, connection.api_key, config.settings.timeout_seconds)
