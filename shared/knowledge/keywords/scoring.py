"""BM25 of a question over segments: pure, numpy alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from shared.knowledge.keywords.segment import Chunks, Ids, Numbers, Times, pack_ids, places_of, unpack_id

# How soon more of the same word stops to count, and how much a long text is held against it.
K1 = 0.9
B = 0.4

Found = tuple[Numbers, Times]
Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Part:
    """A segment, the documents of it that are gone, and where the question's terms stand in it."""

    chunks: Chunks
    dead: Ids
    postings: Mapping[bytes, Found]


@dataclass(frozen=True, slots=True)
class Scored:
    """`scores` counts through the chunks of all parts. Each is a share of the best that any text could reach."""

    parts: Sequence[Part]
    scores: Scores

    @property
    def count(self) -> int:
        return int(np.count_nonzero(self.scores))

    def best(self, limit: int) -> list[tuple[UUID, float]]:
        matching = np.flatnonzero(self.scores)
        if len(matching) > limit:
            weakest = np.partition(self.scores[matching], -limit)[-limit]
            matching = np.flatnonzero(self.scores >= weakest)
        ids = np.concatenate([part.chunks.ids for part in self.parts])[matching]
        order = np.lexsort((ids, -self.scores[matching]))[:limit]
        found = zip(ids[order].tolist(), self.scores[matching][order].tolist(), strict=True)
        return [(unpack_id(packed), score) for packed, score in found]

    def scores_of(self, chunk_ids: Sequence[UUID]) -> dict[UUID, float]:
        """0 for what has none of the words, or is not to be found."""
        wanted = pack_ids(chunk_ids)
        found: dict[UUID, float] = {}
        begin = 0
        for part in self.parts:
            which, numbers = places_of(part.chunks, wanted)
            for place, here in zip(which.tolist(), self.scores[begin + numbers].tolist(), strict=True):
                chunk_id = chunk_ids[int(place)]
                found[chunk_id] = max(here, found.get(chunk_id, 0.0))
            begin += len(part.chunks.ids)
        return found


def score(
    parts: Sequence[Part],
    asked: Mapping[bytes, int],
    required: Sequence[bytes] = (),
    documents: Ids | None = None,
) -> Scored:
    """`asked` says how often the question has each term; chunks without a `required` one, or of others than
    `documents`, are not found. What is not to be found counts in no statistics if it is gone, and in all if not."""
    lengths = np.concatenate([part.chunks.lengths for part in parts])
    living = _living(parts, len(lengths))
    total = len(lengths) if living is None else int(living.sum())
    scores = np.zeros(len(lengths), np.float32)
    if not total:
        return Scored(parts, scores)
    mean = max(1.0, float(lengths.mean() if living is None else lengths[living].mean()))
    norms = (K1 * (1 - B + B / mean * lengths)).astype(np.float32)
    best = 0.0
    found = {term: _postings(parts, term, living) for term in {*asked, *required}}
    for term, times in asked.items():
        numbers, often = found[term]
        weight = times * float(np.log1p((total - len(numbers) + 0.5) / (len(numbers) + 0.5)))
        scores[numbers] += np.float32(weight) * often / (often + norms[numbers])
        best += weight
    scores /= np.float32(best or 1)
    for term in required:
        scores[~_at(found[term][0], len(scores))] = 0
    if documents is not None:
        scores[~np.concatenate([part.chunks.in_documents(documents) for part in parts])] = 0
    return Scored(parts, scores)


def _living(parts: Sequence[Part], total: int) -> NDArray[np.bool_] | None:
    """None: all."""
    if not any(len(part.dead) for part in parts):
        return None
    living = np.ones(total, np.bool_)
    begin = 0
    for part in parts:
        end = begin + len(part.chunks.ids)
        if len(part.dead):
            living[begin:end] = ~part.chunks.in_documents(part.dead)
        begin = end
    return living


def _postings(
    parts: Sequence[Part], term: bytes, living: NDArray[np.bool_] | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    numbers: list[NDArray[np.int64]] = []
    times: list[Times] = []
    begin = 0
    for part in parts:
        if (here := part.postings.get(term)) is not None:
            numbers.append(here[0].astype(np.int64) + begin)
            times.append(here[1])
        begin += len(part.chunks.ids)
    if not numbers:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    all_numbers, all_times = np.concatenate(numbers), np.concatenate(times).astype(np.float32)
    if living is not None:
        keep = living[all_numbers]
        return all_numbers[keep], all_times[keep]
    return all_numbers, all_times


def _at(numbers: NDArray[np.int64], total: int) -> NDArray[np.bool_]:
    mask = np.zeros(total, np.bool_)
    mask[numbers] = True
    return mask
