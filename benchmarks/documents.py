"""What becomes of real files: every one of a folder goes through the public API of a running product.

`python -m benchmarks documents` with the folder in QUARTERDECK_DOCUMENTS, or `python -m benchmarks.documents FOLDER`,
which ends with exit code 1 if a file gave neither text nor a reason that its owner can understand.

What should be found in `name.ext` may stand beside it in `GT__name.ext.md`, `GT__name.md`, or `name.txt`. Files below a
folder `encrypted` are tried without a password first, then with those that their names tell and usual ones.
"""

import asyncio
import html
import json
import os
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.report import Figure
from benchmarks.stack import measured_stack
from services.knowledge_base.ingestion.extract.model import DocumentFormat, ExtractionCode
from tests.fakes.model_server import FakeModelServer
from tests.support.product import Client

FOLDER = "QUARTERDECK_DOCUMENTS"
_AT_ONCE = 4
_PATIENCE = 300
_WINDOW = 100_000
_TRUTH = "GT__"
_MANIFEST = "MANIFEST.json"
_ENCRYPTED = "encrypted"
_SCANNED = "scanned"
# What examples of protected files are usually protected with.
_USUAL_PASSWORDS = ("password", "openpassword", "asdfzxcv", "1234", "123456", "secret", "test", "user", "userpassword")

# Reading that took too long or too much is no reason that a file has, and these are bugs until looked at.
_REASONS = frozenset(ExtractionCode) - {ExtractionCode.TOO_SLOW, ExtractionCode.TOO_HEAVY}


@dataclass(frozen=True)
class Outcome:
    """`reason` is why it gave no text, `found` the share of the words that should be in it. `opened_by` is the password
    that was needed; empty when none opened it."""

    file: str
    status: str
    format: str = ""
    characters: int = 0
    pages: int | None = None
    chunks: int = 0
    reason: str = ""
    warnings: Sequence[str] = ()
    found: float | None = None
    opened_by: str | None = None
    text: str = field(default="", repr=False)

    @property
    def is_clear(self) -> bool:
        return self.status == "ready" or self.reason.split(":")[0] in _REASONS


async def measure() -> list[Figure]:
    folder = _folder()
    if folder is None:
        print(f"documents are left out: {FOLDER} names no folder of files")
        return []
    return figures(await outcomes(folder))


def _folder() -> Path | None:
    folder = Path(os.environ.get(FOLDER, "-"))
    return folder if folder.is_dir() else None


async def outcomes(folder: Path) -> list[Outcome]:
    with FakeModelServer(chunks=1) as provider:
        async with measured_stack(provider) as measured:
            client = await measured.product.sign_up()
            client.http.timeout = 120
            base = (await client.post("/knowledge-bases", {"name": "Files"}))["id"]
            turns = asyncio.Semaphore(_AT_ONCE)

            async def one(path: Path) -> list[Outcome]:
                async with turns:
                    outcomes = await _File(client, base, folder, path).outcomes()
                print(f"  {outcomes[0].file}: {outcomes[0].reason or outcomes[0].status}", flush=True)
                return outcomes

            found = await asyncio.gather(*(one(path) for path in sorted(_files(folder))))
    flat = [outcome for outcomes in found for outcome in outcomes]
    _show(flat)
    return flat


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        is_truth = path.name.startswith(_TRUTH) or (path.suffix == ".txt" and _SCANNED in path.parts)
        if path.is_file() and not is_truth and path.name != _MANIFEST:
            yield path


