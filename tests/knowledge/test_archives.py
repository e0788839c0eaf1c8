"""Archives: what they hold becomes documents, whatever is killed, and follows the archive's new versions."""

import io
import zipfile
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from services.knowledge_base.documents import archives
from services.knowledge_base.documents.archives import add_children
from services.knowledge_base.ingestion.owner import Owner
from services.knowledge_base.ingestion.unpack import Entry
from shared.database.session import Database
from shared.kit.json import JsonObject
from shared.web.resources import Resources
from tests.knowledge.support import Library

DOCUMENTS = "/api/v1/documents"
PROGRAM = b"\x7fELF" + bytes(100)


def packed(**files: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


class Job:
    """What an ingestion has of its execution."""

    def __init__(self, library: Library, execution: str) -> None:
        self.execution_id = UUID(execution)
        self.tenant_id = library.account.tenant_id
        self.inputs: JsonObject = {}
        self.spec: JsonObject = {}
        self.database: Database = library.platform.resources.database
        self.resources: Resources = library.platform.resources
        self.told: list[tuple[int, int]] = []

    async def step(self, name: str, run: Any) -> Any: ...

    def log(self, level: str, message: str, **data: Any) -> None: ...

    def progress(self, stage: str, done: int, total: int) -> None:
        self.told.append((done, total))


class Shelf:
    """An archive that no worker processes: what it holds is said directly."""

    def __init__(self, library: Library, base: str, document: dict[str, Any], place: Path) -> None:
        self.library, self.base, self.id, self._place = library, base, document["id"], place
        self._put = 0

    async def put(self, files: dict[str, bytes], fails_after: int | None = None) -> JsonObject:
        document = await self.library.document(self.id)
        owner = Owner(
            self.library.account.tenant_id,
            UUID(document["execution_id"]),
            UUID(self.base),
            UUID(self.id),
            document["version"],
            document["revision"] or 1,
        )
        job = Job(self.library, document["execution_id"])
        if fails_after is not None:
            job.progress = _killed_after(fails_after)
        return await add_children(job, owner, [self._entry(path, data) for path, data in files.items()])  # type: ignore[arg-type]

    def _entry(self, path: str, data: bytes) -> Entry:
        self._put += 1
        file = self._place / str(self._put)
        file.write_bytes(data)
        return Entry(path, file, len(data))

    async def children(self) -> dict[str, dict[str, Any]]:
        params = {"parent": self.id, "limit": 200}
        answer = await self.library.http.get(f"/api/v1/knowledge-bases/{self.base}/documents", params=params)
        return {item["path"]: item for item in answer.json()["items"]}

    async def contents(self) -> dict[str, tuple[str, int]]:
        """The id and the version at each place."""
        return {path: (child["id"], child["version"]) for path, child in (await self.children()).items()}


class Killed(Exception): ...


def _killed_after(count: int) -> Any:
    def progress(stage: str, done: int, total: int) -> None:
        if done == count:
            raise Killed

    return progress


@pytest.fixture
async def shelf(library: Library, tmp_path: Path) -> Shelf:
    base = await library.base()
    answer = await library.http.post(
        f"/api/v1/knowledge-bases/{base}/documents",
        data={"tags": ["sea"], "password": "open sesame"},
        files=[("files", ("all.zip", packed(a=b"1")))],
    )
    return Shelf(library, base, answer.json()["items"][0]["document"], tmp_path)


def counts(result: JsonObject) -> dict[str, int]:
    return {name: number for name, number in result.items() if number}


@pytest.mark.usefixtures("worker")
async def test_an_archive_becomes_documents_that_are_found_and_go_with_it(library: Library, index: Any) -> None:
    base = await library.base()
    data = packed(
        **{
            "harbour/pilots.md": b"The harbour pilot is called Marlow.",
            "harbour/tides.md": b"High water at Dover is at noon on Fridays.",
            "../../etc/tool.exe": PROGRAM,
        }
    )
    answer = await library.upload(base, ("all.zip", data))
    archive = await library.processed(answer.json()["items"][0]["document"]["id"])
    assert (archive["status"], archive["error"], archive["media_type"]) == ("ready", None, "application/zip")
    assert len(archive["warnings"]) == 1
    await library.settled()

    listed = await library.documents(base, parent=archive["id"])
    assert {name: (item["status"], item["path"], item["source"]) for name, item in listed.items()} == {
        "pilots.md": ("ready", "harbour/pilots.md", "archive"),
        "tides.md": ("ready", "harbour/tides.md", "archive"),
    }
    assert list(await library.documents(base, parent="none")) == ["all.zip"]
    passage = (await library.ask("Who is the pilot?", base))[0]
    assert passage["document_id"] == listed["pilots.md"]["id"]
    text = (await library.http.get(f"{DOCUMENTS}/{archive['id']}/text")).json()["text"]
    assert text.splitlines() == ["harbour/pilots.md", "harbour/tides.md"]

    newer = packed(**{"harbour/pilots.md": b"The harbour pilot is called Conrad."})
    files = [("file", ("all.zip", newer))]
    assert (await library.http.put(f"{DOCUMENTS}/{archive['id']}/content", files=files)).status_code == 202
    await library.settled()
    [child] = (await library.documents(base, parent=archive["id"])).values()
    assert (child["id"], child["version"], child["status"]) == (listed["pilots.md"]["id"], 2, "ready")
    assert (await library.ask("Who is the pilot?", base))[0]["text"].endswith("Conrad.")
    assert await index.chunk_ids(base) == set(await library.chunk_ids(child["id"]))

    assert (await library.http.delete(f"{DOCUMENTS}/{archive['id']}")).status_code == 204
    assert (await library.http.get(f"{DOCUMENTS}/{child['id']}")).status_code == 404
    await library.settled()
    assert await library.documents(base) == {}
    assert await index.chunk_ids(base) == set()
    [[left]] = await library.sql(
        "SELECT (SELECT count(*) FROM chunks) + (SELECT count(*) FROM document_versions)"
        " + (SELECT count(*) FROM document_pieces) + (SELECT count(*) FROM document_texts)"
    )
    assert left == 0


@pytest.mark.usefixtures("worker")
async def test_an_archive_in_an_archive_is_not_unpacked(library: Library) -> None:
    base = await library.base()
    inner = packed(**{"b.md": b"within"})
    answer = await library.upload(base, ("all.zip", packed(**{"a.md": b"without", "inner.zip": inner})))
    archive = await library.processed(answer.json()["items"][0]["document"]["id"])
    await library.settled()
    held = await library.documents(base, parent=archive["id"])
    assert held["a.md"]["status"] == "ready"
    if "inner.zip" in held:
        assert (held["inner.zip"]["status"], held["inner.zip"]["error"]["code"]) == (
            "failed",
            "document_type_unsupported",
        )
        assert "archive" in held["inner.zip"]["error"]["message"]
    else:
        assert any("inner.zip" in warning for warning in archive["warnings"])
    assert "b.md" not in await library.documents(base)


@pytest.mark.usefixtures("worker")
async def test_what_is_an_archive_no_more_holds_nothing(library: Library) -> None:
    base = await library.base()
    answer = await library.upload(base, ("all.zip", packed(**{"a.md": b"Marlow is a pilot."})))
    archive = await library.processed(answer.json()["items"][0]["document"]["id"])
    await library.settled()
    assert len(await library.documents(base)) == 2
    files = [("file", ("all.md", b"Conrad is a pilot."))]
    await library.http.put(f"{DOCUMENTS}/{archive['id']}/content", files=files)
    await library.settled()
    assert list(await library.documents(base)) == ["all.md"]
    assert [passage["text"] for passage in await library.ask("pilot", base)] == ["Conrad is a pilot."]


async def test_children_are_what_the_archive_is(shelf: Shelf) -> None:
    result = await shelf.put({"one/a.md": b"1", "one/b.md": b"2", "two/a.md": b"3"})
    assert counts(result) == {"added": 3}
    children = await shelf.children()
    assert [(path, child["name"]) for path, child in sorted(children.items())] == [
        ("one/a.md", "a.md"),
        ("one/b.md", "b.md"),
        ("two/a.md", "a.md"),
    ]
    for child in children.values():
        assert (child["parent_id"], child["source"], child["tags"]) == (shelf.id, "archive", ["sea"])
        assert child["has_password"] is True
        assert child["execution_id"] is not None
    await shelf.library.http.patch(f"{DOCUMENTS}/{shelf.id}", json={"tags": ["land"]})
    assert [child["tags"] for child in (await shelf.children()).values()] == [["land"]] * 3
    refused = await shelf.library.http.put(
        f"{DOCUMENTS}/{children['one/a.md']['id']}/content", files=[("file", ("a.md", b"x"))]
    )
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "document_not_replaceable")


