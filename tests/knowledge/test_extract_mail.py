"""Mails of all kinds and in all states: headers, one body, attachments as parts."""

import base64
import io

import pytest

from services.knowledge_base.ingestion.extract import read
from services.knowledge_base.ingestion.extract.mail.compressed_rtf import decompress
from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    ExtractionCode,
    ExtractionError,
    Source,
)
from tests.knowledge.files import paragraph, word_of_xml

HEAD = """Received: from here by there
From: =?utf-8?B?SsO8cmdlbg==?= <j@example.com>
To: Ann <a@example.com>,
 Bob <b@example.com>
Date: Mon, 4 Mar 2024 10:00:00 +0100
Subject: =?iso-8859-1?Q?Gr=FC=DFe?= from
 us
MIME-Version: 1.0
"""


def read_mail(data: bytes | str, name: str = "a.eml") -> Extracted:
    data = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    return read(Source(io.BytesIO(data), name), ContentLimits())


def multipart(*parts: str, kind: str = "mixed", boundary: str = "sep") -> str:
    inner = "".join(f"--{boundary}\n{part}\n" for part in parts)
    return f'Content-Type: multipart/{kind}; boundary="{boundary}"\n\n{inner}--{boundary}--\n'


def plain(text: str, more: str = "") -> str:
    return f"Content-Type: text/plain; charset=utf-8\n{more}\n{text}\n"


def attached(name: str, data: bytes, kind: str = "application/octet-stream") -> str:
    return (
        f'Content-Type: {kind}\nContent-Disposition: attachment; filename="{name}"\n'
        f"Content-Transfer-Encoding: base64\n\n{base64.encodebytes(data).decode()}"
    )


def part_texts(found: Extracted) -> dict[str, str]:
    ends = [*(part.start for part in found.parts[1:]), len(found.text)]
    return {part.name: found.text[part.start : end].strip() for part, end in zip(found.parts, ends, strict=True)}


def test_a_mail_begins_with_its_headers() -> None:
    found = read_mail(HEAD + plain("Hello Ann,\n\nhow are you?"))
    assert (found.format, found.title, found.dated_at) == (DocumentFormat.EML, "Grüße from us", "2024-03-04T09:00:00Z")
    assert found.text == (
        "From: Jürgen <j@example.com>\nTo: Ann <a@example.com>, Bob <b@example.com>\n"
        "Date: Mon, 4 Mar 2024 10:00:00 +0100\nSubject: Grüße from us\n\nHello Ann,\n\nhow are you?"
    )


def test_what_is_said_twice_is_read_once() -> None:
    rich = "Content-Type: text/html\n\n<html><body><p>Hello <b>Ann</b></p></body></html>\n"
    found = read_mail(HEAD + multipart(plain("Hello Ann"), rich, kind="alternative"))
    assert found.text.count("Hello") == 1
    more = rich.replace(
        "</p>", " and here is what the plain text leaves out</p><table><tr><th>a<th>b<tr><td>1<td>2</table>"
    )
    found = read_mail(HEAD + multipart(plain("Use another program."), more, kind="alternative"))
    assert "leaves out" in found.text
    assert "another program" not in found.text
    assert [found.text[one.start : one.end] for one in found.tables] == ["| a | b |\n| --- | --- |\n| 1 | 2 |"]


def test_attachments_are_parts() -> None:
    document = word_of_xml([paragraph("Words of a letter")])
    inner = "Content-Type: message/rfc822\n\nFrom: x@example.com\nSubject: Inner\n" + multipart(
        plain("Inner words"), attached("deep.csv", b"a,b\n1,2\n", "text/csv"), boundary="other"
    )
    found = read_mail(
        HEAD
        + multipart(
            plain("See below"),
            attached("letter.docx", document),
            attached("program.exe", b"MZ\x90\x00\x03\x00\x00\x00\x04"),
            attached("../../etc/notes.txt", b"Some notes"),
            inner,
        )
    )
    texts = part_texts(found)
    assert list(texts) == ["letter.docx", "notes.txt", "Inner", "Inner/deep.csv"]
    assert texts["letter.docx"] == "Words of a letter"
    assert texts["notes.txt"] == "Some notes"
    assert "Inner words" in texts["Inner"]
    assert "1" in texts["Inner/deep.csv"]
    assert found.text[: found.parts[0].start].rstrip().endswith("See below")
    assert len(found.warnings) == 1
    assert "program.exe" in found.warnings[0]


