"""What a reader's process does with its document: see `extract_child`."""

from typing import Any, BinaryIO

from services.knowledge_base.ingestion.extract import read, read_picture
from services.knowledge_base.ingestion.extract.archive import UnpackLimits, unpacked
from services.knowledge_base.ingestion.extract.model import ContentLimits, Extracted, Source
from services.knowledge_base.ingestion.extract_child import Job, Order, say
from services.knowledge_base.ingestion.unpack import send


def _extract(order: Order, document: BinaryIO, answer: BinaryIO) -> None:
    source = Source(document, order["name"], order["password"], order["web"])
    say(answer, {"document": _as_json(read(source, ContentLimits(**order["content"])))})


def _as_json(extracted: Extracted) -> dict[str, Any]:
    return {
        "format": extracted.format,
        "text": extracted.text,
        "pages": extracted.pages,
        "headings": [[heading.level, heading.title, heading.start] for heading in extracted.headings],
        "warnings": extracted.warnings,
        "tables": [[table.start, table.header_end, table.end] for table in extracted.tables],
        "parts": [[part.name, part.start] for part in extracted.parts],
        "title": extracted.title,
        "dated_at": extracted.dated_at,
        "images_only": extracted.images_only,
    }


def _unpack(order: Order, document: BinaryIO, answer: BinaryIO) -> None:
    source = Source(document, order["name"], order["password"])
    send(answer, unpacked(source, UnpackLimits(**order["limits"])))


def _picture(order: Order, document: BinaryIO, answer: BinaryIO) -> None:
    """A line about it, and its bytes where it is not the document itself."""
    source = Source(document, order["name"], order["password"])
    found = read_picture(source, ContentLimits(), order["page"])
    say(answer, {"page": found.page, "size": None if found.data is None else len(found.data)})
    answer.write(found.data or b"")


JOBS: dict[str, Job] = {"extract": _extract, "unpack": _unpack, "picture": _picture}
