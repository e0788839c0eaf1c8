"""What well-known models cost and hold, for records that do not say so themselves."""

import functools
import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from shared.llm.config import Price
from shared.llm.settings import ModelKind, Provider

_FILE = Path(__file__).parent / "known_models.json"
_DEFAULT_CONTEXT_WINDOW = {
    Provider.LOCAL: 8192,
    Provider.OPENAI_COMPATIBLE: 32_768,
    Provider.OPENAI: 128_000,
    Provider.ANTHROPIC: 200_000,
    Provider.GOOGLE: 1_048_576,
    Provider.OLLAMA: 8192,
}

# What most of them read of a text.
_DEFAULT_MAX_TOKENS = {ModelKind.EMBEDDING: 512, ModelKind.RERANK: 8192}


@dataclass(frozen=True, slots=True)
class KnownModel:
    price: Price
    context_window: int


def known_model(provider: Provider, model: str) -> KnownModel | None:
    """The entry whose name is the longest prefix of `model`: providers append dates and revisions."""
    entries = _known().get(provider, {})
    names = [name for name in entries if _is_version_of(model.removeprefix("models/"), name)]
    return entries[max(names, key=len)] if names else None


def price_of(provider: Provider, model: str, input: Decimal | None, output: Decimal | None) -> Price:
    """USD per million tokens: the record's own figures, else the table's, else nothing."""
    known = known_model(provider, model)
    listed = known.price if known else Price()
    return Price(listed.input if input is None else input, listed.output if output is None else output)


def default_context_window(provider: Provider, model: str, kind: ModelKind = ModelKind.CHAT) -> int:
    """Of an embedding model it is the longest text that it embeds."""
    known = known_model(provider, model)
    if known is not None:
        return known.context_window
    if kind is ModelKind.EMBEDDING and provider is Provider.OPENAI:
        return 8191
    return _DEFAULT_MAX_TOKENS.get(kind) or _DEFAULT_CONTEXT_WINDOW[provider]


def _is_version_of(model: str, name: str) -> bool:
    return model == name or (model.startswith(name) and not model[len(name)].isalnum())


@functools.cache
def _known() -> dict[Provider, dict[str, KnownModel]]:
    table = json.loads(_FILE.read_text())
    return {
        provider: {
            name: KnownModel(Price(Decimal(entry["input"]), Decimal(entry["output"])), entry["context_window"])
            for name, entry in table.get(provider.value, {}).items()
        }
        for provider in Provider
    }
