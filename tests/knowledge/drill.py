"""A worker process that only ingests, to be killed: `python -m tests.knowledge.drill`."""

import asyncio

import uvloop

from shared.kit.logging import configure_logging
from shared.kit.settings import get_settings
from shared.web.resources import open_resources
from tests.knowledge.support import working


async def main() -> None:
    settings = get_settings()
    configure_logging(settings.log_level, "console")
    async with open_resources(settings) as resources, working(resources, settings.lease_seconds):
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
