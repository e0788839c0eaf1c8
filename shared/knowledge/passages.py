"""From chunks that were found to passages: read under the asker's own row-level security, joined, shown once.

Postgres has the last word: what is gone, replaced, or not to be found by this search is no result, whoever named it.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import and_, select
from sqlalchemy import text as sql

from shared.database.session import ReadSession
from shared.database.tables.knowledge import Chunk, Document, DocumentText
from shared.knowledge.allowed import among, condition
from shared.knowledge.keywords.analysis import analyzer, in_a_row
from shared.knowledge.keywords.finder import phrases
from shared.knowledge.request import FoundPassage, SameText, SearchRequest, Span

# A passage of more would say less about why it was found.
_MOST_JOINED = 4
_LEAST_SHARE = 0.6
# What may lie between two chunks that are one passage.
_WIDEST_GAP = 200


# More is looked through for words of the question in a thread.
_MUCH_TEXT = 20_000

# A document, its revision, and from where to where in its text.
_Gap = tuple[UUID, int, int, int]

_GAPS = sql(
    """
    SELECT wanted.document_id, wanted.revision, wanted.start, wanted.till,
        substr(document_texts.text, wanted.start + 1, wanted.till - wanted.start)
    FROM unnest(
        CAST(:documents AS uuid[]), CAST(:revisions AS int[]), CAST(:starts AS int[]), CAST(:ends AS int[])
    ) AS wanted(document_id, revision, start, till)
    JOIN document_texts
        ON document_texts.document_id = wanted.document_id AND document_texts.revision = wanted.revision
    """
)


@dataclass(frozen=True, slots=True)
class Row:
    """A chunk with what its passage needs to know of the document."""

    chunk_id: UUID
    knowledge_base_id: UUID
    document_id: UUID
    document_name: str
    revision: int
    ordinal: int
    text: str
    page: int | None
    headings: list[str]
    start: int
    end: int
    part: str | None
    table_header: str | None

    def follows(self, other: "Row") -> bool:
        return (
            (self.document_id, self.ordinal) == (other.document_id, other.ordinal + 1)
            # of one section, which is what a citation names
            and (self.part, self.headings) == (other.part, other.headings)
            and other.start <= self.start
            and self.start - other.end <= _WIDEST_GAP
        )


@dataclass(slots=True)
class Group:
    """Chunks that follow one another, and the first that was found of them, which is the best."""

    rows: list[Row]
    best: Row
    score: float
    also_in: list[SameText] = field(default_factory=list[SameText])

    def takes(self, row: Row, score: float) -> bool:
        """What fits much worse than its neighbour would only blur it."""
        return (
            len(self.rows) < _MOST_JOINED
            and score >= self.score * _LEAST_SHARE
            and (row.follows(self.rows[-1]) or self.rows[0].follows(row))
        )

    def take(self, row: Row) -> None:
        self.rows.insert(len(self.rows) if row.follows(self.rows[-1]) else 0, row)


async def read(session: ReadSession, request: SearchRequest, chunk_ids: Sequence[UUID]) -> list[Row]:
    """Those that may be found, in the same order."""
    columns = (
        Chunk.id,
        Chunk.knowledge_base_id,
        Chunk.document_id,
        Document.name,
        Chunk.revision,
        Chunk.ordinal,
        Chunk.text,
        Chunk.page,
        Chunk.headings,
        Chunk.start,
        Chunk.end,
        Chunk.part,
        Chunk.table_header,
    )
    statement = (
        select(*columns)
        .join(Document, and_(Document.id == Chunk.document_id, Document.revision == Chunk.revision))
        .where(among(Chunk.id, chunk_ids), condition(request.knowledge_base_ids, request.filters))
    )
    rows = {row[0]: Row(*row) for row in await session.execute(statement)}
    return [rows[chunk_id] for chunk_id in chunk_ids if chunk_id in rows]


def with_phrases(rows: Sequence[Row], query: str, languages: Mapping[UUID, str]) -> list[Row]:
    """Those that have what the question has in quotation marks, word for word. May take long: for a thread."""
    required = phrases(query)
    if not required:
        return list(rows)
    wanted = {
        language: {in_a_row(words) for one in required if (words := analyzer(language).plain(one))}
        for language in set(languages.values())
    }

    def has_all(row: Row) -> bool:
        language = languages[row.knowledge_base_id]
        words = analyzer(language).plain(" ".join((*row.headings, row.table_header or "", row.text)))
        there = in_a_row(words)
        return all(phrase in there for phrase in wanted[language])

    return [row for row in rows if has_all(row)]


class Assembly:
    """The first passages out of chunks that come best first. What stands in several documents is shown once.

    `full`: what comes later can change nothing.
    """

    def __init__(self, scores: Mapping[UUID, float], limit: int) -> None:
        self._scores = scores
        self._limit = limit
        self._seen: dict[str, Group] = {}
        self.groups: list[Group] = []
        self.full = False

    def add(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if self.full:
                return
            words = " ".join(row.text.split()).casefold()
            if (same := self._seen.get(words)) is not None:
                _note(same, row)
            else:
                self._place(row, words)

    def _place(self, row: Row, words: str) -> None:
        score = self._scores[row.chunk_id]
        touching = [group for group in self.groups if group.takes(row, score)]
        if touching:
            group = touching[0]
            group.take(row)
            if len(touching) == 2 and len(group.rows) + len(touching[1].rows) <= _MOST_JOINED:
                self._unite(group, touching[1])
        elif len(self.groups) < self._limit:
            group = Group([row], row, score)
            self.groups.append(group)
        else:
            self.full = True
            return
        self._seen[words] = group

    def _unite(self, group: Group, other: Group) -> None:
        _unite(group, other)
        self.groups.remove(other)
        self._seen |= {text: group for text, old in self._seen.items() if old is other}


def assemble(rows: Sequence[Row], scores: Mapping[UUID, float], limit: int) -> list[Group]:
    """Of rows that are all there are."""
    assembly = Assembly(scores, limit)
    assembly.add(rows)
    return assembly.groups


def _unite(group: Group, other: Group) -> None:
    group.rows = sorted(group.rows + other.rows, key=lambda row: row.ordinal)
    group.also_in += [
        same for same in other.also_in if same.document_id not in {one.document_id for one in group.also_in}
    ]


def _note(group: Group, row: Row) -> None:
    known = {group.rows[0].document_id, *(same.document_id for same in group.also_in)}
    if row.document_id not in known:
        group.also_in.append(SameText(row.knowledge_base_id, row.document_id, row.document_name, row.chunk_id))


async def complete(
    session: ReadSession, groups: Sequence[Group], query: str, languages: Mapping[UUID, str]
) -> list[FoundPassage]:
    """With what stands between joined chunks, the last page, and the question's words in the text."""
    pages = await _pages(session, groups)
    gaps = await _gaps(session, groups)
    texts = [_joined(group.rows, gaps) for group in groups]
    spans = await _all_highlights(texts, [languages[group.rows[0].knowledge_base_id] for group in groups], query)
    passages: list[FoundPassage] = []
    for group, text, pointed_at in zip(groups, texts, spans, strict=True):
        first = group.rows[0]
        end = max(row.end for row in group.rows)
        passages.append(
            FoundPassage(
                knowledge_base_id=first.knowledge_base_id,
                document_id=first.document_id,
                document_name=first.document_name,
                chunk_id=group.best.chunk_id,
                text=text,
                score=group.score,
                page=first.page,
                page_end=None if first.page is None else max(first.page, bisect_left(pages[first.document_id], end)),
                start=first.start,
                end=end,
                headings=first.headings,
                part=first.part,
                table_header=first.table_header,
                chunk_ids=[row.chunk_id for row in group.rows],
                highlights=pointed_at,
                also_in=group.also_in,
            )
        )
    return passages


