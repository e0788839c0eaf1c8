import pytest

from tests.monitoring.seeding import Seeder
from tests.support.platform import Account, Platform


@pytest.fixture
def ledger(platform: Platform, ada: Account) -> Seeder:
    """Ada's ledger."""
    return Seeder(platform.resources, ada.tenant_id)
