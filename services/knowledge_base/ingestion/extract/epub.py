"""Books: pages of XHTML in a ZIP archive, in the order that the book gives them."""

import posixpath
import re
import zipfile
from collections.abc import Iterator
from urllib.parse import unquote

from services.knowledge_base.ingestion.extract.assembly import Assembly, as_title
from services.knowledge_base.ingestion.extract.dates import from_iso
from services.knowledge_base.ingestion.extract.html.render import Renderer
from services.knowledge_base.ingestion.extract.html.tree import Element, decode_page, parse_xhtml, text_of
from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    ExtractionCode,
    ExtractionError,
    Source,
    damaged,
)

_CONTAINER = "META-INF/container.xml"
_PAGES = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml"})
_PAGE_NAME = re.compile(r"\.x?html?$", re.I)
# Fonts are often scrambled, which protects nothing that is read.
_FONT_ONLY = re.compile(r"idpf\.org/2008/embedding|ns\.adobe\.com/pdf/enc#RC")
_FONT_NAME = re.compile(r"\.(?:otf|ttf|woff2?|eot)$", re.I)


def extract_epub(source: Source, limits: ContentLimits) -> Extracted:
    source.file.seek(0)
    try:
        with zipfile.ZipFile(source.file) as archive:
            return _Book(archive, limits).read()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError):
        damaged("The book is damaged or cut off.")


class _Book:
    def __init__(self, archive: zipfile.ZipFile, limits: ContentLimits) -> None:
        self._archive = archive
        self._names = {name.lower(): name for name in reversed(archive.namelist())}
        self._limits = limits
        self._left = limits.unpacked_bytes

    def read(self) -> Extracted:
        self._refuse_protected()
        place = self._package_place()
        package = self._xml(place)
        if package is None:
            damaged("The book is damaged: it does not say what belongs to it.")
        assembly = Assembly(self._limits)
        for name in self._spine(package, posixpath.dirname(place)):
            page = self._page(name, assembly)
            body = None if page is None else next(page.iter("body"), page)
            if body is not None:
                Renderer(assembly).render(body)
        return assembly.assembled(DocumentFormat.EPUB, _first(package, "title"), from_iso(_date(package)))

    def _page(self, name: str, assembly: Assembly) -> Element | None:
        try:
            return self._xml(name)
        except ExtractionError:
            raise
        except Exception:  # noqa: BLE001 - one page that is broken does not spoil the book
            assembly.warn(f"The page {posixpath.basename(name)!r} of the book could not be read.")
            return None

    def _refuse_protected(self) -> None:
        protection = self._xml("META-INF/encryption.xml")
        if self._find("META-INF/rights.xml") and protection is None:
            raise _protected()
        for one in protection.iter("encrypteddata") if protection is not None else ():
            method = next((each.get("Algorithm") or "" for each in one.iter("encryptionmethod")), "")
            target = next((each.get("URI") or "" for each in one.iter("cipherreference")), "")
            if not _FONT_ONLY.search(method) and not _FONT_NAME.search(target):
                raise _protected()

    def _package_place(self) -> str:
        container = self._xml(_CONTAINER)
        roots = [root.get("full-path") for root in container.iter("rootfile")] if container is not None else []
        place = next((root for root in roots if root and self._find(root)), None)
        place = place or next((name for name in self._archive.namelist() if name.lower().endswith(".opf")), None)
        if place is None:
            damaged("The book is damaged: it does not say what belongs to it.")
        return place

    def _spine(self, package: Element, folder: str) -> Iterator[str]:
        items = {item.get("id"): item for item in package.iter("item")}
        order = [items.get(one.get("idref")) for one in package.iter("itemref")]
        listed = [item for item in order if item is not None] or list(items.values())
        for item in listed:
            name = posixpath.normpath(posixpath.join(folder, unquote(item.get("href") or "")))
            if (item.get("media-type") in _PAGES or _PAGE_NAME.search(name)) and self._find(name):
                yield name

    def _find(self, name: str) -> str | None:
        return self._names.get(name.lower())

    def _xml(self, name: str) -> Element | None:
        found = self._find(name)
        if found is None:
            return None
        with self._archive.open(found) as stream:
            data = stream.read(self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            message = f"The book is larger than {self._limits.unpacked_bytes / 1_000_000:,.0f} MB when unpacked."
            raise ExtractionError(ExtractionCode.TOO_LARGE, message)
        return parse_xhtml(decode_page(data))


def _first(package: Element, tag: str) -> str | None:
    return next((as_title(text_of(one)) for one in package.iter(tag) if text_of(one)), None)


def _date(package: Element) -> str:
    """When it was published, not when the file was made."""
    dates = list(package.iter("date"))
    published = [date for date in dates if "publication" in (date.get("{http://www.idpf.org/2007/opf}event") or "")]
    return next((text_of(date) for date in (*published, *dates)), "")


def _protected() -> ExtractionError:
    return ExtractionError(
        ExtractionCode.ENCRYPTED,
        "The book is copy-protected (DRM): only the reading program it was bought for opens it.",
    )
