"""Streamed text of one step: the first piece goes out at once, the rest gathered every 50 ms."""

import asyncio
from uuid import UUID

from services.orchestration.engine import events
from services.orchestration.engine.ports import Delta, StepRef
from services.orchestration.engine.writer import LedgerWriter

INTERVAL = 0.05

_Stream = tuple[str, str, str | None]


class DeltaGatherer:
    def __init__(self, writer: LedgerWriter, step: StepRef) -> None:
        self._writer = writer
        self._step = step
        self._loop = asyncio.get_running_loop()
        self._sent_at = -INTERVAL
        self._pieces: dict[_Stream, list[str]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, delta: Delta, call: str, agent_id: UUID | None) -> None:
        if not delta.text:
            return
        stream = (delta.kind, call, None if agent_id is None else str(agent_id))
        self._pieces.setdefault(stream, []).append(delta.text)
        if self._timer is None:
            wait = self._sent_at + INTERVAL - self._loop.time()
            if wait <= 0:
                self.flush()
            else:
                self._timer = self._loop.call_later(wait, self.flush)

    def flush(self) -> None:
        """Posts what was gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._pieces:
            return
        pieces, self._pieces = self._pieces, {}
        self._sent_at = self._loop.time()
        self._writer.post(
            events=[
                events.delta(kind, "".join(texts), call, agent, self._step)
                for (kind, call, agent), texts in pieces.items()
            ]
        )
