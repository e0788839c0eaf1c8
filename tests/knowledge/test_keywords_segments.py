"""However chunks are spread over segments, merged and deleted: their scores are those of the book."""

import math
import random
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import pytest

from shared.knowledge.keywords.scoring import Part, Scored, score
from shared.knowledge.keywords.segment import (
    Chunks,
    Counted,
    Segment,
    blocks,
    build,
    merge,
    pack_ids,
    pick,
    read_blocks,
    unpack_id,
)

WORDS = [f"w{n}" for n in range(60)] + ["ü", "税务"]
ASKED = {"w0": 1, "w3": 2, "w41": 1, "税务": 1, "nowhere": 1}


def chunks(seed: random.Random, count: int) -> list[Counted]:
    documents = [UUID(int=seed.getrandbits(128)) for _ in range(max(1, count // 3))]
    made: list[Counted] = []
    for _ in range(count):
        words = [WORDS[min(int(seed.expovariate(0.1)), len(WORDS) - 1)] for _ in range(seed.randint(1, 400))]
        # ids that end in zero bytes, too
        chunk_id = UUID(int=seed.getrandbits(128) >> 16 << 16 if seed.random() < 0.1 else seed.getrandbits(128))
        made.append(Counted(chunk_id, seed.choice(documents), Counter(words), len(words)))
    return made


def by_the_book(every: Sequence[Counted]) -> dict[UUID, float]:
    mean = sum(chunk.length for chunk in every) / len(every)
    found: dict[UUID, float] = {}
    best = 0.0
    for term, times in ASKED.items():
        there = [chunk for chunk in every if term in chunk.terms]
        weight = times * math.log(1 + (len(every) - len(there) + 0.5) / (len(there) + 0.5))
        best += weight
        for chunk in there:
            often = min(chunk.terms[term], 255)
            part = weight * often / (often + 0.9 * (0.6 + 0.4 * chunk.length / mean))
            found[chunk.chunk_id] = found.get(chunk.chunk_id, 0) + part
    return {chunk_id: value / best for chunk_id, value in found.items()}


def stored(segment: Segment) -> Segment:
    """To bytes and back."""
    postings = read_blocks([block.data for block in blocks(segment.postings)])
    return Segment(Chunks.unpacked(**segment.chunks.packed()), postings)


def asked(segments: Sequence[Segment], dead: Sequence[Sequence[UUID]]) -> Scored:
    terms = {term.encode(): times for term, times in ASKED.items()}
    parts = [
        Part(segment.chunks, pack_ids(gone), pick(segment.postings, terms))
        for segment, gone in zip(segments, dead, strict=True)
    ]
    return score(parts, terms)


@pytest.mark.parametrize("seed", range(8))
def test_scores_are_those_of_the_book(seed: int) -> None:
    draw = random.Random(seed)
    every = chunks(draw, draw.choice((1, 5, 300)))
    gone = {chunk.document_id for chunk in every if draw.random() < 0.15}
    living = [chunk for chunk in every if chunk.document_id not in gone]
    piles: list[list[Counted]] = [[] for _ in range(draw.randint(1, 6))]
    for chunk in every:
        draw.choice(piles).append(chunk)
    segments = [stored(build(pile)) for pile in piles if pile]
    dead = [[unpack_id(one) for one in s.chunks.documents.tolist() if unpack_id(one) in gone] for s in segments]

    spread = asked(segments, dead)
    assert dict(spread.best(1000)) == pytest.approx(by_the_book(living) if living else {}, rel=1e-4)
    merged = merge(segments, [pack_ids(one) for one in dead])
    if merged is None:
        assert not living
        return
    assert merged.chunks.ids.tolist() == sorted(merged.chunks.ids.tolist())
    whole = asked([stored(merged)], [[]])
    assert dict(whole.best(1000)) == pytest.approx(dict(spread.best(1000)))
    assert whole.best(3) == whole.best(1000)[:3]
    ids = [chunk.chunk_id for chunk in every]
    given = whole.scores_of(ids)
    assert {one for one, value in given.items() if value} == dict(whole.best(1000)).keys()


def test_blocks_keep_each_term_whole_and_are_small() -> None:
    segment = build(chunks(random.Random(1), 2000))
    made = list(blocks(segment.postings))
    assert len(made) > 3
    assert max(len(block.data) for block in made) < 20_000
    again = read_blocks([block.data for block in made])
    assert (again.terms, again.counts.tolist()) == (list(segment.postings.terms), segment.postings.counts.tolist())
    assert again.numbers.tolist() == segment.postings.numbers.tolist()
    assert again.times.tolist() == segment.postings.times.tolist()
