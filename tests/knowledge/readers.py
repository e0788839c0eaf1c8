"""What tests of readers share: they call one reader with the bytes of one document."""

import io
import zipfile
from collections.abc import Callable, Mapping
from itertools import pairwise

from services.knowledge_base.ingestion.extract.model import ContentLimits, Extracted, Source

Reader = Callable[[Source, ContentLimits], Extracted]


def read_with(reader: Reader, data: bytes, name: str = "document", password: str | None = None) -> Extracted:
    return reader(Source(io.BytesIO(data), name, password), ContentLimits())


def tables_of(found: Extracted) -> list[tuple[str, str]]:
    """Of each table its head and its rows."""
    return [(found.text[t.start : t.header_end], found.text[t.header_end : t.end]) for t in found.tables]


def pages_of(found: Extracted) -> list[str]:
    return [found.text[start:end].strip() for start, end in pairwise((*found.pages, len(found.text)))]


def titles_of(found: Extracted) -> list[tuple[int, str]]:
    """Levels and titles, each of which stands where it says that it does."""
    for heading in found.headings:
        assert found.text[heading.start :].startswith(heading.title)
    return [(heading.level, heading.title) for heading in found.headings]


def zipped(parts: Mapping[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def changed(data: bytes, change: Callable[[str, bytes], bytes | None]) -> bytes:
    """The same archive with its parts as `change` gives them back; None leaves one out."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: change(name, archive.read(name)) for name in archive.namelist()}
    return zipped({name: content for name, content in parts.items() if content is not None})
