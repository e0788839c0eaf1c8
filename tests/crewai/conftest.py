import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

# Before a test imports crewAI itself: this is what isolates it.
import services.orchestration.runtimes.crewai as crewai_runtime  # noqa: F401


@pytest.fixture
def together() -> Callable[..., Callable[..., Awaitable[str]]]:
    """Makes a tool whose first `n` calls only go on when all of them are running."""

    def make(n: int, answer: Callable[..., str]) -> Callable[..., Awaitable[str]]:
        barrier = asyncio.Barrier(n)

        async def tool(**arguments: Any) -> str:
            async with asyncio.timeout(5):
                await barrier.wait()
            return answer(**arguments)

        return tool

    return make
