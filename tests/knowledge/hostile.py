"""Files made to do harm, and good ones of every format to be spoiled. Nothing here is random but by a seed."""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from itertools import chain

import pptx

from tests.knowledge import files

_ODF = "urn:oasis:names:tc:opendocument:xmlns"
_MAIL = (
    b"From: a@example.org\r\nTo: b@example.org\r\nSubject: x\r\nMIME-Version: 1.0\r\nMessage-ID: <1@example.org>\r\n"
)


def package(parts: Mapping[str, str | bytes | Iterable[bytes]], *, first: str | None = None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        if first:
            target.writestr("mimetype", first, zipfile.ZIP_STORED)
        for name, content in parts.items():
            if isinstance(content, str | bytes):
                target.writestr(name, content)
                continue
            with target.open(name, "w") as stream:
                for piece in content:
                    stream.write(piece)
    return out.getvalue()


def docx(body: str = files.paragraph("good words"), doctype: str = "") -> bytes:
    return files.word_of_xml([body], f'<?xml version="1.0"?>{doctype}')


def pptx_(body: str = "good words", doctype: str = "") -> bytes:
    presentation = pptx.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[5])
    slide.shapes.title.text = "WORDS"  # pyright: ignore[reportOptionalMemberAccess] - this layout has one
    out = io.BytesIO()
    presentation.save(out)
    return changed(
        out.getvalue(),
        "ppt/slides/slide1.xml",
        lambda xml: xml.replace(b"WORDS", body.encode()).replace(b"?>", b"?>" + doctype.encode(), 1),
    )


def changed(data: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        return package(
            {each: change(source.read(each)) if each == name else source.read(each) for each in source.namelist()}
        )


def xlsx(
    rows: Iterable[bytes] = (b"<row><c t='inlineStr'><is><t>good words</t></is></c></row>",), doctype: str = ""
) -> bytes:
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relations = "http://schemas.openxmlformats.org/package/2006/relationships"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"

    def sheet() -> Iterable[bytes]:
        yield f'<?xml version="1.0"?>{doctype}<worksheet xmlns="{main}"><sheetData>'.encode()
        yield from rows
        yield b"</sheetData></worksheet>"

    return package(
        {
            "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
            f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}.worksheet+xml"/></Types>',
            "_rels/.rels": f'<Relationships xmlns="{relations}"><Relationship Id="r1" '
            f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
            "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
            '<sheet name="One" sheetId="1" r:id="r1"/></sheets></workbook>',
            "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{relations}"><Relationship Id="r1" '
            f'Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
            "xl/worksheets/sheet1.xml": sheet(),
        }
    )


def open_document(kind: str, body: Iterable[bytes], doctype: str = "") -> bytes:
    def content() -> Iterable[bytes]:
        yield (
            f'<?xml version="1.0"?>{doctype}<office:document-content xmlns:office="{_ODF}:office:1.0" '
            f'xmlns:text="{_ODF}:text:1.0" xmlns:table="{_ODF}:table:1.0" xmlns:draw="{_ODF}:drawing:1.0">'
            f"<office:body><office:{kind}>"
        ).encode()
        yield from body
        yield f"</office:{kind}></office:body></office:document-content>".encode()

    media_type = f"application/vnd.oasis.opendocument.{kind}"
    manifest = (
        f'<manifest:manifest xmlns:manifest="{_ODF}:manifest:1.0"><manifest:file-entry manifest:full-path="/" '
        f'manifest:media-type="{media_type}"/></manifest:manifest>'
    )
    return package({"content.xml": content(), "META-INF/manifest.xml": manifest}, first=media_type)


def odt(words: str = "good words", doctype: str = "") -> bytes:
    return open_document("text", [f"<text:p>{words}</text:p>".encode()], doctype)


def ods(words: str = "good words", doctype: str = "") -> bytes:
    cell = f'<table:table-cell office:value-type="string"><text:p>{words}</text:p></table:table-cell>'
    row = f"<table:table-row>{cell}</table:table-row>"
    return open_document("spreadsheet", [f'<table:table table:name="One">{row}</table:table>'.encode()], doctype)


def odp(words: str = "good words", doctype: str = "") -> bytes:
    box = f"<draw:frame><draw:text-box><text:p>{words}</text:p></draw:text-box></draw:frame>"
    return open_document("presentation", [f"<draw:page>{box}</draw:page>".encode()], doctype)


def epub(words: str = "good words", doctype: str = "") -> bytes:
    opf = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata/><manifest><item id="a" href="a.xhtml" '
        'media-type="application/xhtml+xml"/></manifest><spine><itemref idref="a"/></spine></package>'
    )
    page = (
        f'<?xml version="1.0"?>{doctype}<html xmlns="http://www.w3.org/1999/xhtml"><body><p>{words}</p></body></html>'
    )
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles><rootfile '
        'full-path="a.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    parts = {"META-INF/container.xml": container, "a.opf": opf, "a.xhtml": page}
    return package(parts, first="application/epub+zip")


def html(words: str = "good words", doctype: str = "<!DOCTYPE html>") -> bytes:
    return f"{doctype}<html><body><p>{words}</p></body></html>".encode()


def eml(words: str = "good words") -> bytes:
    return _MAIL + b"\r\n" + words.encode()


