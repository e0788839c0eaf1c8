"""Starts the whole stack side by side, keeps it running, and stops it in order."""

import asyncio
import os
import sys
import time
from collections.abc import Coroutine
from typing import Any

from rich.markup import escape

from cli.stack.component import Component
from cli.stack.diagnosis import describe_exit
from cli.stack.embeddings import ensure_embeddings
from cli.stack.errors import StackError
from cli.stack.files import tail
from cli.stack.layout import PROJECT_ROOT
from cli.stack.plan import Plan, require_reachable
from cli.stack.ports import require_public_port
from cli.stack.process import Launch, Process, rotate
from cli.stack.state import ComponentState, StackState
from cli.stack.timeline import Timeline
from cli.stack.weights import ensure_language_model

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_STEADY_AFTER = 60.0
_LONGEST_MIGRATION = 300.0
_LOOK_AT_LOGS_EVERY = 60.0


class Supervisor:
    """Runs one plan. Must live in the main thread: the children end with the thread that started them."""

    def __init__(self, plan: Plan, timeline: Timeline) -> None:
        self._plan = plan
        self._timeline = timeline
        self._keepers: list[asyncio.Task[None]] = []
        self._ready = False

    async def start(self) -> None:
        """Returns when everything answers. Raises StackError, with nothing left running, when something does not."""
        require_public_port(self._plan.port)
        self._publish()
        try:
            await _together(self._start_core(), self._start_model(), self._prepare_embeddings())
        except BaseException:
            await self.stop()
            raise
        finally:
            self._timeline.close()
        self._ready = True
        self._publish()
        self._keepers = [asyncio.create_task(self._keep(component)) for component in self._plan.components]
        self._keepers.append(asyncio.create_task(self._keep_logs_short()))

    async def stop(self) -> None:
        """In order: the product, what it stands on, the database last. Does nothing when nothing runs."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        if any(component.running for component in self._plan.components):
            self._timeline.say("stopping")
            for group in self._plan.in_order_of_stopping:
                await asyncio.gather(*(component.stop() for component in group))
            self._timeline.say("everything has stopped")
        self._plan.home.state_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """Everything at once. Nothing that was acknowledged is lost; the next start recovers."""
        for component in self._plan.components:
            if component.process is not None:
                component.process.kill()

    async def _start_core(self) -> None:
        """Stores, schema, API and worker: each begins as soon as what it needs is there."""
        plan = self._plan
        await _together(*(require_reachable(name, url) for name, url in plan.brought.items()))
        await _together(self._start_database(), self._start(plan.broker), self._start(plan.vectors))
        await _together(*(self._start(component) for component in (*plan.web, plan.worker)))

    async def _start_database(self) -> None:
        await self._start(self._plan.database)
        await self._migrate()

    async def _start_model(self) -> None:
        if self._plan.weights is not None:
            await ensure_language_model(self._plan.weights, self._plan.cache, self._timeline.download)
            await self._start(self._plan.model)

    async def _prepare_embeddings(self) -> None:
        await ensure_embeddings(self._plan.cache, self._timeline.download)

    async def _start(self, component: Component | None) -> None:
        if component is None:
            return
        begun = time.monotonic()
        await component.start()
        self._publish()
        where = f" on port {component.port}" if component.port else ""
        self._timeline.say(f"{component.title} is up{where}, after {time.monotonic() - begun:.1f} s")

    async def _migrate(self) -> None:
        log = self._plan.home.log_of("migrate")
        log.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "shared.database.migrate"]
        begun = time.monotonic()
        process = Process(Launch(argv=argv, log=log, environment=self._plan.environment, directory=PROJECT_ROOT))
        try:
            exit_code = await process.wait(_LONGEST_MIGRATION)
        finally:
            process.kill()
        if exit_code != 0:
            lines = tail(log).strip().splitlines() or ["it said nothing"]
            raise StackError(
                f"The database's schema could not be brought up to date: {lines[-1]}", f"The whole story: {log}"
            )
        self._timeline.say(f"The schema is up to date, after {time.monotonic() - begun:.1f} s")

    async def _keep(self, component: Component) -> None:
        """Start it again whenever it ends, at once first and ever more slowly while it keeps ending."""
        pause = _FIRST_PAUSE
        while True:
            if component.process is not None and await self._until_it_ends(component.process) > _STEADY_AFTER:
                pause = _FIRST_PAUSE
            self._tell_end(component)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            component.restarts += 1
            try:
                await component.start()
                self._timeline.say(f"{component.title} is up again")
            except StackError as error:
                self._timeline.say(f"[red]{escape(error.problem)}[/] {escape(error.advice)}")
            self._publish()

    async def _keep_logs_short(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_AT_LOGS_EVERY)
            for component in self._plan.components:
                await asyncio.to_thread(rotate, component.log)

    async def _until_it_ends(self, process: Process) -> float:
        """How long it has run."""
        while process.exit_code is None:  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.1)
        return time.time() - process.started_at

    def _tell_end(self, component: Component) -> None:
        exit_code = component.process.exit_code if component.process else None
        how = describe_exit(exit_code) if exit_code is not None else "it did not start"
        self._publish()
        self._timeline.say(
            f"[yellow]{component.title} has ended ({how})[/]; starting it again. Its log: {component.log}"
        )

    def _publish(self) -> None:
        StackState(
            pid=os.getpid(),
            url=self._plan.url,
            split=self._plan.split,
            ready=self._ready,
            components=[ComponentState.of(component) for component in self._plan.components],
        ).write(self._plan.home)


async def _together(*work: Coroutine[Any, Any, None]) -> None:
    """Run side by side; the first failure ends the others and is raised as it is."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
