"""What is looked after all the time, by every process of the service: safe to do in several places at once."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from services.knowledge_base import purges, tidying
from services.knowledge_base.consistency import losses
from services.knowledge_base.summaries import sweep as summaries
from services.knowledge_base.web import refresh
from shared.kit.logging import get_logger
from shared.web.resources import Resources

log = get_logger(__name__)

_EVERY = 60.0


@asynccontextmanager
async def sweeping(app: Resources) -> AsyncGenerator[None]:
    """For the life of a process: now and then sees to what was left lying."""
    task = asyncio.create_task(_for_ever(app))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _for_ever(app: Resources) -> None:
    while True:
        await asyncio.sleep(_EVERY)
        for sweep in (refresh.sweep, tidying.sweep, purges.sweep, losses.sweep, summaries.sweep):
            try:
                await sweep(app)
            except Exception:
                log.exception("a sweep over knowledge bases failed", sweep=sweep.__module__)
