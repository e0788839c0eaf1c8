"""Sets of questions through the API."""

import asyncio
from typing import Any

from tests.knowledge.support import PATIENCE, Library

SETS = "/api/v1/evaluation-sets"
RUNS = "/api/v1/evaluation-runs"


async def make_set(library: Library, *bases: str, name: str = "Questions") -> str:
    answer = await library.http.post(SETS, json={"name": name, "knowledge_base_ids": list(bases)})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def ask_for(library: Library, set_id: str, text: str, *documents: str, grade: int = 1) -> dict[str, Any]:
    """Types a question in, with the documents that should be found."""
    expected = [{"document_id": document, "grade": grade} for document in documents]
    answer = await library.http.post(f"{SETS}/{set_id}/questions", json={"text": text, "expected": expected})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def questions(library: Library, set_id: str, **params: Any) -> list[dict[str, Any]]:
    answer = await library.http.get(f"{SETS}/{set_id}/questions", params={"limit": 200, **params})
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def start_run(library: Library, set_id: str, **fields: Any) -> dict[str, Any]:
    answer = await library.http.post(f"{SETS}/{set_id}/runs", json=fields)
    assert answer.status_code == 202, answer.text
    return answer.json()


async def finished(library: Library, run_id: str, **params: Any) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = await library.http.get(f"{RUNS}/{run_id}", params=params)
            assert answer.status_code == 200, answer.text
            if answer.json()["status"] in ("succeeded", "failed", "cancelled"):
                return answer.json()
            await asyncio.sleep(0.05)


async def run(library: Library, set_id: str, **fields: Any) -> dict[str, Any]:
    started = await start_run(library, set_id, **fields)
    done = await finished(library, started["id"])
    assert done["status"] == "succeeded", done["error"]
    return done


async def results(library: Library, run_id: str, **params: Any) -> list[dict[str, Any]]:
    answer = await library.http.get(f"{RUNS}/{run_id}/results", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]
