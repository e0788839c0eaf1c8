"""Opens a Word file: checks its size before unpacking and refuses what no Word writes."""

import io
import zipfile
from dataclasses import dataclass

import docx
from docx.document import Document
from docx.opc.constants import RELATIONSHIP_TYPE

from services.knowledge_base.ingestion.extract.model import ContentLimits, ExtractionCode, ExtractionError, damaged
from services.knowledge_base.ingestion.extract.word.xml import Element, W, parse_xml

_STRICT = b"purl.oclc.org/ooxml"
_PROLOG = 4096


def open_package(data: bytes, limits: ContentLimits) -> Document:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        _check_entries(archive, limits)
    return docx.Document(io.BytesIO(data))


def _check_entries(archive: zipfile.ZipFile, limits: ContentLimits) -> None:
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
            raise ExtractionError(ExtractionCode.ENCRYPTED, "The document is protected with a password.")
        if entry.filename.endswith((".xml", ".rels")):
            _check_xml(archive, entry)


def _check_xml(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    with archive.open(entry) as stream:
        prolog = stream.read(_PROLOG)
    if b"<!DOCTYPE" in prolog or b"<!ENTITY" in prolog:
        damaged("The document declares XML entities, which no Word document does: it is damaged or made to do harm.")
    if entry.filename == "_rels/.rels" and _STRICT in prolog:
        raise ExtractionError(
            ExtractionCode.UNSUPPORTED, "The document is saved as strict Open XML. Save it as ordinary .docx."
        )


@dataclass(frozen=True, slots=True)
class Notes:
    """Footnotes and endnotes by the id a paragraph refers to them with."""

    by_id: dict[tuple[str, str], Element]

    @classmethod
    def of(cls, document: Document) -> "Notes":
        found: dict[tuple[str, str], Element] = {}
        for kind, relation in (("footnote", RELATIONSHIP_TYPE.FOOTNOTES), ("endnote", RELATIONSHIP_TYPE.ENDNOTES)):
            for relationship in document.part.rels.values():
                if relationship.reltype == relation and not relationship.is_external:
                    root: Element = parse_xml(relationship.target_part.blob)
                    found.update({(kind, note.get(W + "id")): note for note in root.findall(W + kind)})
        return cls(found)
