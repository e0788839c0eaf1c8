"""The part of pypdfium2 that reading text needs, with types; the library has none."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeArgument=false

import ctypes
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import pypdfium2
import pypdfium2.raw as raw

PdfError = pypdfium2.PdfiumError
_REVERSED_LAM_ALEF = re.compile("[\u0622\u0623\u0625\u0627]\u0644")
_OBJECTS = 2000
_DRAWN = 30
_ANNOTATIONS = 5000
_WIDGET = raw.FPDF_ANNOT_WIDGET
_REMARKS = frozenset(
    {
        *(raw.FPDF_ANNOT_TEXT, raw.FPDF_ANNOT_FREETEXT, raw.FPDF_ANNOT_HIGHLIGHT, raw.FPDF_ANNOT_UNDERLINE),
        *(raw.FPDF_ANNOT_SQUIGGLY, raw.FPDF_ANNOT_STRIKEOUT, raw.FPDF_ANNOT_CARET, raw.FPDF_ANNOT_STAMP),
        *(raw.FPDF_ANNOT_SQUARE, raw.FPDF_ANNOT_CIRCLE, raw.FPDF_ANNOT_INK),
    }
)
_CHOSEN = frozenset({raw.FPDF_FORMFIELD_CHECKBOX, raw.FPDF_FORMFIELD_RADIOBUTTON})
_TYPED = frozenset({raw.FPDF_FORMFIELD_TEXTFIELD, raw.FPDF_FORMFIELD_COMBOBOX, raw.FPDF_FORMFIELD_LISTBOX})
_BOLD_NAME = re.compile(rb"bold|black|heavy|semibold|demi", re.I)
_BOLD = 600
_PASSWORD_FIELD = 1 << 13


class PasswordNeeded(Exception):
    pass


@dataclass(frozen=True, slots=True)
class OutlineEntry:
    level: int
    title: str
    page: int | None


@dataclass(frozen=True, slots=True)
class Box:
    left: float
    bottom: float
    right: float
    top: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.top - self.bottom


@dataclass(frozen=True, slots=True)
class Field:
    """A form's field. `checked` is None for those that hold text."""

    name: str
    value: str
    checked: bool | None = None


class PdfFile:
    def __init__(self, data: bytes, password: str | None = None) -> None:
        try:
            self._document = pypdfium2.PdfDocument(data, password=password)
        except PdfError as error:
            if error.err_code in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY):
                raise PasswordNeeded from error
            raise
        self._has_form = self._document.get_formtype() != raw.FORMTYPE_NONE
        if self._has_form:
            self._document.init_forms()

    def __len__(self) -> int:
        return len(self._document)

    def metadata(self, key: str) -> str:
        return self._document.get_metadata_value(key)

    @contextmanager
    def page(self, number: int) -> "Generator[PdfPage]":
        page = self._document[number]
        textpage = page.get_textpage()
        try:
            yield PdfPage(page, textpage, self._document.formenv if self._has_form else None)
        finally:
            textpage.close()
            page.close()

    def outline(self) -> Iterator[OutlineEntry]:
        for bookmark in self._document.get_toc():
            destination = bookmark.get_dest()
            yield OutlineEntry(bookmark.level, bookmark.get_title(), destination.get_index() if destination else None)


