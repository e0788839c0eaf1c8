"""What can be found is found at every moment, also when it is processed again or its index changes in mid search."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.knowledge.search import KnowledgeSearch
from tests.knowledge.support import Library

PILOTS = "The harbour pilot is called Marlow."

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture(autouse=True)
def _prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.knowledge_base.indexes.building.SEARCHES_END", timedelta(seconds=0.1))


async def reprocess(library: Library, base: str, document: str) -> None:
    assert (await library.http.post(f"/api/v1/documents/{document}/reprocess")).status_code == 202
    assert (await library.processed(document))["status"] == "ready"


async def rebuild(library: Library, base: str, document: str) -> None:
    assert (await library.http.post(f"/api/v1/knowledge-bases/{base}/rebuild")).status_code == 202
    await library.settled()


def amid(monkeypatch: pytest.MonkeyPatch, before: bool, act: Callable[[], Awaitable[None]]) -> list[str]:
    """Has `act` happen once in every search, before or after candidates are looked for; says that it did."""
    original: Any = KnowledgeSearch.__dict__["_candidates"]
    happened: list[str] = []

    async def candidates(self: Any, plan: Any, limit: int) -> Any:
        found = None if before else await original(self, plan, limit)
        if not happened:
            happened.append("now")
            await act()
        return await original(self, plan, limit) if before else found

    monkeypatch.setattr(KnowledgeSearch, "_candidates", candidates)
    return happened


@pytest.mark.parametrize("mode", ["vector", "keyword", "hybrid"])
@pytest.mark.parametrize("filters", [{}, {"tags": ["sea"]}], ids=["all", "some"])
@pytest.mark.parametrize(("act", "before"), [(reprocess, False), (rebuild, True)], ids=["reprocess", "rebuild"])
async def test_it_is_found(
    library: Library, monkeypatch: pytest.MonkeyPatch, mode: str, filters: dict[str, Any], act: Any, before: bool
) -> None:
    base = await library.base()
    document = await library.ready(base, PILOTS)
    assert (await library.http.patch(f"/api/v1/documents/{document}", json={"tags": ["sea"]})).status_code == 200
    await library.settled()
    happened = amid(monkeypatch, before, lambda: act(library, base, document))
    found = await library.ask("harbour pilot", base, mode=mode, filters=filters)
    assert (happened, [one["text"] for one in found]) == (["now"], [PILOTS])
