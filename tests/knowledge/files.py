"""Documents for tests, made on the spot: good ones, and ones that are made to do harm."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable
from typing import Any

import docx
from msoffcrypto.format.ooxml import OOXMLFile  # pyright: ignore[reportMissingTypeStubs] - has no types

_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_XML = '<?xml version="1.0"?>'


def word(*blocks: tuple[str, str]) -> bytes:
    """(style, text) paragraphs; the style "Table" makes a row of cells from text parted by "|"."""
    document = docx.Document()
    for style, text in blocks:
        if style == "Table":
            cells = text.split("|")
            table = document.add_table(rows=1, cols=len(cells))
            for cell, content in zip(table.rows[0].cells, cells, strict=True):
                cell.text = content
        else:
            document.add_paragraph(text, style=style)
    return _saved(document)


def word_of_xml(parts: Iterable[str | bytes], prolog: str = _XML) -> bytes:
    """A document whose body is exactly this XML."""
    head = f'{prolog}<w:document xmlns:w="{_W}"><w:body>'
    return _with_document_xml(word(("Normal", "x")), [head, *parts, "</w:body></w:document>"])


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def zip_bomb(megabytes: int) -> bytes:
    block = paragraph("hello world") * 1000
    return word_of_xml(block for _ in range(megabytes * 1_000_000 // len(block)))


def slow_word(text: str) -> bytes:
    """Takes seconds to read and has little to say: nearly all of it is struck out."""
    struck = "<w:p><w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>" * 1000
    return word_of_xml([*([struck] * 60), paragraph(text)])


def lying_zip(megabytes: int) -> bytes:
    """Unpacks to much more than its directory says."""
    data = zip_bomb(megabytes)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = archive.getinfo("word/document.xml").file_size
    return data.replace(struct.pack("<I", size), struct.pack("<I", 1000))


def entity_bomb(encoding: str = "utf-8") -> bytes:
    entities = '<!ENTITY a0 "' + "ha" * 500 + '">'
    for level in range(1, 10):
        entities += f'<!ENTITY a{level} "{f"&a{level - 1};" * 50}">'
    xml = (
        f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE w [{entities}]>'
        f'<w:document xmlns:w="{_W}"><w:body>{paragraph("x&a9;y")}</w:body></w:document>'
    )
    return _with_document_xml(word(("Normal", "x")), [xml.encode(encoding)])


def foreign_entity(path: str, encoding: str) -> bytes:
    xml = (
        f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE w [<!ENTITY a SYSTEM "file://{path}">]>'
        f'<w:document xmlns:w="{_W}"><w:body>{paragraph("before &a; after")}{paragraph("end")}</w:body></w:document>'
    )
    return _with_document_xml(word(("Normal", "x")), [xml.encode(encoding)])


def pdf(*pages: str, outline: Iterable[tuple[str, int]] = ()) -> bytes:
    """One line of text per page; `outline` has titles and the number of the page they lead to, from 1."""
    entries = list(outline)
    first_page, first_entry = 4, 4 + 2 * len(pages)
    kids = " ".join(f"{first_page + 2 * n} 0 R" for n in range(len(pages)))
    last = first_entry + len(entries) - 1
    root = f"/Outlines {last + 1} 0 R" if entries else ""
    objects: list[bytes] = [
        f"<</Type/Catalog/Pages 2 0 R{root}>>".encode(),
        f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>".encode(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for number, text in enumerate(pages):
        page = (
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</Font<</F 3 0 R>>>>"
            f"/Contents {first_page + 2 * number + 1} 0 R>>"
        )
        objects += [page.encode(), _stream(_shown(text))]
    for number, (title, page_number) in enumerate(entries):
        links = f"/Parent {last + 1} 0 R" + (
            f"/Next {first_entry + number + 1} 0 R" if number + 1 < len(entries) else ""
        )
        target = first_page + 2 * (page_number - 1)
        objects.append(f"<</Title({title}){links}/Dest[{target} 0 R/Fit]>>".encode())
    if entries:
        objects.append(f"<</First {first_entry} 0 R/Last {last} 0 R/Count {len(entries)}>>".encode())
    return pdf_of(objects)


def pdf_with_content(content: bytes) -> bytes:
    """One page whose packed content unpacks to `content`, twice packed."""
    packed = zlib.compress(zlib.compress(content, 9), 9)
    stream = b"<</Length %d/Filter[/FlateDecode/FlateDecode]>>stream\n%b\nendstream" % (len(packed), packed)
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</Font<</F 3 0 R>>>>/Contents 5 0 R>>"
    return pdf_of(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[4 0 R]/Count 1>>",
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
            page,
            stream,
        ]
    )


def pdf_that_draws_itself() -> bytes:
    content = b"/X Do /X Do /X Do BT /F 12 Tf 10 10 Td (Hi) Tj ET"
    form = b"<</Type/XObject/Subtype/Form/BBox[0 0 600 800]/Resources<</XObject<</X 4 0 R>>>>/Length %d>>"
    return pdf_of(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</XObject<</X 4 0 R>>>>/Contents 4 0 R>>",
            form % len(content) + b"stream\n%b\nendstream" % content,
        ]
    )


def pdf_of(objects: list[bytes]) -> bytes:
    out = bytearray(b"%PDF-1.5\n")
    offsets: list[int] = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return bytes(out + b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start))


def encrypted_office(password: str = "open sesame") -> bytes:
    file = io.BytesIO()
    plain = io.BytesIO(word(("Normal", "what nobody may read")))
    OOXMLFile(plain).encrypt(password, file)  # pyright: ignore[reportUnknownMemberType]
    return file.getvalue()


def _shown(text: str) -> bytes:
    return b"BT /F 12 Tf 20 700 Td (%b) Tj ET" % text.encode("cp1252")


def _stream(content: bytes) -> bytes:
    return b"<</Length %d>>stream\n%b\nendstream" % (len(content), content)


def _saved(document: Any) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def _with_document_xml(data: bytes, parts: Iterable[str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            if entry.filename != "word/document.xml":
                target.writestr(entry.filename, source.read(entry.filename))
        with target.open("word/document.xml", "w") as stream:
            for part in parts:
                stream.write(part.encode() if isinstance(part, str) else part)
    return out.getvalue()
