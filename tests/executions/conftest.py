from collections.abc import AsyncGenerator

import pytest

from tests.executions.support import LedgerView, owner_connection
from tests.support.platform import Platform


@pytest.fixture
async def view(platform: Platform) -> AsyncGenerator[LedgerView]:
    connection = await owner_connection(platform)
    yield LedgerView(connection)
    await connection.close()
