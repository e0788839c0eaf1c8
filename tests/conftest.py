import os
from collections.abc import AsyncGenerator

import pytest

from shared.kit.settings import Settings
from tests.fixtures.stack import Stack, stack
from tests.support.platform import Account, Platform, create_database, open_platform, settings_for

__all__ = ["stack"]


@pytest.fixture(scope="session")
def worker_number() -> int:
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


@pytest.fixture(scope="session")
async def settings(stack: Stack, worker_number: int) -> Settings:
    """Of this test worker: a migrated database and a Valkey database of its own."""
    owner_url, app_url = await create_database(stack, f"test_{os.getpid()}_{worker_number}")
    return settings_for(stack, owner_url, app_url, redis_database=worker_number)


@pytest.fixture(scope="session")
async def platform(settings: Settings) -> AsyncGenerator[Platform]:
    async with open_platform(settings) as opened:
        yield opened


@pytest.fixture
async def ada(platform: Platform) -> Account:
    """The owner of a fresh tenant."""
    return await platform.register("Ada")


@pytest.fixture
async def bob(platform: Platform) -> Account:
    """The owner of another fresh tenant, who must see nothing of Ada's."""
    return await platform.register("Bob")