@dataclass(frozen=True)
class _File:
    client: Client
    base: str
    folder: Path
    path: Path

    async def outcomes(self) -> list[Outcome]:
        """Of an archive also those of the files in it."""
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._outcomes()
        except TimeoutError:
            return [Outcome(self._name, "waiting", reason=f"not done after {_PATIENCE} s")]

    @property
    def _name(self) -> str:
        return str(self.path.relative_to(self.folder))

    async def _outcomes(self) -> list[Outcome]:
        files = {"files": (self.path.name, self.path.read_bytes())}
        answer = await self.client.http.post(f"/api/v1/knowledge-bases/{self.base}/documents", files=files)
        if not answer.is_success:
            error = answer.json()["error"]
            why = next(iter(error["details"]), error)
            return [Outcome(self._name, "refused", reason=f"{why['code']}: {why['message']}")]
        item = answer.json()["items"][0]
        document = await self._finished(item["document"]["id"])
        if document["error"] and document["error"]["code"] == ExtractionCode.ENCRYPTED:
            return await self._with_password(document)
        return await self._all_of(document)

    async def _with_password(self, document: Any) -> list[Outcome]:
        for password in self._passwords():
            tried = await self.client.post(f"/documents/{document['id']}/reprocess", {"password": password})
            tried = await self._finished(tried["id"])
            if not tried["error"] or tried["error"]["code"] != ExtractionCode.PASSWORD_WRONG:
                opened_by = "" if tried["error"] else password
                return [replace(one, opened_by=opened_by) for one in await self._all_of(tried)]
        return [replace(one, opened_by="") for one in await self._all_of(document)]

    def _passwords(self) -> Iterator[str]:
        words = [re.sub("^pass", "", word) for word in re.split(r"[\W_]+", self.path.stem)]
        yield from dict.fromkeys([self.path.parent.name, *_USUAL_PASSWORDS, *(word for word in words if word)])

    async def _finished(self, document_id: str) -> Any:
        while True:
            document = await self.client.get(f"/documents/{document_id}")
            if document["status"] not in ("pending", "processing"):
                return document
            await asyncio.sleep(0.3)

    async def _all_of(self, document: Any) -> list[Outcome]:
        outcome = await self._outcome(document)
        if document["media_type"] != DocumentFormat.ZIP.media_type:
            return [outcome]
        children = await self.client.get(f"/knowledge-bases/{self.base}/documents", parent=document["id"], limit=200)
        inside = [await self._outcome(await self._finished(child["id"])) for child in children["items"]]
        return [outcome, *inside]

    async def _outcome(self, document: Any) -> Outcome:
        error = document["error"]
        outcome = Outcome(
            f"{self._name}{'!' + document['path'] if document['path'] else ''}",
            document["status"],
            document["media_type"].removeprefix("application/").rpartition(".")[2],
            document["char_count"] or 0,
            document["page_count"],
            document["chunk_count"] or 0,
            f"{error['code']}: {error['message']}" if error else "",
            document["warnings"],
        )
        if document["status"] != "ready" or not outcome.characters:
            return outcome
        text = await self._text(document["id"])
        truth = None if document["path"] else _truth(self.path)
        return replace(outcome, text=text, found=None if truth is None else share_found(truth, text))

    async def _text(self, document_id: str) -> str:
        pieces: list[str] = []
        while True:
            start = sum(map(len, pieces))
            piece = await self.client.get(f"/documents/{document_id}/text", start=start, end=start + _WINDOW)
            pieces.append(piece["text"])
            if piece["end"] >= piece["length"]:
                return "".join(pieces)


def _truth(path: Path) -> str | None:
    names = [f"{_TRUTH}{path.name}.md", f"{_TRUTH}{path.stem}.md"]
    if _SCANNED in path.parts:
        names.append(f"{path.stem}.txt")
    beside = (path.parent / name for name in names)
    return next((one.read_text(errors="replace") for one in beside if one.is_file()), None)


def share_found(truth: str, text: str) -> float:
    """Of all its words, each as often as it is there; marks of Markdown are none."""
    wanted, there = words(_plain(truth)), words(text)
    return (wanted & there).total() / wanted.total() if wanted else 1.0


def _plain(markdown: str) -> str:
    """Without comments, marks and where links lead to."""
    text = re.sub(r"<!--.*?-->|(?<=\])\([^)\s]*\)|\|", " ", html.unescape(markdown), flags=re.S)
    return re.sub(r"[*`#\\]|(?<!\w)_|_(?!\w)", "", text.replace("\\_", "_"))


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", unicodedata.normalize("NFKC", text).lower()))


def _show(found: Sequence[Outcome]) -> None:
    table = Table(title="Files, as the product read them", title_justify="left")
    for heading in ("file", "status", "format", "characters", "pages", "chunks", "words found", "password", "reason"):
        numeric = heading in ("characters", "pages", "chunks", "words found")
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for one in found:
        share = "" if one.found is None else f"{one.found:.1%}"
        password = {None: "", "": "none opens it"}.get(one.opened_by, one.opened_by)
        why = one.reason or "; ".join(one.warnings[:2])
        status = one.status if one.is_clear else f"{one.status} (?)"
        numbers = (f"{one.characters:,}", str(one.pages or ""), str(one.chunks))
        table.add_row(one.file, status, one.format, *numbers, share, password, why)
    Console(width=200).print(table)


def figures(found: Sequence[Outcome]) -> list[Figure]:
    ready = [one for one in found if one.status == "ready"]
    shares = [one.found for one in found if one.found is not None]
    locked = [one for one in found if one.opened_by is not None]
    unclear = [one for one in found if not one.is_clear]
    return [
        Figure("files put through the product", len(found), "files"),
        Figure("of them read", len(ready), "files"),
        Figure("not read, for a reason of their own", len(found) - len(ready) - len(unclear), "files"),
        Figure("neither read nor a reason", len(unclear), "files", goal="0"),
        Figure("that needed a password", len(locked), "files"),
        Figure("of them opened by one", sum(bool(one.opened_by) for one in locked), "files"),
        *(
            [
                Figure(f"words found in {len(shares)} files, on average", sum(shares) / len(shares), ""),
                Figure("words found in the worst of them", min(shares), ""),
            ]
            if shares
            else []
        ),
    ]


def main() -> int:
    if len(sys.argv) > 1:
        os.environ[FOLDER] = sys.argv[1]
    folder = _folder()
    if folder is None:
        print(f"usage: python -m benchmarks.documents FOLDER (or {FOLDER})")
        return 2
    found = asyncio.run(outcomes(folder))
    print(json.dumps([asdict(figure) for figure in figures(found)], indent=2))
    return 0 if all(one.is_clear for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
