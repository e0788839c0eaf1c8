"""Group commit: what several executions of a tenant want written at the same moment is written together.

While one transaction is on its way, whatever else the tenant's executions have to record gathers for the next. So
a lone execution waits for nobody, and a hundred cost a few transactions and not a hundred.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

from services.orchestration.adapters.ledger.connections import AWAY, FIRST_PAUSE, LONGEST_PAUSE, Connections, Row
from services.orchestration.adapters.ledger.encoding import EncodedWrite, parameters, shown
from services.orchestration.engine.ports import Superseded
from shared.kit import failpoints
from shared.kit.logging import get_logger

log = get_logger(__name__)

# Bounds of one transaction, so that a short write does not wait long behind many or large ones; and so that of many
# executions some are written while others run, and worker and database both have something to do.
_MOST_WRITES = 24
_MOST_BYTES = 4 * 1024 * 1024

_WRITE = "SELECT * FROM ledger_write($1, $2, $3, $4, $5, $6)"


class Effects(Protocol):
    """What follows from committed writes, and can be lost without harm."""

    def published(self, execution_id: UUID, events: bytes) -> None:
        """Lines for the execution's stream, as JSON."""
        ...

    def rejected(self) -> None:
        """A write came under an old epoch."""
        ...

    def asked(self, tenant_id: UUID, wait_ids: Sequence[UUID]) -> None:
        """There are new inbox items."""
        ...

    def queued(self) -> None:
        """Executions were put into the queue."""
        ...

    def ended(self) -> None:
        """An end concerns waits: a sweep has something to tell."""
        ...


@dataclass(slots=True)
class _Waiting:
    write: EncodedWrite
    done: asyncio.Future[None]


class GroupWriter:
    def __init__(self, connections: Connections, effects: Effects) -> None:
        self._connections = connections
        self._effects = effects
        self._queues: dict[UUID, deque[_Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def write(self, tenant_id: UUID, write: EncodedWrite) -> asyncio.Future[None]:
        """Done when the write is durable; while the database is away it waits. Settle or cancel it to give up."""
        waiting = _Waiting(write, asyncio.get_running_loop().create_future())
        queue = self._queues.get(tenant_id)
        if queue is not None:
            queue.append(waiting)
        else:
            self._queues[tenant_id] = deque((waiting,))
            task = asyncio.create_task(self._drain(tenant_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return waiting.done

    async def _drain(self, tenant_id: UUID) -> None:
        queue = self._queues[tenant_id]
        while queue:
            await self._commit(tenant_id, _next_group(queue))
        del self._queues[tenant_id]

    async def _commit(self, tenant_id: UUID, group: Sequence[_Waiting]) -> None:
        try:
            self._settle(tenant_id, group, await self._send(tenant_id, group))
        except asyncpg.PostgresError as error:
            # Something in one of them is refused. Alone, each stands or falls by itself.
            if len(group) > 1:
                for each in group:
                    await self._commit(tenant_id, (each,))
            else:
                log.error("a ledger write was refused", execution_id=str(group[0].write.execution_id), error=str(error))
                _fail(group, error)
        except Exception as error:  # noqa: BLE001 - those who wait must hear of it, and the others go on
            _fail(group, error)

    async def _send(self, tenant_id: UUID, group: Sequence[_Waiting]) -> Sequence[Row]:
        """Sends until there is an answer: the writes' numbers make sure that a lost answer does no harm. Nor does it
        to be the one whom Postgres picks to undo a deadlock: that, too, is answered by sending again."""
        pause = FIRST_PAUSE
        sent = parameters([each.write for each in group])
        while True:
            try:
                return await self._sent(tenant_id, sent)
            except AWAY as error:
                if all(each.done.done() for each in group):
                    return ()
                if pause == FIRST_PAUSE:
                    log.warning("a ledger write is sent again", error=repr(error), writes=len(group))
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _sent(self, tenant_id: UUID, sent: tuple[bytes | None, ...]) -> Sequence[Row]:
        if failpoints.armed:
            await failpoints.reach("ledger.commit.before")
        rows = await self._connections.fetch(_WRITE, tenant_id, *sent)
        if failpoints.armed:
            await failpoints.reach("ledger.commit.after")
        return rows

    def _settle(self, tenant_id: UUID, group: Sequence[_Waiting], rows: Sequence[Row]) -> None:
        written = {row["id"]: row for row in rows}
        for each in group:
            row = written.get(each.write.execution_id)
            if row is not None:
                self._tell(tenant_id, each.write, row)
                if not each.done.done():
                    each.done.set_result(None)
            elif not each.done.done():
                self._effects.rejected()
                each.done.set_exception(Superseded(str(each.write.execution_id)))
        if any(row["sweep"] for row in rows):
            self._effects.ended()

    def _tell(self, tenant_id: UUID, write: EncodedWrite, row: Row) -> None:
        if row["last_seq"] is None:  # sent before, and told then or lost
            return
        if write.events or row["further"] is not None:
            self._effects.published(write.execution_id, shown(write, row["last_seq"], row["further"]))
        if write.asked:
            self._effects.asked(tenant_id, write.asked)
        if write.starts or row["further"] is not None:
            self._effects.queued()


def _next_group(queue: deque[_Waiting]) -> list[_Waiting]:
    """From the front of the queue, but of each execution only its first: its next depends on that one's `seq`."""
    group: list[_Waiting] = []
    later: list[_Waiting] = []
    chosen: set[UUID] = set()
    size = 0
    while queue and len(group) < _MOST_WRITES and size < _MOST_BYTES:
        each = queue.popleft()
        if each.done.done():
            continue
        if each.write.execution_id in chosen:
            later.append(each)
            continue
        group.append(each)
        chosen.add(each.write.execution_id)
        size += each.write.size
    queue.extendleft(reversed(later))
    return group


def _fail(group: Sequence[_Waiting], error: Exception) -> None:
    for each in group:
        if not each.done.done():
            each.done.set_exception(error)
