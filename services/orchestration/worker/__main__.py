"""`python -m services.orchestration.worker`: runs executions until told to stop.

The first SIGTERM or SIGINT hands over what is running to the other workers and ends within seconds; the second
ends at once, and the others find what it left when its leases are over.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Sequence

import uvloop

from services.orchestration.engine.ports import Ledger
from services.orchestration.engine.runner import ExecutionRunner
from services.orchestration.worker.composition import JOB_MODULES, open_outside
from services.orchestration.worker.deliveries import Deliveries
from services.orchestration.worker.jobs import job_handlers
from services.orchestration.worker.listener import DoorbellListener, load_included
from services.orchestration.worker.replays import replay_handler
from services.orchestration.worker.reservations import Reservations
from services.orchestration.worker.schedules import Schedules
from services.orchestration.worker.worker import Worker
from shared.kit.logging import configure_logging, get_logger
from shared.kit.settings import Settings, get_settings
from shared.net.policy import EgressPolicy
from shared.tasks.celery import create_celery
from shared.web.resources import open_resources
from shared.workflow.states import ExecutionKind

log = get_logger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Nearly all that steps leave behind is freed without the garbage collector. As often as Python has it look by default,
# it takes 30 us of each step, and finds nothing.
_COLLECT_AFTER = (5_000, 10, 4)


async def run(settings: Settings, job_modules: Sequence[str]) -> None:
    """A whole worker on the running event loop; returns after the first signal, when everything is handed over."""
    loop = asyncio.get_running_loop()
    told_to_leave = asyncio.Event()

    def on_signal() -> None:
        if told_to_leave.is_set():
            os._exit(1)
        told_to_leave.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)

    app = create_celery(settings.broker_url.get_secret_value(), include=job_modules)
    load_included(app)
    async with open_resources(settings) as resources, open_outside(resources) as outside:
        jobs = {
            **job_handlers(resources),
            ExecutionKind.REPLAY.value: replay_handler(resources.database, outside),
        }

        def make_runner(ledger: Ledger) -> ExecutionRunner:
            return ExecutionRunner(ledger, outside, jobs)

        besides = (
            Reservations(resources.database).run,
            Schedules(resources.database, resources.doorbell.ring).run,
            Deliveries(resources.database, resources.cipher, EgressPolicy.from_setting(settings.allowed_hosts)).run,
        )
        worker = Worker(settings, resources.redis, resources.doorbell, make_runner, besides)
        DoorbellListener(app, loop, worker.hear).start()
        await worker.run(_set(told_to_leave))


async def _set(event: asyncio.Event) -> None:
    await event.wait()


def main(job_modules: Sequence[str] = JOB_MODULES) -> int:
    settings = get_settings()
    configure_logging(settings.log_level, settings.log_format)
    for name, value in (("APP_DATABASE_URL", settings.app_database_url), ("BROKER_URL", settings.broker_url)):
        if not value.get_secret_value():
            sys.stderr.write(f"{name} is not set: a worker needs the database and the broker.\n")
            return 2
    gc.set_threshold(*_COLLECT_AFTER)
    # Not closed in the end: that would wait for steps which did not stop, and for threads of agent libraries. All is
    # handed over by then; nobody waits for what they still do.
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(run(settings, job_modules))
    log.info("worker stopped")
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    raise SystemExit(main())