async def _all_highlights(texts: Sequence[str], languages: Sequence[str], query: str) -> list[list[Span]]:
    def find() -> list[list[Span]]:
        asked = {language: analyzer(language).ask(query).keys() for language in set(languages)}
        return [highlights(text, language, asked[language]) for text, language in zip(texts, languages, strict=True)]

    much = len(query) + sum(map(len, texts)) > _MUCH_TEXT
    return await asyncio.to_thread(find) if much else find()


def highlights(text: str, language: str, asked: Set[str]) -> list[Span]:
    """Where words of the question stand, in any of their forms. `asked` are its terms."""
    found: list[Span] = []
    for start, end in analyzer(language).places(text, asked):
        if found and found[-1].end >= start:
            found[-1] = Span(found[-1].start, end)
        else:
            found.append(Span(start, end))
    return found


def _joined(rows: Sequence[Row], gaps: Mapping[_Gap, str]) -> str:
    text, end = rows[0].text, rows[0].end
    for row in rows[1:]:
        if row.start > end:
            text += gaps.get(_gap(row, end), "")
            end = row.start
        text += row.text[end - row.start :]
        end = max(end, row.end)
    return text


def _gap(row: Row, start: int) -> _Gap:
    return row.document_id, row.revision, start, row.start


async def _gaps(session: ReadSession, groups: Sequence[Group]) -> dict[_Gap, str]:
    """What stands between chunks of one passage."""
    wanted: list[_Gap] = []
    for group in groups:
        end = group.rows[0].end
        for row in group.rows[1:]:
            if row.start > end:
                wanted.append(_gap(row, end))
            end = max(end, row.end)
    if not wanted:
        return {}
    documents, revisions, starts, ends = zip(*wanted, strict=True)
    found = await session.execute(
        _GAPS, {"documents": documents, "revisions": revisions, "starts": starts, "ends": ends}
    )
    return {(row[0], row[1], row[2], row[3]): row[4] for row in found}


async def _pages(session: ReadSession, groups: Sequence[Group]) -> dict[UUID, list[int]]:
    """Where pages begin, of documents that have pages."""
    wanted = {(row.document_id, row.revision) for group in groups if (row := group.rows[0]).page is not None}
    found: dict[UUID, list[int]] = {document_id: [] for document_id, _ in wanted}
    if wanted:
        statement = select(DocumentText.document_id, DocumentText.revision, DocumentText.structure["pages"]).where(
            DocumentText.document_id.in_([document_id for document_id, _ in wanted])
        )
        found |= {row[0]: row[2] for row in await session.execute(statement) if (row[0], row[1]) in wanted}
    return found
