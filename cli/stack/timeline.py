"""What the person sees while the stack starts: one line for each thing that happened, and a bar for downloads."""

import time

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

from cli.stack.downloads import Progress

_LINE_EVERY = 10  # percent, where there is no terminal to draw a bar on


class Timeline:
    def __init__(self, console: Console) -> None:
        self.console = console
        self._begun = time.monotonic()
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}
        self._told: dict[str, int] = {}

    def say(self, text: str) -> None:
        """One line with the seconds since the start before it."""
        self.console.print(f"[dim]{time.monotonic() - self._begun:6.1f} s[/]  {text}", highlight=False, soft_wrap=True)

    def download(self, progress: Progress) -> None:
        if self.console.is_terminal:
            self._draw(progress)
        else:
            self._tell(progress)

    def close(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def _draw(self, progress: Progress) -> None:
        if self._bars is None:
            self._bars = Bars(
                TextColumn("          {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
                TimeRemainingColumn(), console=self.console, transient=True,
            )  # fmt: skip
            self._bars.start()
        task = self._tasks.get(progress.title)
        if task is None:
            task = self._tasks[progress.title] = self._bars.add_task(progress.title, total=progress.total_bytes)
        name = f"{progress.title}, part {progress.part} of {progress.parts}"
        self._bars.update(task, completed=progress.done_bytes, description=name)

    def _tell(self, progress: Progress) -> None:
        percent = 100 * progress.done_bytes // progress.total_bytes
        if percent // _LINE_EVERY > self._told.get(progress.title, -1):
            self._told[progress.title] = percent // _LINE_EVERY
            self.say(
                f"downloading {progress.title}: part {progress.part} of {progress.parts}, "
                f"{progress.done_bytes >> 20} of {progress.total_bytes >> 20} MB"
            )
