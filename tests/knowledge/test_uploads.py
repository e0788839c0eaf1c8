"""Multipart bodies: streamed, bounded, and refused in the one error shape when they are not what they should be."""

import io
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from services.knowledge_base.documents.multipart import clean_name
from services.knowledge_base.module import SERVICE
from shared.kit.settings import Settings
from shared.web.app import create_app
from tests.knowledge.support import Library

BASES = "/api/v1/knowledge-bases"
BOUNDARY = "x-boundary"
KIND = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def part(name: str = "files", filename: str | None = "a.txt", content: bytes = b"hello") -> bytes:
    shown = f'; filename="{filename}"' if filename is not None else ""
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{shown}\r\n\r\n'.encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


@pytest.fixture
async def small(library: Library) -> AsyncIterator[httpx.AsyncClient]:
    """A service that takes three files of a thousand bytes."""
    limits = {"upload_max_files": 3, "upload_max_bytes": 1000}
    settings: Settings = library.platform.settings.model_copy(update=limits)
    app = create_app(SERVICE, replace(library.platform.resources, settings=settings))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://quarterdeck.test", headers=library.account.headers
    ) as client:
        yield client


async def post(
    client: httpx.AsyncClient, base: str, body: Any, headers: dict[str, str] | None = None
) -> httpx.Response:
    return await client.post(f"{BASES}/{base}/documents", content=body, headers=headers or KIND)


async def test_a_body_may_come_in_any_pieces(library: Library) -> None:
    base = await library.base()
    body = part(filename="a.txt", content=b"one" * 1000) + part(filename="b.txt", content=b"--x-bound") + END

    async def by_bytes() -> AsyncIterator[bytes]:
        for byte in body:
            yield bytes((byte,))

    answer = await post(library.http, base, by_bytes())
    assert [(item["name"], item["document"]["size_bytes"]) for item in answer.json()["items"]] == [
        ("a.txt", 3000),
        ("b.txt", 9),
    ]


async def test_a_file_that_is_too_large_does_not_stop_the_others(library: Library, small: httpx.AsyncClient) -> None:
    base = await library.base()
    body = part(content=b"x" * 1001) + part(filename="b.txt", content=b"y" * 1000) + END

    answer = await post(small, base, body)
    assert answer.status_code == 202
    assert [(item["status"], (item["error"] or {}).get("code")) for item in answer.json()["items"]] == [
        ("refused", "document_too_large"),
        ("accepted", None),
    ]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"x" * 1001, 413, "document_too_large"),
        (b"\x7fELF" + bytes(100), 415, "document_type_unsupported"),
        (b"", 422, "upload_refused"),
    ],
)
async def test_when_no_file_is_taken_the_answer_is_an_error(
    library: Library, small: httpx.AsyncClient, content: bytes, status: int, code: str
) -> None:
    base = await library.base()
    answer = await post(small, base, part(content=content) + END)

    assert answer.status_code == status
    error = answer.json()["error"]
    assert (error["code"], error["details"][0]["field"]) == (code, "files.0")
    assert error["details"][0]["message"].startswith("a.txt: ")
    assert await library.documents(base) == {}


async def test_too_many_files_are_refused(library: Library, small: httpx.AsyncClient) -> None:
    answer = await post(small, await library.base(), b"".join(part(content=b"%d" % n) for n in range(4)) + END)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_many_files")


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", KIND, 422),
        (END, KIND, 422),
        (b"nonsense", KIND, 422),
        (part(), KIND, 422),
        (part()[:-10], KIND, 422),
        (part(name="tenant_id", filename=None) + END, KIND, 422),
        (part(name="other") + END, KIND, 422),
        (part(filename=None) + END, KIND, 422),
        (b"--x-boundary\r\nX: " + b"y" * 100_000, KIND, 422),
        (part() + END, {"Content-Type": "multipart/form-data"}, 422),
        (part() + END, {"Content-Type": f"multipart/form-data; boundary={'x' * 5000}"}, 422),
        (b"{}", {"Content-Type": "application/json"}, 415),
        (b"hello", {"Content-Type": "text/plain"}, 415),
        (b"", {}, 415),
    ],
)
async def test_malformed_bodies_are_refused(
    library: Library, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = await library.http.post(
        f"{BASES}/{await library.base()}/documents", content=body, headers={"Content-Type": "", **headers}
    )
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["correlation_id"]


@pytest.mark.parametrize(
    ("rest", "code", "says"),
    [
        (part(name="tags", filename=None, content=b"late") + END, "upload_malformed", "tags comes after a file"),
        (part(name="other") + END, "upload_malformed", "other is not a known field"),
        (part(filename="b.txt"), "upload_malformed", "broke off"),
        (b"".join(part(filename=f"{n}.txt", content=b"") for n in range(3)) + END, "too_many_files", "3 files"),
    ],
)
async def test_what_was_taken_is_told_also_when_the_rest_cannot_be(
    library: Library, small: httpx.AsyncClient, rest: bytes, code: str, says: str
) -> None:
    base = await library.base()

    async def in_pieces() -> AsyncIterator[bytes]:
        begin = f"--{BOUNDARY}\r\n".encode()  # what shows that the part before has ended
        yield part(filename="a.txt", content=b"first") + begin
        yield rest.removeprefix(begin)

    answer = await post(small, base, in_pieces())
    assert answer.status_code == 202, answer.text
    items = answer.json()["items"]
    assert {item["name"] for item in items if item["status"] == "accepted"} == set(await library.documents(base))
    assert items[0]["name"] == "a.txt"
    assert (items[-1]["name"], items[-1]["status"], items[-1]["error"]["code"]) == ("", "refused", code)
    assert says in items[-1]["error"]["message"]


async def test_a_limit_of_few_bytes_is_told_as_it_is(small: httpx.AsyncClient, library: Library) -> None:
    document = await library.add(await library.base(), "Known")
    body = part(name="file", content=b"x" * 1001) + END
    answer = await small.put(f"/api/v1/documents/{document}/content", content=body, headers=KIND)
    (detail,) = answer.json()["error"]["details"]
    assert (answer.status_code, detail["field"], detail["message"]) == (
        413,
        "file",
        "a.txt: The file is larger than 1,000 bytes.",
    )


async def test_nothing_is_read_for_a_knowledge_base_that_is_not_there(library: Library) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield part(content=b"x" * 10_000)

    answer = await post(library.http, "0190a3c4-0000-7000-8000-000000000000", endless())
    assert answer.status_code == 404
    assert taken < 20


NAMES = [
    ("report.pdf", "report.pdf"),
    ("../../etc/passwd", "passwd"),
    ("C:\\Users\\ada\\report.docx", "report.docx"),
    ("a\x00b\n\u202ec.txt", "abc.txt"),
    ("\x01", "unnamed"),
    ("Bericht U\u0308bersicht.md", "Bericht Übersicht.md"),
]


@pytest.mark.parametrize(("given", "kept"), NAMES)
def test_names_of_files_are_names_only(given: str, kept: str) -> None:
    assert clean_name(given) == kept


def test_a_long_name_keeps_its_ending() -> None:
    name = clean_name("x" * 500 + ".markdown")
    assert len(name) == 200
    assert name.endswith("x.markdown")


async def test_a_name_is_stored_as_it_is_shown(library: Library) -> None:
    base = await library.base()
    file = ("files", ("../夜 ☕.txt", io.BytesIO(b"hello"), "application/pdf"))
    answer = await library.http.post(f"{BASES}/{base}/documents", files=[file])
    assert answer.json()["items"][0]["document"]["name"] == "夜 ☕.txt"