def test_a_damaged_attachment_leaves_the_mail_readable() -> None:
    found = read_mail(HEAD + multipart(plain("Words"), attached("a.pdf", b"%PDF-1.7 broken")))
    assert "Words" in found.text
    assert found.parts == ()
    assert "a.pdf" in found.warnings[0]


@pytest.mark.parametrize(
    "body",
    [
        'Content-Type: text/plain; charset="no-such-thing"\n\nwords of it',
        'Content-Type: text/plain; charset="utf-8"\nContent-Transfer-Encoding: x-nonsense\n\nwords of it',
        "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\nd29yZHMgb2Yg\naXQ",
        "Content-Type: nonsense\n\nwords of it",
        "Content-Type: multipart/mixed\n\nwords of it",
        'Content-Type: multipart/mixed; boundary="never"\n\nwords of it',
        'Content-Type: multipart/mixed; boundary="cut"\n\n--cut\nContent-Type: text/plain\n\nwords of it',
        "Content-Type: text/html\n\n<p>words <i>of it",
        "Date: yesterday\nContent-Type: text/plain\n\nwords of it",
    ],
)
def test_broken_mails_are_read(body: str) -> None:
    assert "words of it" in read_mail(f"From: a@example.com\nMIME-Version: 1.0\nSubject: =?x?Q?broken\n{body}\n").text


def test_charsets_that_are_wrong_are_seen_through() -> None:
    text = "Широкая электрификация южных губерний даст мощный толчок"
    head = b"From: a@example.com\nMIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\n\n"
    assert text in read_mail(head + text.encode("koi8_r")).text
    head = head.replace(b"us-ascii", b"koi8-r")
    assert text in read_mail(head + text.encode("koi8_r")).text
    assert text in read_mail((HEAD + plain(text)).encode("utf-16")).text


@pytest.mark.parametrize(
    "body",
    [
        'Content-Type: multipart/encrypted; boundary="x"\n\n--x\nContent-Type: application/pgp-encrypted\n\n1\n--x--\n',
        'Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"\n\nMIAGCSqGSIb3DQEHA6CA\n',
        plain("-----BEGIN PGP MESSAGE-----\n\nhQEMA\n-----END PGP MESSAGE-----"),
    ],
)
def test_an_encrypted_mail_says_so(body: str) -> None:
    with pytest.raises(ExtractionError) as caught:
        read_mail(HEAD + body)
    assert caught.value.code is ExtractionCode.ENCRYPTED


def test_a_mailbox_is_many_mails() -> None:
    one = "From a@example.com Mon Mar  4 10:00:00 2024\nFrom: a@example.com\nSubject: {}\nMIME-Version: 1.0\n{}\n"
    box = one.format("First", multipart(plain(">From here on"), attached("n.txt", b"Notes"))) + one.format(
        "Second", plain("More words\n\nFrom time to time")
    )
    found = read_mail(box, "a.mbox")
    assert found.format is DocumentFormat.MBOX
    assert [(heading.level, heading.title) for heading in found.headings] == [(1, "First"), (1, "Second")]
    assert "\nFrom here on" in found.text
    assert "From time to time" in part_texts(found)["Second"]
    assert part_texts(found)["n.txt"] == "Notes"


def test_a_digest_holds_mails() -> None:
    parts = [f"Content-Type: message/rfc822\n\nFrom: {n}@example.com\nSubject: No {n}\n\nbody {n}\n" for n in range(3)]
    texts = part_texts(read_mail(HEAD + multipart(*parts, kind="digest")))
    assert list(texts) == ["No 0", "No 1", "No 2"]
    assert texts["No 1"].endswith("body 1")


def test_rich_text_of_outlook_is_unpacked() -> None:
    # The example of the format's description.
    packed = bytes.fromhex(
        "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
    )
    assert decompress(packed) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
