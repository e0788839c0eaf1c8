"""The part of pypdfium2 that reading text needs, with types; the library has none."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pypdfium2
import pypdfium2.raw as raw

PdfError = pypdfium2.PdfiumError
_REVERSED_LAM_ALEF = re.compile("[\u0622\u0623\u0625\u0627]\u0644")


class PasswordNeeded(Exception):
    pass


@dataclass(frozen=True, slots=True)
class OutlineEntry:
    level: int
    title: str
    page: int | None


class PdfFile:
    def __init__(self, data: bytes) -> None:
        try:
            self._document = pypdfium2.PdfDocument(data)
        except PdfError as error:
            if error.err_code in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY):
                raise PasswordNeeded from error
            raise

    def __len__(self) -> int:
        return len(self._document)

    def page_text(self, number: int) -> str:
        page = self._document[number]
        textpage = page.get_textpage()
        try:
            return _in_reading_order(textpage)
        finally:
            textpage.close()
            page.close()

    def outline(self) -> Iterator[OutlineEntry]:
        for bookmark in self._document.get_toc():
            destination = bookmark.get_dest()
            yield OutlineEntry(bookmark.level, bookmark.get_title(), destination.get_index() if destination else None)


def _in_reading_order(textpage: pypdfium2.PdfTextPage) -> str:
    """Undo what PDFium does to the Arabic lam-alef: one glyph, which it takes apart in left-to-right order."""
    text = textpage.get_text_bounded()
    pairs = [match.start() for match in _REVERSED_LAM_ALEF.finditer(text)]
    if not pairs:
        return text
    letters = list(text)
    for index in pairs:
        first = raw.FPDFText_GetCharIndexFromTextIndex(textpage, index)
        if first >= 0 and textpage.get_charbox(first) == textpage.get_charbox(first + 1):
            letters[index : index + 2] = letters[index + 1], letters[index]
    return "".join(letters)
