"""An OpenDocument file: its XML, and what it says of itself."""

import io
import zipfile

from services.knowledge_base.ingestion.extract.dates import from_iso
from services.knowledge_base.ingestion.extract.model import ContentLimits, damaged, password_needed
from services.knowledge_base.ingestion.extract.office.package import check_entries, read_entry
from services.knowledge_base.ingestion.extract.office.xml import BrokenPart, Element, parse_xml
from services.knowledge_base.ingestion.extract.titles import given_title

_MANIFEST = "META-INF/manifest.xml"
_DC = "{http://purl.org/dc/elements/1.1/}"
_META = "{urn:oasis:names:tc:opendocument:xmlns:meta:1.0}"


class OpenDocument:
    def __init__(self, data: bytes, limits: ContentLimits) -> None:
        self._archive = zipfile.ZipFile(io.BytesIO(data))
        check_entries(self._archive, limits, no_doctype=("content.xml", "styles.xml"))
        self._names = frozenset(self._archive.namelist())
        if _MANIFEST in self._names and b"encryption-data" in read_entry(self._archive, _MANIFEST):
            password_needed()

    def xml(self, name: str) -> Element | None:
        return parse_xml(read_entry(self._archive, name)) if name in self._names else None

    @property
    def content(self) -> Element:
        content = self.xml("content.xml")
        return content if content is not None else damaged("The document is damaged: its content is missing.")

    def title_and_date(self) -> tuple[str | None, str | None]:
        try:
            meta = self.xml("meta.xml")
        except BrokenPart:
            return None, None
        if meta is None:
            return None, None
        dates = (
            from_iso(found.text or "") for tag in (_DC + "date", _META + "creation-date") for found in meta.iter(tag)
        )
        title = next(meta.iter(_DC + "title"), None)
        return given_title(None if title is None else title.text), next(filter(None, dates), None)
