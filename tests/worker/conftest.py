from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.executions.conftest import view
from tests.executions.support import LedgerView
from tests.support.platform import Account, Platform
from tests.worker.processes import Yard, open_yard

__all__ = ["view"]


@pytest.fixture
async def yard(platform: Platform, ada: Account, view: LedgerView, tmp_path: Path) -> AsyncGenerator[Yard]:
    async with open_yard(platform, ada, view, tmp_path) as opened:
        yield opened
