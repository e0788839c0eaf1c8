"""`python -m tests.triggers.courier LEASE`: of a worker, the part that sends webhooks, until it is killed."""

import asyncio
import sys

from services.orchestration.worker.deliveries import Deliveries
from shared.database.session import Database
from shared.kit.settings import get_settings
from shared.net.policy import EgressPolicy
from shared.security.encryption import Cipher


async def main() -> None:
    settings = get_settings()
    database = Database(settings.app_database_url.get_secret_value())
    cipher = Cipher.from_setting(settings.master_keys.get_secret_value())
    policy = EgressPolicy.from_setting(settings.allowed_hosts)
    await Deliveries(database, cipher, policy, lease=float(sys.argv[1])).run()


if __name__ == "__main__":
    asyncio.run(main())
