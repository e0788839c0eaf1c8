import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from cli.stack.embeddings import ensure_embeddings
from shared.kit.settings import get_settings
from shared.llm.embeddings import CONTENT_TOKENS, DIMENSIONS, Embedder, EmbeddingsUnavailable


@pytest.fixture(scope="session")
async def embedder() -> Embedder:
    cache = get_settings().cache
    await ensure_embeddings(cache, lambda _: None)
    return Embedder(cache)


def likeness(a: list[float], b: list[float]) -> float:
    return float(np.dot(a, b))


async def test_meaning_shows_in_the_vectors(embedder: Embedder) -> None:
    eats, food, market = await embedder.embed(
        ["A man is eating food.", "Someone has a meal.", "The stock market fell."]
    )
    assert len(eats) == DIMENSIONS
    assert likeness(eats, eats) == pytest.approx(1, abs=1e-5)
    assert likeness(eats, food) > 0.5 > 0.2 > likeness(eats, market)


async def test_vectors_are_those_of_the_published_model(embedder: Embedder) -> None:
    # Made by sentence-transformers' all-MiniLM-L6-v2 for the same sentence.
    (vector,) = await embedder.embed(["This is an example sentence"])
    assert vector[:4] == pytest.approx([0.0676569, 0.0634959, 0.0487131, 0.0793049], abs=2e-4)


async def test_order_batching_and_padding_change_nothing(embedder: Embedder) -> None:
    texts = [("word " * (n * 37 % 300)).strip() or "x" for n in range(90)]
    together = await embedder.embed(texts)
    for n in (0, 13, 44, 89):
        (alone,) = await embedder.embed([texts[n]])
        assert likeness(alone, together[n]) == pytest.approx(1, abs=1e-4)


async def test_what_lies_beyond_the_window_is_cut_off(embedder: Embedder) -> None:
    full = "word " * CONTENT_TOKENS
    within, beyond, empty = await embedder.embed([full, full + "zebra " * 50, ""])
    assert likeness(within, beyond) == pytest.approx(1, abs=1e-5)
    assert len(empty) == DIMENSIONS
    assert await embedder.embed([]) == []


async def test_the_event_loop_stays_free(embedder: Embedder) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await embedder.embed(["lorem ipsum " * 100] * 40)
    ticking.cancel()
    assert ticks > 5


async def test_many_threads_and_tasks_at_once(embedder: Embedder) -> None:
    (expected,) = await embedder.embed(["hello"])
    wrong: list[object] = []

    def from_thread() -> None:
        (found,) = asyncio.run(embedder.embed(["hello"]))
        if likeness(found, expected) < 0.9999:
            wrong.append(found)

    threads = [threading.Thread(target=from_thread) for _ in range(8)]
    for thread in threads:
        thread.start()
    await asyncio.gather(*(embedder.embed([f"text {n}"]) for n in range(20)))
    await asyncio.to_thread(lambda: [thread.join() for thread in threads])
    assert wrong == []


def test_tokens_and_their_places(embedder: Embedder) -> None:
    assert embedder.count_tokens(["Hello, wörld!", "", "word " * 1000]) == [4, 0, 1000]
    text = "Hello, wörld! 東京"
    assert [text[a:b] for a, b in embedder.tokenize_offsets(text)] == ["Hello", ",", "wörld", "!", "東", "京"]


async def test_missing_weights_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingsUnavailable, match="quarterdeck up"):
        await Embedder(tmp_path).embed(["x"])
