from collections.abc import AsyncGenerator

import pytest

from cli.stack.embeddings import ensure_embeddings
from shared.knowledge.index import VectorIndex
from tests.fixtures.stack import Stack
from tests.knowledge.support import Library, Valve, valve, working
from tests.support.platform import Account, Platform


@pytest.fixture
async def library(platform: Platform, ada: Account) -> Library:
    return await Library.of(platform, ada)


@pytest.fixture
async def other(platform: Platform, bob: Account) -> Library:
    """Of another tenant."""
    return await Library.of(platform, bob)


@pytest.fixture(scope="module")
async def embeddings(platform: Platform) -> None:
    """The embedding model's files are there."""
    await ensure_embeddings(platform.settings.cache, lambda _: None)


@pytest.fixture
async def worker(platform: Platform, embeddings: None) -> AsyncGenerator[None]:
    async with working(platform.resources):
        yield


@pytest.fixture
async def index(stack: Stack) -> AsyncGenerator[VectorIndex]:
    opened = VectorIndex(stack.chroma_url)
    yield opened
    await opened.close()


@pytest.fixture
async def chroma(stack: Stack) -> AsyncGenerator[Valve]:
    """The way to Chroma for those who take it, with a valve in it."""
    async with valve(stack.chroma_url) as opened:
        yield opened
