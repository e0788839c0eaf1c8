"""What comes from a provider as embeddings or scores, checked before anybody relies on it."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from shared.llm import errors
from shared.llm.tokens import approximate_tokens

# What every provider takes in one request.
MOST_TEXTS = 96
MOST_TOKENS = 100_000


def batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """In order, each small enough for one request; a text that is too large for one is alone in its own."""
    start, tokens = 0, 0
    for position, text in enumerate(texts):
        more = approximate_tokens(text)
        if position > start and (position - start == MOST_TEXTS or tokens + more > MOST_TOKENS):
            yield texts[start:position]
            start, tokens = position, 0
        tokens += more
    if start < len(texts):
        yield texts[start:]


def checked_vectors(label: str, found: Any, count: int, dimensions: int | None) -> list[list[float]]:
    """Of unit length. Raises `ProviderError` unless there is a vector for each text and all are of one kind."""
    if not isinstance(found, list) or len(found) != count:  # pyright: ignore[reportUnknownArgumentType]
        got = len(found) if isinstance(found, list) else "no"  # pyright: ignore[reportUnknownArgumentType]
        raise errors.bad_output(label, f"sent {got} embeddings for {count} texts")
    vectors = [_unit(label, vector) for vector in found]  # pyright: ignore[reportUnknownVariableType]
    lengths = {len(vector) for vector in vectors}
    if len(lengths) > 1:
        raise errors.bad_output(label, "sent embeddings of different dimensions in one answer")
    if dimensions is not None and lengths != {dimensions}:
        raise errors.bad_output(label, f"sent embeddings of {lengths.pop()} dimensions in place of {dimensions}")
    return vectors


def _unit(label: str, vector: Any) -> list[float]:
    try:
        length = math.sqrt(sum(value * value for value in vector))
    except (TypeError, OverflowError):
        raise errors.bad_output(label, "sent an embedding that is no list of numbers") from None
    if not math.isfinite(length) or length == 0:
        raise errors.bad_output(label, "sent an embedding that is no direction (all zero, or not finite)")
    return [value / length for value in vector]


def checked_scores(label: str, results: Any, count: int, *, logits: bool | None) -> list[float]:
    """By the place of their texts, 0 to 1. `logits` says whether they are raw; None: those that leave 0..1 are."""
    scores: dict[int, float] = {}
    try:
        for result in results:
            scores[int(result["index"])] = float(result["relevance_score"])
    except (TypeError, KeyError, ValueError):
        raise errors.bad_output(label, "sent a ranking that cannot be read") from None
    if scores.keys() != set(range(count)):
        raise errors.bad_output(label, f"ranked {len(scores)} texts of {count}")
    found = [scores[place] for place in range(count)]
    if not all(map(math.isfinite, found)):
        raise errors.bad_output(label, "sent a score that is no number")
    if logits or (logits is None and not all(0 <= score <= 1 for score in found)):
        return [_sigmoid(score) for score in found]
    return [min(1.0, max(0.0, score)) for score in found]


def _sigmoid(score: float) -> float:
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, score))))
