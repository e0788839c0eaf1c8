"""A segment of the index of words: made once, never changed. Pure: bytes and numpy arrays, no database.

Its chunks are numbered in the order of their ids. For each term it has the numbers of the chunks with it and how often
they have it, in the order of the terms, cut into blocks of a few KB that are read one by one. All little-endian.

    block = number of terms: u4, bytes of their names: u4, postings of each: u4[], names joined by \\n,
            numbers of chunks: u2[], times: u1[]
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

# Numbers of chunks are of two bytes, and what is merged at once is bounded.
MOST_CHUNKS = 32_768
_BLOCK_BYTES = 12_288
# More often makes no difference to the score.
_MOST_TIMES = 255
_UUID = np.dtype("S16")
_SEPARATOR = b"\n"

Ids = NDArray[np.bytes_]
Numbers = NDArray[np.uint16]
Times = NDArray[np.uint8]
Counts = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Counted:
    """A chunk by its terms."""

    chunk_id: UUID
    document_id: UUID
    terms: Mapping[str, int]
    length: int


@dataclass(frozen=True, slots=True)
class Chunks:
    """What is known of a segment's chunks, by their numbers. `of` is the place of a chunk's document in `documents`,
    which are in order, too."""

    ids: Ids
    lengths: Counts
    documents: Ids
    of: Counts

    @property
    def size(self) -> int:
        return self.ids.nbytes + self.lengths.nbytes + self.documents.nbytes + self.of.nbytes

    def in_documents(self, documents: Ids) -> NDArray[np.bool_]:
        """Which chunks are of these."""
        return np.isin(self.documents, documents)[self.of]

    def packed(self) -> dict[str, bytes]:
        return {
            "chunk_ids": self.ids.tobytes(),
            "lengths": self.lengths.tobytes(),
            "documents": self.documents.tobytes(),
            "chunk_documents": self.of.tobytes(),
        }

    @classmethod
    def unpacked(cls, chunk_ids: bytes, lengths: bytes, documents: bytes, chunk_documents: bytes) -> "Chunks":
        return cls(
            np.frombuffer(chunk_ids, _UUID),
            np.frombuffer(lengths, "<u4"),
            np.frombuffer(documents, _UUID),
            np.frombuffer(chunk_documents, "<u4"),
        )


@dataclass(frozen=True, slots=True)
class Postings:
    """Of all terms, one after the other: the first `counts[0]` are those of `terms[0]`."""

    terms: Sequence[bytes]
    counts: Counts
    numbers: Numbers
    times: Times


@dataclass(frozen=True, slots=True)
class Segment:
    chunks: Chunks
    postings: Postings


@dataclass(frozen=True, slots=True)
class Block:
    """`first` is the first of its terms."""

    first: bytes
    data: bytes


def pack_ids(ids: Iterable[UUID]) -> Ids:
    return np.frombuffer(b"".join(one.bytes for one in ids), _UUID)


def unpack_id(packed: bytes) -> UUID:
    # numpy gives bytes without the zeros at their end
    return UUID(bytes=packed.ljust(16, b"\0"))


def build(counted: Sequence[Counted]) -> Segment:
    ordered = sorted(counted, key=lambda chunk: chunk.chunk_id.bytes)
    names = sorted(set(chain.from_iterable(chunk.terms for chunk in ordered)))
    place = {name: n for n, name in enumerate(names)}
    sizes = [len(chunk.terms) for chunk in ordered]
    terms = np.fromiter((place[term] for chunk in ordered for term in chunk.terms), np.uint32, sum(sizes))
    times = np.fromiter((min(n, _MOST_TIMES) for chunk in ordered for n in chunk.terms.values()), np.uint8, sum(sizes))
    numbers = np.repeat(np.arange(len(ordered), dtype=np.uint16), sizes)
    documents = sorted({chunk.document_id.bytes for chunk in ordered})
    at = {document: n for n, document in enumerate(documents)}
    return Segment(
        Chunks(
            pack_ids(chunk.chunk_id for chunk in ordered),
            np.array([chunk.length for chunk in ordered], "<u4"),
            np.frombuffer(b"".join(documents), _UUID),
            np.array([at[chunk.document_id.bytes] for chunk in ordered], "<u4"),
        ),
        _in_order([name.encode(errors="replace") for name in names], terms, numbers, times),
    )


def merge(segments: Sequence[Segment], dead: Sequence[Ids]) -> Segment | None:
    """All of them as one, without the documents that are `dead` in each. None: nothing is left."""
    kept = [~part.chunks.in_documents(gone) for part, gone in zip(segments, dead, strict=True)]
    ids = np.concatenate([part.chunks.ids[keep] for part, keep in zip(segments, kept, strict=True)])
    if not len(ids):
        return None
    order = np.argsort(ids, kind="stable")
    numbered = np.empty(len(ids), np.uint16)
    numbered[order] = np.arange(len(ids))
    owners = np.concatenate(
        [part.chunks.documents[part.chunks.of[keep]] for part, keep in zip(segments, kept, strict=True)]
    )[order]
    documents, of = np.unique(owners, return_inverse=True)
    lengths = np.concatenate([part.chunks.lengths[keep] for part, keep in zip(segments, kept, strict=True)])[order]
    chunks = Chunks(ids[order], lengths, documents, of.astype("<u4"))
    return Segment(chunks, _merged_postings([part.postings for part in segments], kept, numbered))


def _merged_postings(
    parts: Sequence[Postings], kept: Sequence[NDArray[np.bool_]], numbered: NDArray[np.uint16]
) -> Postings:
    names = sorted(set(chain.from_iterable(part.terms for part in parts)))
    place = {name: n for n, name in enumerate(names)}
    terms: list[NDArray[np.uint32]] = []
    numbers: list[Numbers] = []
    times: list[Times] = []
    begin = 0
    for part, keep in zip(parts, kept, strict=True):
        here = keep[part.numbers]
        new = np.zeros(len(keep), np.uint16)
        new[keep] = numbered[begin : begin + int(keep.sum())]
        begin += int(keep.sum())
        places = np.fromiter((place[name] for name in part.terms), np.uint32, len(part.terms))
        terms.append(np.repeat(places, part.counts)[here])
        numbers.append(new[part.numbers[here]])
        times.append(part.times[here])
    return _in_order(names, np.concatenate(terms), np.concatenate(numbers), np.concatenate(times))


def _in_order(names: Sequence[bytes], terms: NDArray[np.uint32], numbers: Numbers, times: Times) -> Postings:
    """By term, and by number within each."""
    order = np.argsort(terms.astype(np.uint64) << np.uint64(16) | numbers)
    counts = np.bincount(terms, minlength=len(names)).astype("<u4")
    used = counts > 0
    left = names if used.all() else [name for name, there in zip(names, used.tolist(), strict=True) if there]
    return Postings(left, counts[used], numbers[order], times[order])


def blocks(postings: Postings) -> Iterator[Block]:
    """A term is never cut in two: a block of one frequent term may be larger."""
    ends = np.concatenate(([0], np.cumsum(postings.counts, dtype=np.int64)))
    sizes = np.fromiter((len(name) + 5 for name in postings.terms), np.int64, len(postings.terms))
    weights = np.cumsum(sizes + postings.counts.astype(np.int64) * 3)
    begin = 0
    while begin < len(postings.terms):
        written = weights[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(weights, written + _BLOCK_BYTES, "right")))
        names = _SEPARATOR.join(postings.terms[begin:end])
        span = slice(int(ends[begin]), int(ends[end]))
        head = np.array([end - begin, len(names)], "<u4").tobytes() + postings.counts[begin:end].astype("<u4").tobytes()
        data = head + names + postings.numbers[span].astype("<u2").tobytes() + postings.times[span].tobytes()
        yield Block(postings.terms[begin], data)
        begin = end


def read_block(data: bytes) -> Postings:
    terms, length = (int(n) for n in np.frombuffer(data, "<u4", 2))
    counts = np.frombuffer(data, "<u4", terms, 8)
    at = 8 + 4 * terms
    names = data[at : at + length].split(_SEPARATOR)
    total = int(counts.sum())
    numbers = np.frombuffer(data, "<u2", total, at + length)
    return Postings(names, counts, numbers, np.frombuffer(data, np.uint8, total, at + length + 2 * total))


def read_blocks(data: Iterable[bytes]) -> Postings:
    parts = [read_block(one) for one in data]
    return Postings(
        list(chain.from_iterable(part.terms for part in parts)),
        np.concatenate([part.counts for part in parts]),
        np.concatenate([part.numbers for part in parts]),
        np.concatenate([part.times for part in parts]),
    )


def pick(postings: Postings, wanted: Iterable[bytes]) -> dict[bytes, tuple[Numbers, Times]]:
    """Copies, so that the rest of the block need not be kept."""
    ends = np.cumsum(postings.counts, dtype=np.int64)
    found: dict[bytes, tuple[Numbers, Times]] = {}
    for term in wanted:
        place = bisect_right(postings.terms, term) - 1
        if place >= 0 and postings.terms[place] == term:
            end = int(ends[place])
            span = slice(end - int(postings.counts[place]), end)
            found[term] = (postings.numbers[span].copy(), postings.times[span].copy())
    return found


def block_of(firsts: Sequence[bytes], term: bytes) -> int | None:
    """Which block would have the term."""
    place = bisect_right(firsts, term) - 1
    return place if place >= 0 else None


def places_of(chunks: Chunks, ids: Ids) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which of the ids are in the segment, and their numbers there."""
    places = np.minimum(np.searchsorted(chunks.ids, ids), len(chunks.ids) - 1)
    there = chunks.ids[places] == ids
    return np.flatnonzero(there), places[there]
