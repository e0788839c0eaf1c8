"""Plain text: bytes of any common encoding."""

import codecs
import re

from services.knowledge_base.ingestion.extract.clean import clean
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
_SAMPLE = 65_536
# In scripts other than the Latin most letters are beyond ASCII.
_NOT_LATIN = 0.3


def extract_text(source: Source, limits: ContentLimits) -> Extracted:
    builder = TextBuilder(limits)
    builder.add(clean(decode(source.read())))
    return Extracted(DocumentFormat.TEXT, builder.build())


def decode(data: bytes) -> str:
    """The text of these bytes; raises UNSUPPORTED when they are no text in any encoding we know."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    wide = _wide_encoding(data[:_SAMPLE])
    if wide:
        return _printable(data.decode(wide, "replace"))
    try:
        return _printable(data.decode("utf-8"))
    except UnicodeDecodeError:
        return _printable(_decode_almost_utf8(data) or _decode_by_guess(data))


def _wide_encoding(sample: bytes) -> str | None:
    """UTF-16 without a mark: in most languages every second byte is a small number or the same few."""
    half = len(sample) // 2
    if not half:
        return None
    even, odd = sample[0::2].count(0) / half, sample[1::2].count(0) / half
    if odd > 0.4 and even < 0.05:
        return "utf-16-le"
    return "utf-16-be" if even > 0.4 and odd < 0.05 else None


def _decode_almost_utf8(data: bytes) -> str | None:
    """UTF-8 with a few broken bytes is still better read as UTF-8."""
    text = data.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    good = sum(1 for character in text if character > "\x7f") - broken
    return text if broken * 10 <= good else None


def _decode_by_guess(data: bytes) -> str:
    """The guesser knows Japanese from Russian, but not the western code pages apart: of them we take the commonest."""
    # Seldom needed, and a third of what reading a small text costs.
    import charset_normalizer  # noqa: PLC0415
    from charset_normalizer.utils import is_multi_byte_encoding  # noqa: PLC0415

    best = charset_normalizer.from_bytes(data).best()
    sample = data[:_SAMPLE]
    share = sum(byte > 0x7F for byte in sample) / len(sample)
    if best is None or (share < _NOT_LATIN and not is_multi_byte_encoding(best.encoding)):
        return data.decode("cp1252", "replace")
    return data.decode(best.encoding, "replace")


def _printable(text: str) -> str:
    sample = text[:_SAMPLE]
    if len(_CONTROL.findall(sample)) > len(sample) / 100:
        raise ExtractionError(
            ExtractionCode.UNSUPPORTED,
            "The file is not text. Text, Markdown, PDF and Word (.docx) documents can be read.",
        )
    return text
