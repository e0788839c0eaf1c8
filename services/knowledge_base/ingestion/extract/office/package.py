"""An Office file (Open XML): its parts by name and what they refer to. Checks its size before unpacking."""

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote

from services.knowledge_base.ingestion.extract.dates import from_iso
from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    ExtractionCode,
    ExtractionError,
    damaged,
    password_needed,
)
from services.knowledge_base.ingestion.extract.office.xml import BrokenPart, Element, local, parse_xml
from services.knowledge_base.ingestion.extract.titles import given_title

_PROLOG = 4096
# Office can also save "strict" files, which differ in nothing but these names.
_STRICT = re.compile(rb"http://purl\.oclc\.org/ooxml/(\w+)/")
_USUAL = rb"http://schemas.openxmlformats.org/\1/2006/"
_PROPERTIES = "docProps/core.xml"
_MAIN_PARTS = ("word/document.xml", "ppt/presentation.xml", "xl/workbook.xml")


@dataclass(frozen=True, slots=True)
class Relation:
    id: str
    kind: str  # the last word of its type
    target: str


class Package:
    def __init__(self, data: bytes, limits: ContentLimits) -> None:
        self._archive = zipfile.ZipFile(io.BytesIO(data))
        check_entries(self._archive, limits, no_doctype=(".xml", ".rels"))
        self._names = {name.lstrip("/").lower(): name for name in self._archive.namelist()}

    @cached_property
    def main(self) -> str:
        """The name of the part that holds the document."""
        found = next(self.related("", "officeDocument"), None)
        name = found.target if found else next((name for name in _MAIN_PARTS if name in self), None)
        return name or damaged("The document is damaged: its main part is missing.")

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._names

    def xml(self, name: str) -> Element:
        data = self.read(name)
        return parse_xml(_STRICT.sub(_USUAL, data) if _STRICT.search(data, 0, _PROLOG) else data)

    def spare(self, name: str | None, use: Callable[[Element], None]) -> None:
        """Uses a part that the document can be read without, if it is there and not broken."""
        try:
            root = self.xml(name) if name else None
        except BrokenPart:
            return
        if root is not None:
            use(root)

    def read(self, name: str) -> bytes:
        if name not in self:
            damaged("The document is damaged: a part of it is missing.")
        return read_entry(self._archive, self._names[name.lower()])

    def related(self, source: str, *kinds: str) -> Iterator[Relation]:
        """What this part refers to inside the file, of these kinds or all; parts that are missing are left out."""
        folder, name = posixpath.split(source)
        path = posixpath.join(folder, "_rels", f"{name}.rels")
        if path not in self:
            return
        try:
            relations = list(self.xml(path))
        except BrokenPart:
            return
        for relation in relations:
            kind = relation.get("Type", "").rpartition("/")[2]
            if relation.get("TargetMode", "") != "External" and (not kinds or kind in kinds):
                target = _absolute(folder, relation.get("Target", ""))
                if target in self:
                    yield Relation(relation.get("Id", ""), kind, target)

    def targets(self, source: str) -> dict[str, str]:
        """The names of the parts a part refers to, by the reference's id."""
        return {relation.id: relation.target for relation in self.related(source)}

    def title_and_date(self) -> tuple[str | None, str | None]:
        if _PROPERTIES not in self:
            return None, None
        found: dict[str, str] = {}
        try:
            properties = self.xml(_PROPERTIES)
        except BrokenPart:
            return None, None
        for child in properties:
            found.setdefault(local(child.tag), child.text or "")
        return given_title(found.get("title")), from_iso(found.get("modified", "")) or from_iso(
            found.get("created", "")
        )


def read_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except (zlib.error, zipfile.BadZipFile, EOFError) as error:
        raise BrokenPart from error


def check_entries(archive: zipfile.ZipFile, limits: ContentLimits, *, no_doctype: tuple[str, ...]) -> None:
    entries = archive.infolist()
    # zipfile never unpacks more of an entry than the directory declares, so a lie here cannot blow up later.
    if sum(entry.file_size for entry in entries) > limits.unpacked_bytes:
        raise ExtractionError(
            ExtractionCode.TOO_LARGE,
            f"The document unpacks to more than {limits.unpacked_bytes // 1_000_000} MB.",
        )
    if len({entry.filename for entry in entries}) != len(entries):
        damaged("The document holds two parts of the same name.")
    for entry in entries:
        if entry.flag_bits & 0x1:
            password_needed()
        if entry.filename.endswith(no_doctype):
            _check_xml(archive, entry)


def _check_xml(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    try:
        with archive.open(entry) as stream:
            prolog = stream.read(_PROLOG)
    except (zlib.error, zipfile.BadZipFile, EOFError):
        return  # it will not be read either
    if b"<!DOCTYPE" in prolog or b"<!ENTITY" in prolog:
        damaged("The document declares XML entities, which no office program does: it is damaged or made to do harm.")


def _absolute(folder: str, target: str) -> str:
    target = unquote(target).replace("\\", "/")
    return posixpath.normpath(target if target.startswith("/") else posixpath.join(folder, target)).lstrip("/")
