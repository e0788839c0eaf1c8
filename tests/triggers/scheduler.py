"""`python -m tests.triggers.scheduler`: of a worker, the part that fires schedules, until it is killed."""

import asyncio

from services.orchestration.worker.schedules import Schedules
from shared.database.session import Database
from shared.kit.settings import get_settings
from tests.executions.support import no_ring


async def main() -> None:
    database = Database(get_settings().app_database_url.get_secret_value())
    await Schedules(database, no_ring).run()


if __name__ == "__main__":
    asyncio.run(main())
