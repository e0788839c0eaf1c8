"""Asks the index of words: reads what it does not know yet of the segments, and scores."""

import asyncio
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from operator import attrgetter
from typing import TYPE_CHECKING, Literal, TypeVar
from uuid import UUID

from sqlalchemy import ARRAY, Integer, column, func, select
from sqlalchemy.dialects.postgresql import UUID as PgUuid
from sqlalchemy.sql import bindparam

from shared.database.session import ReadSession
from shared.database.tables.keywords import KeywordBlock, KeywordDeletion, KeywordSegment
from shared.knowledge.keywords.analysis import analyzer
from shared.knowledge.keywords.cache import ByteCache

if TYPE_CHECKING:
    from shared.knowledge.keywords.scoring import Found, Scored
    from shared.knowledge.keywords.segment import Chunks

# Kept in memory, of all tenants together: what is known of chunks (24 bytes each), and postings (3 bytes each).
_SEGMENT_BYTES = 32_000_000
_POSTING_BYTES = 96_000_000

# Postings, and an eighth of the chunks: more is scored in a thread.
_MUCH_WORK = 20_000

T = TypeVar("T")
Hits = list[tuple[UUID, float]]

# Of a question: each is looked for in each segment, and no question has so many words that it would be missed.
_MOST_TERMS = 1000

_QUOTED = re.compile('["“”„«»]([^"“”„«»]{1,500})["“”„«»]')


@dataclass(frozen=True, slots=True)
class _Listed:
    id: UUID
    language: str
    dead: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class _Opened:
    """`firsts`: the first term of each of its blocks."""

    chunks: "Chunks"
    firsts: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question in a language."""

    terms: Mapping[bytes, int]
    required: Sequence[bytes]

    @property
    def all(self) -> list[bytes]:
        return sorted({*self.terms, *self.required})


class Matches:
    """Of one search: what was found, best first, and the score of any chunk. 0 to 1, see `scoring.Scored`."""

    def __init__(self, scored: "Sequence[Scored]", found: Hits) -> None:
        self._scored = scored
        # Already looked for, where so many are wanted.
        self._found = found

    @functools.cached_property
    def count(self) -> int:
        return sum(one.count for one in self._scored)

    def best(self, limit: int) -> Hits:
        """May take long, for a thread, but for as many as `find` was told of."""
        return self._found[:limit] if len(self._found) >= limit else _best(self._scored, limit)

    def scores_of(self, chunk_ids: Sequence[UUID]) -> dict[UUID, float]:
        found: dict[UUID, float] = {}
        for one in self._scored if chunk_ids else ():
            for chunk_id, score in one.scores_of(chunk_ids).items():
                found[chunk_id] = max(score, found.get(chunk_id, 0.0))
        return found


class KeywordFinder:
    """One per process: it remembers what it read."""

    def __init__(self) -> None:
        self._opened: ByteCache[_Opened] = ByteCache(_SEGMENT_BYTES)
        # False: the segment does not have the term.
        self._found: ByteCache[Found | Literal[False]] = ByteCache(_POSTING_BYTES)

    async def find(
        self,
        session: ReadSession,
        knowledge_base_ids: Sequence[UUID],
        query: str,
        documents: bytes | None = None,
        limit: int = 0,
    ) -> Matches:
        """`session` must read from one snapshot: segments may be merged meanwhile. `documents`: the only ones to be
        found, their ids one after the other. Phrases in quotation marks must be there by all their words. `limit`: how
        many will be asked for first."""
        listed = await _list(session, knowledge_base_ids)
        opened = await self._open(session, listed)
        asked = {language: _ask(language, query) for language in {one.language for one in listed}}
        postings = await self._postings(session, listed, opened, asked)
        size = (
            sum(len(here[0]) for here in postings.values()) + sum(len(one.chunks.ids) for one in opened.values()) // 8
        )
        large = size > _MUCH_WORK

        def score() -> "tuple[list[Scored], Hits]":
            scored = _score(listed, opened, asked, postings, documents)
            return scored, _best(scored, limit) if limit else []

        scored, found = await _run(large, score)
        return Matches(scored, found)

    async def _open(self, session: ReadSession, listed: Sequence[_Listed]) -> dict[UUID, _Opened]:
        found: dict[UUID, _Opened] = {}
        for one in listed:
            if (known := self._opened.get(one.id)) is not None:
                found[one.id] = known
        unknown = [one.id for one in listed if one.id not in found]
        if unknown:
            from shared.knowledge.keywords.segment import Chunks  # noqa: PLC0415 - numpy, which few processes need

            table = KeywordSegment
            statement = select(
                table.id, table.chunk_ids, table.lengths, table.documents, table.chunk_documents, table.firsts
            ).where(table.id.in_(unknown))
            for segment_id, *packed, firsts in await session.execute(statement):
                chunks = Chunks.unpacked(*packed)
                found[segment_id] = opened = _Opened(chunks, firsts.split(b"\n"))
                self._opened.put(segment_id, opened, chunks.size + len(firsts) + 40 * len(opened.firsts))
        return found

    async def _postings(
        self,
        session: ReadSession,
        listed: Sequence[_Listed],
        opened: Mapping[UUID, _Opened],
        asked: Mapping[str, _Asked],
    ) -> "dict[tuple[UUID, bytes], Found]":
        found: dict[tuple[UUID, bytes], Found] = {}
        blocks: dict[tuple[UUID, int], list[bytes]] = {}
        for one in listed:
            firsts = opened[one.id].firsts
            for term in asked[one.language].all:
                known = self._found.get((one.id, term))
                if known:
                    found[one.id, term] = known
                elif known is None and (number := _block_of(firsts, term)) is not None:
                    blocks.setdefault((one.id, number), []).append(term)
        if blocks:
            data = await _read_blocks(session, list(blocks))
            found |= await asyncio.to_thread(self._pick, data, blocks)
        return found

    def _pick(
        self, data: Mapping[tuple[UUID, int], bytes], blocks: Mapping[tuple[UUID, int], Sequence[bytes]]
    ) -> "dict[tuple[UUID, bytes], Found]":
        from shared.knowledge.keywords.segment import pick, read_block  # noqa: PLC0415 - numpy

        found: dict[tuple[UUID, bytes], Found] = {}
        for place, terms in blocks.items():
            picked = pick(read_block(data[place]), terms)
            for term in terms:
                key = (place[0], term)
                if (here := picked.get(term)) is None:
                    self._found.put(key, False, len(term))
                else:
                    found[key] = here
                    self._found.put(key, here, len(term) + here[0].nbytes + here[1].nbytes)
        return found


def phrases(query: str) -> list[str]:
    """What stands in quotation marks."""
    return [phrase for phrase in _QUOTED.findall(query) if phrase.strip()]


@functools.cache
def get_finder() -> KeywordFinder:
    """The process's only one."""
    return KeywordFinder()


