"""The queue's side of the ledger: taking executions, keeping them, taking them from the dead."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.orchestration.adapters.ledger.connections import Connections, Row
from shared.database.tables.ledger import EventRow
from shared.kit.json import JsonObject


@dataclass(frozen=True, slots=True)
class Claim:
    """An execution that this worker holds under `epoch`. A `suspect` may be what killed its earlier workers."""

    id: UUID
    tenant_id: UUID
    lane: str
    epoch: int
    suspect: bool
    kind: str
    attempts: int
    spec: JsonObject
    inputs: JsonObject
    created_at: datetime
    cancel_requested: bool


class Claims:
    """`worker` names this process in the ledger; `lease` is how many seconds a claim or heartbeat holds."""

    def __init__(self, connections: Connections, worker: str, lease: float, max_attempts: int) -> None:
        self._connections = connections
        self._worker = worker
        self._lease = lease
        self._max_attempts = max_attempts

    async def take(self, room: Mapping[str, int], *, suspects: bool) -> list[Claim]:
        """Queued executions of each lane, up to its room; one that is suspect only if `suspects`."""
        taken = await self._connections.fetch(
            "SELECT * FROM ledger_claim($1, $2, $3, $4, $5)",
            self._worker,
            list(room),
            list(room.values()),
            suspects,
            self._lease,
        )
        if not taken:
            return []
        # They are ours already: given up here, they would count as lost to a dead worker.
        opened = await self._connections.fetch_persistently(
            "SELECT * FROM ledger_open($1, $2)",
            [row["id"] for row in taken],
            [row["epoch"] for row in taken],
            within=self._lease / 2,
        )
        by_id = {row["id"]: row for row in opened}
        return [_claim(row, by_id[row["id"]]) for row in taken if row["id"] in by_id]

    async def renew(self, held: Mapping[UUID, int]) -> dict[UUID, bool]:
        """Of the executions (with their epochs) those that are still this worker's: whether each is to stop."""
        rows = await self._connections.fetch(
            "SELECT * FROM ledger_heartbeat($1, $2, $3)", list(held), list(held.values()), self._lease
        )
        return {row["id"]: row["cancel_requested"] for row in rows}

    async def reap(self) -> list[EventRow]:
        """Takes executions from workers that died; answers with what was written to their streams."""
        rows = await self._connections.fetch("SELECT * FROM ledger_reap($1)", self._max_attempts)
        return [EventRow(**row) for row in rows]


def _claim(taken: Row, opened: Row) -> Claim:
    return Claim(
        id=taken["id"],
        tenant_id=taken["tenant_id"],
        lane=taken["lane"],
        epoch=taken["epoch"],
        suspect=taken["suspect"],
        kind=opened["kind"],
        attempts=opened["attempts"],
        spec=opened["spec"],
        inputs=opened["inputs"],
        created_at=opened["created_at"],
        cancel_requested=opened["cancel_requested"],
    )
