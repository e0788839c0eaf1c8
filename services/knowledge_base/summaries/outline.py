"""What a knowledge base is about, told by its documents' names and headings: always there, and free."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import and_, func, select

from shared.database.session import ReadSession
from shared.database.tables.knowledge import Chunk, Document, DocumentText

_DOCUMENTS = 40
_HEADINGS = 8
_LEVEL = 2
_TITLE = 80
_LENGTH = 1500
_SAMPLE = 400


@dataclass(frozen=True, slots=True)
class Outlined:
    """`opening` is how the document begins."""

    name: str
    headings: Sequence[str]
    opening: str


@dataclass(frozen=True, slots=True)
class Outline:
    """`documents` are the longest of all that are found, whose number is `count`."""

    count: int
    documents: Sequence[Outlined]

    def text(self) -> str:
        if not self.count:
            return ""
        told = "; ".join(_named(document) for document in self.documents)
        text = f"{self.count} {'document' if self.count == 1 else 'documents'}: {told}"
        return text if len(text) <= _LENGTH else f"{text[:_LENGTH].rsplit('; ', 1)[0]}; ..."


async def outline_of(session: ReadSession, knowledge_base_id: UUID) -> Outline:
    found = (Document.knowledge_base_id == knowledge_base_id, Document.revision.is_not(None))
    count = await session.scalar(select(func.count()).select_from(Document).where(*found)) or 0
    headings = DocumentText.structure["headings"]
    opening = (
        select(func.left(Chunk.text, _SAMPLE))
        .where(Chunk.document_id == Document.id, Chunk.revision == Document.revision, Chunk.ordinal == 0)
        .scalar_subquery()
    )
    statement = (
        select(func.coalesce(Document.title, Document.name).label("name"), headings.label("headings"), opening)
        .outerjoin(
            DocumentText, and_(DocumentText.document_id == Document.id, DocumentText.revision == Document.revision)
        )
        .where(*found, Document.chunk_count > 0)
        .order_by(Document.char_count.desc(), Document.id)
        .limit(_DOCUMENTS)
    )
    rows = (await session.execute(statement)).all()
    return Outline(count, [Outlined(name[:_TITLE], _upper(headings), begins or "") for name, headings, begins in rows])


def _upper(headings: list[tuple[int, str, int]] | None) -> Sequence[str]:
    titles = (title[:_TITLE] for level, title, _ in headings or () if level <= _LEVEL)
    return list(dict.fromkeys(titles))[:_HEADINGS]


def _named(document: Outlined) -> str:
    return f"{document.name} ({', '.join(document.headings)})" if document.headings else document.name
