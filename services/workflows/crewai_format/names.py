"""How crewAI names models and tools, and how such a name finds ours."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

# crewAI's provider prefixes. Servers that speak OpenAI's protocol go by that prefix and an address of their own.
_PREFIXES = {"openai": "openai", "anthropic": "anthropic", "google": "gemini", "ollama": "ollama"}
_OWN_ADDRESS = "openai"
_WORD_STARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NO_WORD = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class PoolModel:
    """A model record of the tenant: `name` is the tenant's own name for it, `model` the provider's."""

    id: UUID
    name: str
    provider: str
    model: str

    @property
    def llm_name(self) -> str:
        """What crewAI calls this model."""
        return f"{_PREFIXES.get(self.provider, _OWN_ADDRESS)}/{self.model}"

    @property
    def needs_address(self) -> bool:
        """Whether crewAI must also be told where the model's server is."""
        return self.provider not in _PREFIXES


def find_model(models: Sequence[PoolModel], name: str) -> PoolModel | None:
    """By the tenant's own name, then by the provider's with or without crewAI's prefix."""
    by_name = {model.name: model for model in reversed(models)}
    by_llm_name = {model.llm_name: model for model in reversed(models)}
    by_model = {model.model: model for model in reversed(models)}
    return by_name.get(name) or by_llm_name.get(name) or by_model.get(name)


def find_tool(tools: Sequence[str], name: str) -> str | None:
    """The tool of that name; `CalculatorTool`, `calculator_tool` and `calculator` are one."""
    if name in tools:
        return name
    return {_words(tool): tool for tool in reversed(tools)}.get(_words(name))


def _words(name: str) -> str:
    words = _NO_WORD.sub("_", _WORD_STARTS.sub("_", name).lower()).strip("_")
    return words.removesuffix("_tool") or words