class PdfPage:
    def __init__(self, page: Any, textpage: Any, form: Any | None) -> None:
        self._page = page
        self._textpage = textpage
        self._form = form

    def text(self, box: Box | None = None) -> str:
        if box is None:
            return self._textpage.get_text_bounded()
        return self._textpage.get_text_bounded(box.left, box.bottom, box.right, box.top)

    @cached_property
    def indexed(self) -> str:
        """The text letter by letter: places in it are places on the page. Its lines are more broken than `text`'s."""
        return self._textpage.get_text_range()

    def in_reading_order(self) -> str:
        """Undo what PDFium does to the Arabic lam-alef: one glyph, which it takes apart in left-to-right order."""
        text = self.text()
        pairs = [match.start() for match in _REVERSED_LAM_ALEF.finditer(text)]
        places = [match.start() for match in _REVERSED_LAM_ALEF.finditer(self.indexed)] if pairs else []
        if not pairs or len(pairs) != len(places):
            return text
        letters = list(text)
        for pair, place in zip(pairs, places, strict=True):
            if self.box_of(place) == self.box_of(place + 1):
                letters[pair : pair + 2] = letters[pair + 1], letters[pair]
        return "".join(letters)

    @property
    def size(self) -> tuple[float, float]:
        return self._page.get_size()

    def boxes(self) -> list[Box]:
        """Where the pieces of its lines stand, in the order they are read."""
        number = self._textpage.count_rects()
        return [Box(*self._textpage.get_rect(index)) for index in range(number)]

    def box_of(self, place: int) -> Box | None:
        """Where the letter at this place in `indexed` stands."""
        index = raw.FPDFText_GetCharIndexFromTextIndex(self._textpage, place)
        return Box(*self._textpage.get_charbox(index)) if index >= 0 else None

    def letter(self, place: int) -> tuple[float, bool]:
        """How high the type is at this place in `indexed`, and whether it is bold."""
        index = raw.FPDFText_GetCharIndexFromTextIndex(self._textpage, place)
        box = raw.FS_RECTF()
        if index < 0 or not raw.FPDFText_GetLooseCharBox(self._textpage, index, box):
            return 0.0, False
        height = min(abs(box.top - box.bottom), abs(box.right - box.left) * 8)
        return round(height * 2) / 2, self._is_bold(index)

    def _is_bold(self, index: int) -> bool:
        if raw.FPDFText_GetFontWeight(self._textpage, index) >= _BOLD:
            return True
        name, flags = ctypes.create_string_buffer(128), ctypes.c_int()
        raw.FPDFText_GetFontInfo(self._textpage, index, name, 128, flags)
        return bool(_BOLD_NAME.search(name.value))

    def has_images(self) -> bool:
        """Images, or so many lines that they may be letters."""
        kinds = [found.type for found in islice(self._page.get_objects(max_depth=3), _OBJECTS)]
        return raw.FPDF_PAGEOBJ_IMAGE in kinds or kinds.count(raw.FPDF_PAGEOBJ_PATH) > _DRAWN

    def is_covered(self, share: float) -> bool:
        """Whether one image fills this share of it."""
        width, height = self.size
        for found in islice(self._page.get_objects(max_depth=1), _OBJECTS):
            if found.type in (raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_FORM):
                left, bottom, right, top = found.get_bounds()
                if (right - left) * (top - bottom) >= share * width * height:
                    return found.type == raw.FPDF_PAGEOBJ_IMAGE or self.has_images()
        return False

    def fields(self) -> Iterator[Field]:
        if self._form is None:
            return
        for annotation in self._annotations(lambda kind: kind == _WIDGET):
            kind = raw.FPDFAnnot_GetFormFieldType(self._form, annotation)
            name = self._field_text(raw.FPDFAnnot_GetFormFieldAlternateName, annotation)
            name = name or self._field_text(raw.FPDFAnnot_GetFormFieldName, annotation)
            if kind in _CHOSEN:
                yield Field(name, "", bool(raw.FPDFAnnot_IsChecked(self._form, annotation)))
            elif kind in _TYPED and not raw.FPDFAnnot_GetFormFieldFlags(self._form, annotation) & _PASSWORD_FIELD:
                yield Field(name, self._field_text(raw.FPDFAnnot_GetFormFieldValue, annotation))

    def remarks(self) -> Iterator[str]:
        for annotation in self._annotations(_REMARKS.__contains__):
            text = _text(lambda buffer, size, found=annotation: _contents(found, buffer, size))
            if text.strip():
                yield text

    def _annotations(self, wanted: Callable[[int], bool]) -> "Iterator[Any]":
        for number in range(min(raw.FPDFPage_GetAnnotCount(self._page), _ANNOTATIONS)):
            annotation = raw.FPDFPage_GetAnnot(self._page, number)
            if not annotation:
                continue
            try:
                if wanted(raw.FPDFAnnot_GetSubtype(annotation)):
                    yield annotation
            finally:
                raw.FPDFPage_CloseAnnot(annotation)

    def _field_text(self, get: Callable[..., int], annotation: Any) -> str:
        return _text(lambda buffer, size: get(self._form, annotation, buffer, size))


def _contents(annotation: Any, buffer: Any, size: int) -> int:
    return raw.FPDFAnnot_GetStringValue(annotation, b"Contents", buffer, size)


def _text(get: Callable[[Any, int], int]) -> str:
    """PDFium's way to hand out text: first its size, then its UTF-16 with a NUL at the end."""
    size = get(None, 0)
    if size <= 2:
        return ""
    buffer = ctypes.create_string_buffer(size)
    get(ctypes.cast(buffer, ctypes.POINTER(raw.FPDF_WCHAR)), size)
    return buffer.raw[: size - 2].decode("utf-16-le", "replace")