def _ask(language: str, query: str) -> _Asked:
    words = analyzer(language)
    terms = {term.encode(errors="replace"): times for term, times in words.ask(query).items()}
    required = {term.encode(errors="replace") for phrase in phrases(query) for term in words.ask(phrase)}
    return _Asked(dict(islice(terms.items(), _MOST_TERMS)), sorted(required)[:_MOST_TERMS])


async def _run(large: bool, work: Callable[[], T]) -> T:
    """What is little takes longer to hand to a thread than to do."""
    return await asyncio.to_thread(work) if large else work()


def _best(scored: "Sequence[Scored]", limit: int) -> Hits:
    found = [hit for one in scored for hit in one.best(limit)]
    return sorted(found, key=lambda hit: (-hit[1], hit[0]))[:limit] if len(scored) > 1 else found


def _score(
    listed: Sequence[_Listed],
    opened: Mapping[UUID, _Opened],
    asked: Mapping[str, _Asked],
    postings: "Mapping[tuple[UUID, bytes], Found]",
    documents: bytes | None,
) -> "list[Scored]":
    """Knowledge bases of one language count as one: the same text has the same score in each."""
    import numpy as np  # noqa: PLC0415 - few processes need it

    from shared.knowledge.keywords.scoring import Part, score  # noqa: PLC0415
    from shared.knowledge.keywords.segment import pack_ids  # noqa: PLC0415

    allowed = None if documents is None else np.frombuffer(documents, "S16")
    scored: list[Scored] = []
    for language, segments in groupby(sorted(listed, key=attrgetter("language")), attrgetter("language")):
        question = asked[language]
        parts = [
            Part(
                opened[one.id].chunks,
                pack_ids(one.dead),
                {term: here for term in question.all if (here := postings.get((one.id, term))) is not None},
            )
            for one in segments
        ]
        scored.append(score(parts, question.terms, question.required, allowed))
    return scored


def _block_of(firsts: Sequence[bytes], term: bytes) -> int | None:
    from shared.knowledge.keywords.segment import block_of  # noqa: PLC0415 - numpy

    return block_of(firsts, term)


async def _list(session: ReadSession, knowledge_base_ids: Sequence[UUID]) -> list[_Listed]:
    dead = func.array(
        select(KeywordDeletion.document_id)
        .where(KeywordDeletion.segment_id == KeywordSegment.id)
        .correlate(KeywordSegment)
        .scalar_subquery(),
        type_=ARRAY(PgUuid(as_uuid=True)),
    )
    statement = select(KeywordSegment.id, KeywordSegment.language, dead).where(
        KeywordSegment.knowledge_base_id.in_(knowledge_base_ids)
    )
    return [_Listed(row[0], row[1], tuple(row[2])) for row in await session.execute(statement)]


async def _read_blocks(session: ReadSession, places: Sequence[tuple[UUID, int]]) -> dict[tuple[UUID, int], bytes]:
    segments = bindparam("segments", [segment for segment, _ in places], type_=ARRAY(PgUuid(as_uuid=True)))
    numbers = bindparam("numbers", [number for _, number in places], type_=ARRAY(Integer))
    columns = column("segment_id", PgUuid(as_uuid=True)), column("number", Integer)
    wanted = func.unnest(segments, numbers).table_valued(*columns, name="wanted").render_derived()
    statement = select(KeywordBlock.segment_id, KeywordBlock.number, KeywordBlock.data).join(
        wanted,
        (KeywordBlock.segment_id == wanted.c.segment_id) & (KeywordBlock.number == wanted.c.number),
    )
    return {(row[0], row[1]): row[2] for row in await session.execute(statement)}
