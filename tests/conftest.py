import os
from collections.abc import AsyncGenerator

import pytest
from redis.asyncio import Redis

from shared.kit.ids import new_id
from shared.kit.settings import Settings
from tests.fixtures.stack import Stack, stack
from tests.support.platform import Account, Platform, create_database, open_platform, settings_for

__all__ = ["stack"]


@pytest.fixture(scope="session")
def worker_number() -> int:
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


@pytest.fixture(scope="session")
async def template(stack: Stack) -> str:
    """Name of a migrated database that others are copied from, which takes a fraction of a migration."""
    name = f"template_{os.getpid()}"
    await create_database(stack, name)
    return name


@pytest.fixture(scope="module")
async def settings(stack: Stack, template: str, worker_number: int) -> Settings:
    """A database of this module's own and an empty Valkey: no worker runs what another module has queued."""
    urls = await create_database(stack, f"test_{new_id().hex}", template=template)
    settings = settings_for(stack, *urls, redis_database=worker_number)
    async with Redis.from_url(settings.broker_url.get_secret_value()) as redis:
        await redis.flushdb()
    return settings


@pytest.fixture(scope="module")
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
