from collections.abc import AsyncGenerator

import httpx
import pytest

from services.execution_monitoring.module import SERVICE as MONITORING
from tests.executions.support import LedgerView, owner_connection
from tests.support.platform import Account, Platform
from tests.workflows.conftest import Tenant, here, there

__all__ = ["here", "there"]


@pytest.fixture
async def view(platform: Platform) -> AsyncGenerator[LedgerView]:
    connection = await owner_connection(platform)
    yield LedgerView(connection)
    await connection.close()


@pytest.fixture
async def viewer(platform: Platform, here: Tenant) -> Account:
    return await platform.join(here.account, "viewer")


@pytest.fixture
async def monitoring(platform: Platform, here: Tenant) -> httpx.AsyncClient:
    return await platform.client(MONITORING, here.account)
