"""An execution's stream from any point on: what is in Postgres, then what comes live, without gap or repetition."""

from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

from sqlalchemy import select

from shared.database.session import Database, ReadSession, Scope
from shared.database.tables.ledger import EventRow, ExecutionRow
from shared.events.hub import Hub
from shared.executions.errors import ExecutionNotFound
from shared.executions.events import channel, wire
from shared.executions.retention import events_pruned_before, pruned_notice
from shared.kit.json import JsonObject
from shared.workflow.states import ExecutionStatus

# Redis may be away, and a publisher may die between its commit and its publishing: so Postgres is asked now and then.
POLL_SECONDS = 2.0
PAGE = 500
LAST_TYPE = "done"


async def stream(
    database: Database, hub: Hub, scope: Scope, execution_id: UUID, after: int
) -> AsyncGenerator[list[JsonObject]]:
    """Lists of events in the shape of `EventOut`, with `seq` > `after` and gapless; ends after `done`. If some of them
    have been pruned, it begins with a line that says so, and goes on with what is left.

    An empty list says that nothing happened for a while. Raises `ExecutionNotFound` when the scope's tenant has no
    such execution. Holds no database session while it waits or while its reader is busy. Close it when done with it.
    """
    async with hub.watch(channel(execution_id)) as watcher:
        start = await _start(database, scope, execution_id)
        after = min(after, start.last_seq)
        before = events_pruned_before(start.pruned, start.last_seq)
        if before is not None and after < before:
            yield [pruned_notice(start.pruned, after, before, start.finished_at)]
        live: list[JsonObject] = []
        while True:
            events = _continuing(live, after)
            if not events:
                events, ended = await _read(database, scope, execution_id, after)
                if ended:
                    return
            yield events
            if events:
                after = events[-1]["seq"]
                if events[-1]["type"] == LAST_TYPE:
                    return
            # A full page says that there may be more where it came from.
            live = [] if len(events) >= PAGE else await watcher.next(POLL_SECONDS)


def _continuing(live: list[JsonObject], after: int) -> list[JsonObject]:
    """What of `live` follows on `after`; nothing, if something between has not come this way."""
    fresh = [event for event in live if event["seq"] > after]
    gapless = all(event["seq"] == seq for seq, event in enumerate(fresh, after + 1))
    return fresh if gapless else []


async def _start(database: Database, scope: Scope, execution_id: UUID) -> Any:
    query = select(ExecutionRow.last_seq, ExecutionRow.pruned, ExecutionRow.finished_at)
    async with database.read(scope) as session:
        row = (await session.execute(query.where(ExecutionRow.id == execution_id))).one_or_none()
    if row is None:
        raise ExecutionNotFound
    return row


async def _read(database: Database, scope: Scope, execution_id: UUID, after: int) -> tuple[list[JsonObject], bool]:
    """The next page, and whether there will never be another."""
    async with database.read(scope) as session:
        rows = await session.scalars(
            select(EventRow)
            .where(EventRow.execution_id == execution_id, EventRow.seq > after)
            .order_by(EventRow.seq)
            .limit(PAGE)
        )
        events = [wire(row) for row in rows]
        return events, not events and await _is_over(session, execution_id, after)


async def _is_over(session: ReadSession, execution_id: UUID, after: int) -> bool:
    query = select(ExecutionRow.status, ExecutionRow.last_seq).where(ExecutionRow.id == execution_id)
    row = (await session.execute(query)).one_or_none()
    return row is None or (ExecutionStatus(row.status).ended and row.last_seq <= after)
