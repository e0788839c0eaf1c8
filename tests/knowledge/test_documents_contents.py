"""What a document holds can be looked at: the file as it came, its text around a passage, its chunks."""

from urllib.parse import unquote

import pytest

from services.knowledge_base.originals import PIECE
from tests.knowledge import files
from tests.knowledge.support import Library

DOCUMENTS = "/api/v1/documents"
PORTS = (
    "# Ports\n\nCalais lies opposite of Dover.\n\n## Pilots\n\nThe pilot of Calais is called Marlow.\n\n"
    "# Tides\n\nHigh water at Dover is at noon on Fridays."
)


async def uploaded(library: Library, base: str, name: str, data: bytes) -> str:
    answer = await library.upload(base, (name, data))
    assert answer.status_code == 202, answer.text
    return answer.json()["items"][0]["document"]["id"]


async def test_a_file_comes_back_as_it_was_and_never_as_a_page(library: Library, other: Library) -> None:
    base = await library.base()
    name = 'he said "50%"; é\\夜.html'
    page = b"<!doctype html><html><body><script>alert(document.cookie)</script>Tides</body></html>"
    document = await uploaded(library, base, name, page)

    answer = await library.http.get(f"{DOCUMENTS}/{document}/original")
    assert answer.status_code == 200
    assert answer.content == page
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith("attachment; filename=")
    assert unquote(disposition.partition("filename*=UTF-8''")[2]) == (await library.document(document))["name"]
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert int(answer.headers["content-length"]) == len(page)
    assert (await library.http.get(f"{DOCUMENTS}/{document}/original?version=2")).status_code == 404
    for path in ("original", "text", "chunks", "versions"):
        answer = await other.http.get(f"{DOCUMENTS}/{document}/{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "document_not_found")


async def test_a_large_file_is_kept_in_pieces(library: Library) -> None:
    data = b"".join(b"%015d\n" % number for number in range(2 * PIECE // 16)) + b"the end"
    document = await uploaded(library, await library.base(), "large.txt", data)

    pieces = await library.sql("SELECT length(data) AS length FROM document_pieces ORDER BY number")
    assert [row.length for row in pieces] == [PIECE, PIECE, 7]
    assert (await library.http.get(f"{DOCUMENTS}/{document}/original")).content == data


async def test_a_file_that_an_earlier_release_kept_whole_comes_back(library: Library) -> None:
    data = bytes(range(256)) * (PIECE // 256) * 2 + b"the end"
    document = await uploaded(library, await library.base(), "old.txt", b"to be replaced")
    database = library.platform.resources.database
    async with database.write(library.scope) as session:
        connection = await session.connection()
        await connection.exec_driver_sql("UPDATE document_pieces SET data = $1", (data,))
        await connection.exec_driver_sql("UPDATE document_versions SET size_bytes = $1", (len(data),))
    assert (await library.http.get(f"{DOCUMENTS}/{document}/original")).content == data


@pytest.mark.usefixtures("worker")
async def test_a_passage_is_shown_where_it_stands(library: Library) -> None:
    base = await library.base()
    document = await library.ready(base, PORTS)
    passage = (await library.ask("Who is the pilot?", base))[0]

    async def window(**params: int) -> dict[str, object]:
        answer = await library.http.get(f"{DOCUMENTS}/{document}/text", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    whole = await window()
    text = str(whole["text"])
    assert (whole["start"], whole["end"], whole["length"], whole["version"]) == (0, len(text), len(text), 1)
    assert text[passage["start"] : passage["end"]] == passage["text"]
    start = text.index("The pilot of")
    cut = await window(start=start, end=start + 9)
    assert (cut["text"], cut["start"], cut["end"], cut["length"]) == ("The pilot", start, start + 9, len(text))
    assert [(mark["level"], mark["title"]) for mark in cut["headings"]] == [(1, "Ports"), (2, "Pilots")]  # type: ignore[attr-defined]
    beyond = await window(start=10_000)
    assert (beyond["text"], beyond["start"], beyond["end"]) == ("", 10_000, 10_000)


@pytest.mark.usefixtures("worker")
async def test_pages_of_a_window(library: Library) -> None:
    document = await uploaded(
        library, await library.base(), "p.pdf", files.pdf("First page.", "Second page.", "Third.")
    )
    assert (await library.processed(document))["status"] == "ready"
    url = f"{DOCUMENTS}/{document}/text"
    whole = (await library.http.get(url)).json()
    assert [page["number"] for page in whole["pages"]] == [1, 2, 3]
    second = whole["pages"][1]["start"]
    cut = (await library.http.get(url, params={"start": second, "end": second + 3})).json()
    assert (cut["text"], cut["pages"]) == ("Sec", [{"number": 2, "start": second}])
    before = (await library.http.get(url, params={"start": 0, "end": 3})).json()
    assert [page["number"] for page in before["pages"]] == [1]


@pytest.mark.usefixtures("worker")
async def test_chunks_come_in_their_order(library: Library) -> None:
    base = await library.base(chunk_size=32, chunk_overlap=0)
    document = await library.ready(base, "\n\n".join(f"Sentence {n} of the many that there are." for n in range(40)))
    url = f"{DOCUMENTS}/{document}/chunks"

    chunks: list[dict[str, object]] = []
    cursor = None
    while True:
        page = (await library.http.get(url, params={"limit": 4, **({"cursor": cursor} if cursor else {})})).json()
        chunks += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    text = (await library.http.get(f"{DOCUMENTS}/{document}/text", params={"end": 100_000})).json()["text"]
    assert [chunk["ordinal"] for chunk in chunks] == list(range(len(chunks)))
    assert len(chunks) == (await library.document(document))["chunk_count"] > 4
    assert all(text[chunk["start"] : chunk["end"]] == chunk["text"] for chunk in chunks)


async def test_there_is_no_text_before_it_was_read(library: Library) -> None:
    document = await library.add(await library.base(), "Nobody has read this.")
    answer = await library.http.get(f"{DOCUMENTS}/{document}/text")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "document_not_read")
    assert (await library.http.get(f"{DOCUMENTS}/{document}/chunks")).json() == {"items": [], "next_cursor": None}
