"""Plain text: bytes of any common encoding."""

import codecs
import re

from services.knowledge_base.ingestion.extract.clean import clean
from services.knowledge_base.ingestion.extract.encoding import (
    SAMPLE,
    escaped_encoding,
    guess_encoding,
    wide_encoding,
    wide_without_zeros,
)
from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    ExtractionCode,
    ExtractionError,
    Source,
    TextBuilder,
)

# UTF-32's mark begins with UTF-16's, so it is asked first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def extract_text(source: Source, limits: ContentLimits) -> Extracted:
    builder = TextBuilder(limits)
    builder.add(clean(decode(source.read())))
    return Extracted(DocumentFormat.TEXT, builder.build())


def has_mark(data: bytes) -> bool:
    return data.startswith(tuple(mark for mark, _ in _MARKS))


def decode(data: bytes) -> str:
    """The text of these bytes; raises UNSUPPORTED when they are no text in any encoding we know."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    switched = wide_encoding(data) or escaped_encoding(data)
    if switched:
        return _printable(data.decode(switched, "replace"))
    try:
        return _printable(data.decode("utf-8"))
    except UnicodeDecodeError:
        text = _decode_almost_utf8(data) or data.decode(guess_encoding(data), "replace")
    wide = None if _is_printable(text) else wide_without_zeros(data)
    return data.decode(wide, "replace") if wide else _printable(text)


def _decode_almost_utf8(data: bytes) -> str | None:
    """UTF-8 with a few broken bytes is still better read as UTF-8."""
    text = data.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    good = sum(1 for character in text if character > "\x7f") - broken
    return text if broken * 10 <= good else None


def _is_printable(text: str) -> bool:
    sample = text[:SAMPLE]
    return len(_CONTROL.findall(sample)) <= len(sample) / 100


def _printable(text: str) -> str:
    if not _is_printable(text):
        raise ExtractionError(
            ExtractionCode.UNSUPPORTED, "The file is not text, nor a document of a kind that can be read."
        )
    return text
