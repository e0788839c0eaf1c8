"""One normal form for text from anywhere, so that it can be stored, counted, compared and shown."""

import re
import unicodedata

_NEWLINES = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# PDFium marks a word that is broken at a line's end with U+FFFE.
_BROKEN_WORD = re.compile("[\ufffe\u0002]\n?")
# Control characters (Postgres refuses NUL), byte order marks and soft hyphens carry nothing a reader sees.
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\ufeff\uffff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_BLANK_LINES = re.compile(r"\n{4,}")
_LIGATURE = re.compile("[\ufb00-\ufb06]")
_LIGATURES = str.maketrans(
    {"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl", "\ufb05": "st", "\ufb06": "st"}
)


def clean(text: str) -> str:
    if text.isprintable() and not text.endswith(" "):  # most paragraphs of one line: nothing to look for
        return text if text.isascii() else _composed(text)
    text = _NEWLINES.sub("\n", text)
    text = _BROKEN_WORD.sub("", text)
    text = _INVISIBLE.sub("", text)
    text = _SURROGATES.sub("\ufffd", text)
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    text = _BLANK_LINES.sub("\n\n\n", text)
    return text if text.isascii() else _composed(text)


def _composed(text: str) -> str:
    if _LIGATURE.search(text):
        text = text.translate(_LIGATURES)
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)