XML_FORMATS: Mapping[str, Callable[[str, str], bytes]] = {
    "docx": lambda words, doctype: docx(files.paragraph(words), doctype),
    "pptx": pptx_,
    "xlsx": lambda words, doctype: xlsx([f"<row><c t='inlineStr'><is><t>{words}</t></is></c></row>".encode()], doctype),
    "odt": odt,
    "ods": ods,
    "odp": odp,
    "epub": epub,
    "html": html,
}
GOOD: Mapping[str, Callable[[], bytes]] = {
    **{name: (lambda make=make: make("good words", "")) for name, make in XML_FORMATS.items()},
    "pdf": lambda: files.pdf("good words", "more of them", outline=[("good", 1)]),
    "txt": lambda: "good wörds\n".encode() * 20,
    "md": lambda: b"# good words\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
    "csv": lambda: b"name,words\nx,good words\ny,more\n",
    "rtf": lambda: rb"{\rtf1\ansi {\b good} words\par}",
    "eml": eml,
    "mbox": lambda: b"From a@example.org Mon Jan  1 00:00:00 2024\n" + eml().replace(b"\r", b"") + b"\n",
}


def laughs() -> str:
    entities = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{level} "{f"&a{level - 1};" * 10}">' for level in range(1, 10))
    return f"<!DOCTYPE x [{entities}]>"


def outside(address: str) -> str:
    """Asks for what is there in each of the ways a document type can."""
    entities = f'<!ENTITY a SYSTEM "{address}/entity"><!ENTITY % p SYSTEM "{address}/p"> %p;'
    return f'<!DOCTYPE x SYSTEM "{address}/dtd" [{entities}]>'


def inflating(kind: str, megabytes: int) -> bytes:
    """A small file whose main part is large: words over and over."""
    block = {
        "xlsx": b"<row><c t='inlineStr'><is><t>hello world</t></is></c></row>",
        "odt": b"<text:p>hello world</text:p>",
        "ods": b'<table:table-row><table:table-cell office:value-type="string"><text:p>hello world</text:p>'
        b"</table:table-cell></table:table-row>",
    }[kind]
    blocks = (block * 1000 for _ in range(megabytes * 1000 // len(block)))
    if kind == "xlsx":
        return xlsx(blocks)
    if kind == "odt":
        return open_document("text", blocks)
    return open_document("spreadsheet", chain([b'<table:table table:name="One">'], blocks, [b"</table:table>"]))


def overlapping(count: int, megabytes: int) -> bytes:
    """One file's bytes under many names, as in what David Fifield described."""
    data = package({"0000": bytes(megabytes * 1_000_000)})
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    record = data[start:end]
    records = [record.replace(b"0000", b"%04d" % number) for number in range(count)]
    directory = b"".join(records)
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(directory), start, 0)
    return data[:start] + directory + tail


def nested_archive(depth: int) -> bytes:
    data = package({"a.txt": b"at last"})
    for _ in range(depth):
        data = package({f"{number}.zip": data for number in range(4)})
    return data


def png(width: int, height: int, content: bytes | None = None) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = zlib.compress(content if content is not None else b"", 9)
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def jpeg(width: int, height: int) -> bytes:
    size = struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00"
    return b"\xff\xd8\xff\xc0" + struct.pack(">H", len(size) + 2) + size + b"\xff\xda" + bytes(50)


def tiff(width: int, height: int, following: int = 0) -> bytes:
    entries = [(256, 4, 1, width), (257, 4, 1, height)]
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\x00" + struct.pack("<I", 8) + body + struct.pack("<I", following)


def pdf_of_page(more: bytes, *objects: bytes, content: bytes = b"") -> bytes:
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R %b>>" % more
    stream = b"<</Length %d>>stream\n%b\nendstream" % (len(content), content)
    tree = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>"]
    return files.pdf_of([*tree, page, stream, *objects])


def pdf_with_image(width: int, height: int) -> bytes:
    packed = zlib.compress(bytes(10_000_000), 9)
    image = (
        b"<</Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceRGB/BitsPerComponent 8/Filter/FlateDecode"
        b"/Length %d>>stream\n%b\nendstream" % (width, height, len(packed), packed)
    )
    drawn = b"q 600 0 0 800 0 0 cm /I Do Q"
    return pdf_of_page(b"/Resources<</XObject<</I 5 0 R>>>>", image, content=drawn)


def pdf_that_refers_back() -> bytes:
    data = files.pdf("words")
    start = data.rindex(b"xref\n", 0, data.rindex(b"startxref"))
    return data.replace(b"trailer<<", b"trailer<</Prev %d" % start)


def mail_in_mail(depth: int) -> bytes:
    return b"MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\n" * depth + eml()


def multiparts(depth: int) -> bytes:
    begin = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (level, level) for level in range(depth)
    )
    return b"MIME-Version: 1.0\r\n" + begin + b"Content-Type: text/plain\r\n\r\nwords\r\n"


def many_parts(count: int) -> bytes:
    head = _MAIL + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
    return head + b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n" * count + b"--b--\r\n"


def spoiled(data: bytes, chance: random.Random) -> bytes:
    """Changed in one of the ways in which files are: cut off, bytes overwritten, pieces doubled, lost or emptied."""
    at = chance.randrange(len(data))
    size = chance.randrange(1, max(2, len(data) // 4))
    match chance.randrange(5):
        case 0:
            return data[:at]
        case 1:
            found = bytearray(data)
            for _ in range(chance.randrange(1, 30)):
                found[chance.randrange(len(found))] = chance.randrange(256)
            return bytes(found)
        case 2:
            return data[:at] + data[at : at + size] * chance.randrange(2, 5) + data[at + size :]
        case 3:
            return data[:at] + data[at + size :]
        case _:
            return data[:at] + bytes(size) + data[at + size :]
