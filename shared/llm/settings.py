"""What each provider can be told about a model, validated before it is stored."""

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shared.net.policy import UrlRefused, parse_url


class Provider(StrEnum):
    LOCAL = "local"
    OPENAI_COMPATIBLE = "openai_compatible"
    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GOOGLE = "google"
    OLLAMA = "ollama"


class ModelKind(StrEnum):
    CHAT = "chat"
    EMBEDDING = "embedding"
    RERANK = "rerank"


def _plain_url(value: str) -> str:
    try:
        parse_url(value)
    except UrlRefused as error:
        raise ValueError(str(error)) from error
    if "?" in value or "#" in value:
        raise ValueError("the URL must end with its path")
    return value.rstrip("/")


BaseUrl = Annotated[str, Field(max_length=500, pattern=r"^[!-~]*$"), AfterValidator(_plain_url)]
# These travel in headers.
Identifier = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[!-~]+$")]


Dimensions = Annotated[
    int | None,
    Field(ge=1, le=16_384, description="Length of an embedding model's vectors: asked for, and held to."),
]


class ProviderSettings(BaseModel):
    """What every provider has in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float | None = Field(None, ge=0, le=2, description="Used where an agent sets none.")
    max_tokens: int | None = Field(None, ge=1, le=1_000_000, description="Longest answer, where an agent sets none.")
    timeout_seconds: float = Field(120, ge=0.1, le=3600, description="Longest silence of the provider.")
    deadline_seconds: float = Field(600, ge=1, le=7200, description="Longest duration of a call, retries included.")
    fallback_model_ids: tuple[UUID, ...] = Field(
        (), max_length=5, description="Models asked in this order when this one cannot answer."
    )


class LocalSettings(ProviderSettings):
    """The language model that this installation runs itself; its address is the operator's affair."""

    # A small model wanders off at the temperatures that large ones bear.
    temperature: float | None = Field(0.2, ge=0, le=2, description="Used where an agent sets none.")
    max_tokens: int | None = Field(1024, ge=1, le=32_768, description="Longest answer, where an agent sets none.")
    timeout_seconds: float = Field(600, ge=0.1, le=3600, description="Longest silence of the model.")
    deadline_seconds: float = Field(1800, ge=1, le=7200, description="Longest duration of a call, retries included.")


class OpenAICompatibleSettings(ProviderSettings):
    """Any server that speaks the chat completions API: vLLM, LM Studio, OpenRouter, Groq, ..."""

    base_url: BaseUrl = Field(description="Address of the API, usually ending in /v1.")
    tool_calls: Literal["native", "schema"] = Field(
        "native", description="`schema` lets a model without tool calls choose a tool by structured output."
    )
    structured_output: Literal["json_schema", "json_object", "prompt"] = Field(
        "json_schema", description="How the server is asked for JSON of a given schema."
    )
    stream_usage: bool = Field(True, description="Whether the server knows `stream_options.include_usage`.")
    dimensions: Dimensions = None
    rerank_scores: Literal["auto", "probability", "logit"] = Field(
        "auto", description="What a rerank model's scores are; `auto` takes those beyond 0 to 1 for logits."
    )


class OpenAISettings(ProviderSettings):
    base_url: BaseUrl = Field("https://api.openai.com/v1", description="Address of the API.")
    organization: Identifier | None = None
    project: Identifier | None = None
    reasoning_effort: Literal["minimal", "low", "medium", "high"] | None = None
    dimensions: Dimensions = None


class AnthropicSettings(ProviderSettings):
    base_url: BaseUrl = Field("https://api.anthropic.com", description="Address of the API.")


class GoogleSettings(ProviderSettings):
    base_url: BaseUrl = Field("https://generativelanguage.googleapis.com", description="Address of the API.")
    dimensions: Dimensions = None


class OllamaSettings(ProviderSettings):
    base_url: BaseUrl = Field(description="Address of the Ollama server, such as http://ollama:11434.")
    context_length: int | None = Field(None, ge=256, le=1_000_000, description="`num_ctx` of the loaded model.")
    keep_alive: str | None = Field(None, pattern=r"^-?\d{1,6}(s|m|h)?$", description="How long it stays loaded.")
    dimensions: Dimensions = None


SETTINGS: dict[Provider, type[ProviderSettings]] = {
    Provider.LOCAL: LocalSettings,
    Provider.OPENAI_COMPATIBLE: OpenAICompatibleSettings,
    Provider.OPENAI: OpenAISettings,
    Provider.ANTHROPIC: AnthropicSettings,
    Provider.GOOGLE: GoogleSettings,
    Provider.OLLAMA: OllamaSettings,
}

TITLES = {
    Provider.LOCAL: "Built-in model",
    Provider.OPENAI_COMPATIBLE: "OpenAI-compatible server",
    Provider.OPENAI: "OpenAI",
    Provider.ANTHROPIC: "Anthropic",
    Provider.GOOGLE: "Google Gemini",
    Provider.OLLAMA: "Ollama",
}

# What kinds of models a provider can be asked for here.
KINDS: dict[Provider, tuple[ModelKind, ...]] = {
    Provider.LOCAL: (ModelKind.CHAT,),
    Provider.OPENAI_COMPATIBLE: (ModelKind.CHAT, ModelKind.EMBEDDING, ModelKind.RERANK),
    Provider.OPENAI: (ModelKind.CHAT, ModelKind.EMBEDDING),
    Provider.ANTHROPIC: (ModelKind.CHAT,),
    Provider.GOOGLE: (ModelKind.CHAT, ModelKind.EMBEDDING),
    Provider.OLLAMA: (ModelKind.CHAT, ModelKind.EMBEDDING),
}

# Whether a record of the provider carries a key of its own.
API_KEY: dict[Provider, Literal["required", "optional", "none"]] = {
    Provider.LOCAL: "none",
    Provider.OPENAI_COMPATIBLE: "optional",
    Provider.OPENAI: "required",
    Provider.ANTHROPIC: "required",
    Provider.GOOGLE: "required",
    Provider.OLLAMA: "optional",
}


def base_url_of(settings: ProviderSettings) -> str | None:
    """Where the settings send a key to; None for the local model, whose address no record holds."""
    url: str | None = getattr(settings, "base_url", None)
    return url
