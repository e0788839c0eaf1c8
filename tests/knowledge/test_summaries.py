"""What a knowledge base is about: kept up to date by itself, and told to agents that may search it."""

import asyncio
from typing import Any

from services.knowledge_base.summaries import sweep as summaries
from tests.knowledge.support import Library


async def summarised(library: Library) -> int:
    return await summaries.sweep(library.platform.resources, quiet=0.0)


async def base_of(library: Library, base: str) -> dict[str, Any]:
    return (await library.http.get(f"/api/v1/knowledge-bases/{base}")).json()


async def test_without_a_model_it_lists_what_there_is(library: Library, worker: None) -> None:
    base = await library.base()
    assert (await base_of(library, base))["summary"] == ""
    await library.ready(base, "# Holidays\n\nThirty days.\n\n## Carry over\n\nUntil March.", "working-here.md")
    await library.ready(base, "Two years on everything.", "warranty.txt")
    await summarised(library)
    found = await base_of(library, base)
    assert found["summary"] == "2 documents: working-here.md (Holidays, Carry over); warranty.txt"
    assert found["summary_at"] is not None


async def test_it_follows_the_documents(library: Library, worker: None) -> None:
    base = await library.base()
    first = await library.ready(base, "Left is port.", "left.txt")
    second = await library.ready(base, "Right is starboard.", "right.txt")
    await summarised(library)
    await library.http.delete(f"/api/v1/documents/{second}")
    await summarised(library)
    assert (await base_of(library, base))["summary"] == "1 document: left.txt"
    await library.http.patch(f"/api/v1/documents/{first}", json={"name": "port.txt"})
    await summarised(library)
    assert (await base_of(library, base))["summary"] == "1 document: port.txt"
    at = (await base_of(library, base))["summary_at"]
    await library.http.delete(f"/api/v1/documents/{first}")
    await summarised(library)
    found = await base_of(library, base)
    assert found["summary"] == ""
    assert found["summary_at"] > at
    await summarised(library)
    assert (await base_of(library, base))["summary_at"] == found["summary_at"]


async def test_of_many_that_see_it_one_does_it(library: Library, worker: None) -> None:
    base = await library.base()
    await library.ready(base, "Left is port.")
    resources = library.platform.resources
    await asyncio.gather(*(summaries.sweep(resources, quiet=0.0) for _ in range(8)))
    before = (await base_of(library, base))["summary_at"]
    assert before is not None
    await asyncio.gather(*(summaries.sweep(resources, quiet=0.0) for _ in range(8)))
    assert (await base_of(library, base))["summary_at"] == before


async def test_while_documents_still_come_it_waits(library: Library, worker: None) -> None:
    base = await library.base()
    await library.ready(base, "Left is port.")
    await summaries.sweep(library.platform.resources, quiet=60.0)
    assert (await base_of(library, base))["summary_at"] is None


async def test_only_a_chat_model_of_ones_own_can_write_it(library: Library) -> None:
    stranger = "01890000-0000-7000-8000-00000000ffff"
    body = {"name": "Other", "summary_model_id": stranger}
    answer = await library.http.post("/api/v1/knowledge-bases", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "summary_model_unknown")
