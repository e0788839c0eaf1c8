"""What must change in crewAI, process-wide, before it may run inside a worker that serves many tenants.

Importing this module makes the changes; everything else is done by subclassing. Each says why it is there, and
`tests/crewai/test_contracts.py` holds the behaviour that it leans on, so that a new version of crewAI fails in the
tests and not in production.
"""

import threading
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import crewai.crew
import crewai.task
from crewai import Agent, Crew
from crewai.events.event_bus import crewai_event_bus
from crewai_core.lock_store import set_lock_backend
from pydantic import BaseModel


def _keep_locks_in_the_process() -> None:
    """crewAI locks through files in /tmp, or through Redis for the whole cluster once `REDIS_URL` is set."""
    locks: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)

    @contextmanager
    def in_process(name: str, timeout: float = 0) -> Generator[None]:
        with locks[name]:
            yield

    set_lock_backend(in_process)


def _silence_the_event_bus() -> None:
    """The bus is one per process: its handlers see all tenants, print to the console, and run in threads.

    What a watcher of an execution sees comes from the journal, so the events are dropped where they are emitted.
    """

    def discard(source: Any, event: Any) -> None:
        return None

    crewai_event_bus.emit = discard


def _forget_the_file_store() -> None:
    """Before and after each task crewAI asks a store for input files, each time in a new thread with a new loop.

    Files reach our agents as knowledge, never through that store, so the answer is always: none.
    """

    def no_files(*_: object) -> None:
        return None

    for module, names in (
        (crewai.crew, ("get_all_files", "clear_files")),
        (crewai.task, ("get_all_files", "clear_task_files")),
    ):
        for name in names:
            assert hasattr(module, name), f"crewAI no longer asks for {name}"
            setattr(module, name, no_files)


def _quiet_deprecated_fields(model: type[BaseModel]) -> None:
    """crewAI reads deprecated fields of its own, 14 times for a crew of three, and each time warns about itself.

    A field is deprecated by a descriptor on its class that warns; without it the value is read as any other. The
    mark on the field goes too, else a subclass would get a descriptor of its own.
    """
    for name, field in model.model_fields.items():
        if field.deprecated:
            field.deprecated = None
            for each in model.__mro__:
                if name in vars(each):
                    delattr(each, name)


_keep_locks_in_the_process()
_silence_the_event_bus()
_forget_the_file_store()
_quiet_deprecated_fields(Agent)
_quiet_deprecated_fields(Crew)
