"""The Celery side of a worker: a consumer in a thread of its own that hears the doorbell and tells the event loop."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import celery.signals  # pyright: ignore[reportMissingTypeStubs]
from celery import Celery  # pyright: ignore[reportMissingTypeStubs]

from shared.kit.logging import get_logger
from shared.tasks.doorbell import WAKE_QUEUE, WAKE_TASK

log = get_logger(__name__)

_RESTART = 2.0


def load_included(app: Celery) -> None:
    """Imports the modules that the app includes, and with them the jobs that they register."""
    any_app: Any = app
    any_app.loader.import_default_modules()


class DoorbellListener:
    """`heard` is called on `loop`. Signals stay with the main thread, where the event loop has them."""

    def __init__(self, app: Celery, loop: asyncio.AbstractEventLoop, heard: Callable[[], None]) -> None:
        self._app: Any = app
        self._loop = loop
        self._heard = heard
        self._thread = threading.Thread(target=self._listen_forever, name="doorbell", daemon=True)

    def start(self) -> None:
        """It ends with the process: there is nothing in it that could be lost."""
        celery.signals.setup_logging.connect(_leave_logging_alone)  # pyright: ignore[reportUnknownMemberType]
        # Two lines for every ring would drown what matters.
        logging.getLogger("celery.app.trace").setLevel(logging.WARNING)
        self._app.task(self._wake, name=WAKE_TASK)
        self._thread.start()

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._heard)

    def _listen_forever(self) -> None:
        while True:
            try:
                # Reconnects by itself when Redis goes and comes back; returns only for a fault of its own.
                self._worker().start()
                self._forget_messages()
            except Exception:
                log.exception("the doorbell's listener failed")
            log.warning("the doorbell's listener starts again")
            time.sleep(_RESTART)

    def _forget_messages(self) -> None:
        """A message that Celery cannot take would be put back and end the listener again. None of them is missed."""
        with self._app.connection_for_write() as connection:
            connection.default_channel.queue_purge(WAKE_QUEUE)

    def _worker(self) -> Any:
        return self._app.WorkController(
            app=self._app,
            pool="threads",
            concurrency=1,
            queues=[WAKE_QUEUE],
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )


def _leave_logging_alone(**_: Any) -> None:
    """Connected to Celery's signal, it keeps Celery from configuring the process's logging."""
