"""A short form of the random drill. By hand, and for longer: `python -m tests.knowledge.random_drill --minutes 5`."""

import secrets
from pathlib import Path

import pytest

from tests.fixtures.stack import Stack
from tests.knowledge.random_drill import run

SECONDS = 8.0


# Connections that were cut while they were being made are left to the garbage collector, here and in SQLAlchemy.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_documents_survive_what_happens_to_all_they_need(
    stack: Stack, worker_number: int, tmp_path: Path
) -> None:
    seed = secrets.randbelow(2**31)
    print(f"seed {seed}")
    print(await run(stack, tmp_path, seed, SECONDS, worker_number))