@pytest.mark.parametrize("killed", range(5))
async def test_killed_anywhere_no_child_is_there_twice(shelf: Shelf, killed: int) -> None:
    before = {"a.md": b"1", "b.md": b"2", "c.md": b"3", "d.md": b"4"}
    await shelf.put(before)
    first = await shelf.contents()
    after = {"a.md": b"1", "b.md": b"new", "moved.md": b"3", "e.md": b"5", "f.md": b"6", "g.md": b"7"}
    with pytest.raises(Killed):
        await shelf.put(after, fails_after=killed)
    halfway = await shelf.contents()
    await shelf.put(after)

    second = await shelf.contents()
    assert set(second) == set(after)
    assert (second["a.md"], second["b.md"]) == (first["a.md"], (first["b.md"][0], 2))
    assert second["moved.md"] == first["c.md"]
    assert {path: second[path] for path in ("e.md", "f.md", "g.md") if path in halfway} == {
        path: halfway[path] for path in ("e.md", "f.md", "g.md") if path in halfway
    }
    rows = await shelf.library.sql(
        "SELECT count(*), count(DISTINCT spec->>'document_id') FROM executions WHERE spec->>'document_id' IS NOT NULL"
    )
    # One for the archive, four children and then three more; of the four one has a second version.
    assert tuple(rows[0]) == (1 + 4 + 3 + 1, 1 + 4 + 3)


