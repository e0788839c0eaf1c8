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
        found = self.scores[matching]
        if len(matching) > limit:
            least = np.partition(found, -limit)[-limit]
            matching = matching[found >= least]
            found = self.scores[matching]
        ids = self._ids(matching)
        order = np.lexsort((ids, -found))[:limit]
        hits = zip(ids[order].tolist(), found[order].tolist(), strict=True)
        return [(unpack_id(packed), score) for packed, score in hits]

    def _ids(self, numbers: NDArray[np.int64]) -> Ids:
        """`numbers` are in order."""
        ids: list[Ids] = []
        begin = first = 0
        for part in self.parts:
            end = begin + len(part.chunks.ids)
            last = int(np.searchsorted(numbers, end))
            if last > first:
                ids.append(part.chunks.ids[numbers[first:last] - begin])
            begin, first = end, last
        return np.concatenate(ids) if ids else pack_ids([])

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
    count = sum(len(part.chunks.ids) for part in parts)
    living = _living(parts, count)
    total = count if living is None else int(living.sum())
    scores = np.zeros(count, np.float32)
    if not total:
        return Scored(parts, scores)
    mean = max(1.0, _words(parts, living) / total)
    found = {term: _postings(parts, term, living) for term in {*asked, *required}}
    weights = {
        term: times * float(np.log1p((total - len(found[term].numbers) + 0.5) / (len(found[term].numbers) + 0.5)))
        for term, times in asked.items()
    }
    best = sum(weights.values()) or 1.0
    for term, weight in weights.items():
        here = found[term]
        norms = here.lengths * np.float32(K1 * B / mean) + np.float32(K1 * (1 - B))
        scores[here.numbers] += here.times * np.float32(weight / best) / (here.times + norms)
    for term in required:
        scores[~_at(found[term].numbers, len(scores))] = 0
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


def _words(parts: Sequence[Part], living: NDArray[np.bool_] | None) -> int:
    if living is None:
        return sum(int(part.chunks.lengths.sum(dtype=np.int64)) for part in parts)
    return int(np.concatenate([part.chunks.lengths for part in parts])[living].sum(dtype=np.int64))


@dataclass(frozen=True, slots=True)
class _Postings:
    """Of a term in all parts. `lengths` are those of the chunks."""

    numbers: NDArray[np.int64]
    times: NDArray[np.float32]
    lengths: NDArray[np.float32]


def _postings(parts: Sequence[Part], term: bytes, living: NDArray[np.bool_] | None) -> _Postings:
    numbers: list[NDArray[np.int64]] = []
    times: list[Times] = []
    lengths: list[NDArray[np.uint32]] = []
    begin = 0
    for part in parts:
        if (here := part.postings.get(term)) is not None:
            places = here[0].astype(np.int64)
            lengths.append(part.chunks.lengths[places])
            numbers.append(places + begin)
            times.append(here[1])
        begin += len(part.chunks.ids)
    if not numbers:
        return _Postings(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.float32))
    found = _Postings(
        np.concatenate(numbers), np.concatenate(times).astype(np.float32), np.concatenate(lengths).astype(np.float32)
    )
    if living is None:
        return found
    keep = living[found.numbers]
    return _Postings(found.numbers[keep], found.times[keep], found.lengths[keep])


def _at(numbers: NDArray[np.int64], total: int) -> NDArray[np.bool_]:
    mask = np.zeros(total, np.bool_)
    mask[numbers] = True
    return mask
