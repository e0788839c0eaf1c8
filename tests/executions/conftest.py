from collections.abc import AsyncGenerator

import pytest

from tests.executions.lab import Lab, open_lab
from tests.executions.support import LedgerView, owner_connection
from tests.support.platform import Platform


@pytest.fixture
async def view(platform: Platform) -> AsyncGenerator[LedgerView]:
    connection = await owner_connection(platform)
    yield LedgerView(connection)
    await connection.close()


@pytest.fixture
async def lab(platform: Platform, view: LedgerView) -> AsyncGenerator[Lab]:
    """Workers of a ledger in which nothing of another test is left to claim."""
    await view.run("UPDATE executions SET status = 'cancelled' WHERE status IN ('queued', 'running')")
    async with open_lab(platform) as opened:
        yield opened