async def test_again_nothing_changes(shelf: Shelf) -> None:
    files = {"a.md": b"1", "b.md": b"2"}
    await shelf.put(files)
    before = await shelf.children()
    assert counts(await shelf.put(files)) == {"unchanged": 2}
    assert await shelf.children() == before


async def test_a_new_version_moves_replaces_adds_and_removes(shelf: Shelf) -> None:
    await shelf.put({"a.md": b"1", "b.md": b"2", "c.md": b"3", "d.md": b"4"})
    first = await shelf.contents()
    # Two change places, one gets another content, one goes, one comes.
    result = await shelf.put({"b.md": b"1", "a.md": b"2", "c.md": b"new", "e.md": b"5"})
    assert counts(result) == {"added": 1, "replaced": 1, "removed": 1, "unchanged": 2}
    second = await shelf.contents()
    assert second["a.md"] == first["b.md"]
    assert second["b.md"] == first["a.md"]
    assert second["c.md"] == (first["c.md"][0], 2)
    assert set(second) == {"a.md", "b.md", "c.md", "e.md"}
    assert {path: child["name"] for path, child in (await shelf.children()).items()} == {path: path for path in second}
    [[noted]] = await shelf.library.sql("SELECT count(*) FROM knowledge_purges")
    assert noted == 1


async def test_what_is_there_already_is_not_taken_again(shelf: Shelf) -> None:
    library = shelf.library
    await library.upload(shelf.base, ("mine.md", b"mine"))
    result = await shelf.put({"a.md": b"1", "copy of a.md": b"1", "theirs.md": b"mine", "b.md": b"2"})
    assert counts(result) == {"added": 2, "duplicates": 2}
    assert set(await shelf.contents()) == {"a.md", "b.md"}
    # What was in the archive, and is another document's now, is in the archive no more.
    result = await shelf.put({"a.md": b"1", "b.md": b"mine"})
    assert counts(result) == {"unchanged": 1, "duplicates": 1, "removed": 1}
    assert set(await shelf.contents()) == {"a.md"}
    assert (await library.documents(shelf.base, parent="none")).keys() == {"all.zip", "mine.md"}


async def test_limits_hold_and_what_is_not_taken_is_said(shelf: Shelf) -> None:
    library = shelf.library
    own = {"max_documents": 3, "max_file_bytes": 50, "max_bytes": None}
    assert (await library.http.put("/api/v1/knowledge-limits", json=own)).status_code == 200
    files = {"a.md": b"1", "large.md": b"x" * 51, "tool": PROGRAM[:40], "empty.md": b"", "b.md": b"2", "c.md": b"3"}
    result = await shelf.put(files)
    assert counts(result) == {"added": 2, "refused": 4}
    assert set(await shelf.contents()) == {"a.md", "b.md"}
    [[structure]] = await library.sql("SELECT structure FROM document_texts WHERE document_id = :id", id=shelf.id)
    told = {warning.partition(": ")[0]: warning for warning in structure["warnings"]}
    assert set(told) == {"large.md", "tool", "empty.md", "c.md"}
    assert "No more than 3 documents" in told["c.md"]
    [[executions]] = await library.sql("SELECT count(*) FROM executions")
    assert executions == 3


async def test_who_has_lost_the_archive_changes_nothing(shelf: Shelf) -> None:
    before = await shelf.library.document(shelf.id)
    await shelf.library.http.put(f"{DOCUMENTS}/{shelf.id}/content", files=[("file", ("all.zip", packed(b=b"2")))])
    stale = Owner(shelf.library.account.tenant_id, UUID(before["execution_id"]), UUID(shelf.base), UUID(shelf.id), 1, 1)
    result = await add_children(Job(shelf.library, before["execution_id"]), stale, [])  # type: ignore[arg-type]
    assert result == {"gone": True}
    await shelf.library.http.delete(f"{DOCUMENTS}/{shelf.id}")
    result = await add_children(Job(shelf.library, before["execution_id"]), stale, [])  # type: ignore[arg-type]
    assert result == {"gone": True}


async def test_many_warnings_are_cut_short(shelf: Shelf) -> None:
    files = {f"{number}.md": b"" for number in range(archives.WARNINGS + 5)}
    assert counts(await shelf.put(files)) == {"refused": len(files)}
    [[structure]] = await shelf.library.sql("SELECT structure FROM document_texts")
    assert len(structure["warnings"]) == archives.WARNINGS + 1
    assert structure["warnings"][-1] == "and 5 more files that were not taken"
