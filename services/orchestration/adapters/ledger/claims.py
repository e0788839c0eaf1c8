"""The queue's side of the ledger: taking executions, keeping them, taking them from the dead."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from services.orchestration.adapters.ledger.connections import AWAY, Connections, Row
from shared.database.tables.ledger import EventRow
from shared.kit import failpoints
from shared.kit.json import JsonObject
from shared.workflow.states import Origin
from shared.workflow.version import ENGINE_VERSION

_SWEEP_LIMIT = 200


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
    pause_requested: bool
    wakes: int
    root_id: UUID | None
    depth: int
    origin: Origin | None
    budget: JsonObject | None
    active_ms: int
    engine_version: int


@dataclass(frozen=True, slots=True)
class Renewal:
    """What a heartbeat brings of an execution that is still ours. Somebody keeps one locked that is not `renewed`."""

    cancel_requested: bool
    pause_requested: bool
    wakes: int
    renewed: bool = True


@dataclass(slots=True)
class Swept:
    """What came of a sweep: lines of streams, executions whose workers are to look at once, and inbox items (of which
    tenant). `again`: there is more to do."""

    events: list[EventRow] = field(default_factory=list[EventRow])
    look: list[UUID] = field(default_factory=list[UUID])
    settled: list[tuple[UUID, UUID]] = field(default_factory=list[tuple[UUID, UUID]])
    escalated: list[tuple[UUID, UUID]] = field(default_factory=list[tuple[UUID, UUID]])
    again: bool = False


class Claims:
    """`worker` names this process in the ledger; `lease` is how many seconds a claim or heartbeat holds."""

    def __init__(self, connections: Connections, worker: str, lease: float, max_attempts: int) -> None:
        self._connections = connections
        self._worker = worker
        self._lease = lease
        self._max_attempts = max_attempts
        # Whether something may have been claimed that was never heard of.
        self._unheard = False

    async def take(self, room: Mapping[str, int], *, suspects: bool, held: Iterable[UUID]) -> list[Claim]:
        """Queued executions of each lane, up to its room; one that is suspect only if `suspects`. `held` is what this
        worker holds already."""
        if self._unheard:
            await self._connections.fetch("SELECT ledger_hand_back($1, $2)", self._worker, list(held))
            self._unheard = False
        try:
            return await self._take(room, suspects)
        except AWAY:
            self._unheard = True
            raise

    async def _take(self, room: Mapping[str, int], suspects: bool) -> list[Claim]:
        taken = await self._connections.fetch(
            "SELECT * FROM ledger_claim($1, $2, $3, $4, $5, $6)",
            self._worker,
            list(room),
            list(room.values()),
            suspects,
            self._lease,
            ENGINE_VERSION,
        )
        if not taken:
            return []
        if failpoints.armed:
            await failpoints.reach("claim.taken")
        # They are ours already: given up here, they would count as lost to a dead worker.
        opened = await self._connections.fetch_persistently(
            "SELECT * FROM ledger_load($1, $2)",
            [row["id"] for row in taken],
            [row["epoch"] for row in taken],
            within=self._lease / 2,
        )
        if failpoints.armed:
            await failpoints.reach("claim.opened")
        by_id = {row["id"]: row for row in opened}
        return [_claim(row, by_id[row["id"]]) for row in taken if row["id"] in by_id]

    async def renew(self, held: Mapping[UUID, int], *, patient: bool = True) -> dict[UUID, Renewal]:
        """Of the executions (with their epochs) those that are still this worker's. If not `patient`, it waits for
        nobody who has one of them locked."""
        rows = await self._connections.fetch(
            "SELECT * FROM ledger_renew($1, $2, $3, $4)", list(held), list(held.values()), self._lease, patient
        )
        return {
            row["id"]: Renewal(row["cancel_requested"], row["pause_requested"], row["wakes"], row["renewed"])
            for row in rows
        }

    async def reap(self) -> list[EventRow]:
        """Takes executions from workers that died; answers with what was written to their streams."""
        rows = await self._connections.fetch("SELECT * FROM ledger_reap($1)", self._max_attempts)
        return [EventRow(**row) for row in rows]

    async def sweep(self) -> Swept:
        """Does what is due for waits: see `ledger_sweep`."""
        return _swept(await self._connections.fetch("SELECT * FROM ledger_sweep($1)", _SWEEP_LIMIT))


def _swept(rows: Sequence[Row]) -> Swept:
    swept = Swept()
    for row in rows:
        match row["what"]:
            case "event":
                swept.events.append(_event(row))
            case "look":
                swept.look.append(row["id"])
            case "settled":
                swept.settled.append((row["tenant_id"], row["id"]))
            case "escalated":
                swept.escalated.append((row["tenant_id"], row["id"]))
            case _:
                swept.again = True
    return swept


def _event(row: Row) -> EventRow:
    line = row["line"]
    known = {"execution_id": row["id"], "tenant_id": row["tenant_id"], "at": datetime.fromisoformat(line["at"])}
    return EventRow(**{**line, **known})


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
        pause_requested=opened["pause_requested"],
        wakes=opened["wakes"],
        root_id=opened["root_id"],
        depth=opened["depth"],
        origin=None if opened["origin"] is None else Origin(opened["origin"]),
        budget=opened["budget"],
        active_ms=opened["active_ms"],
        engine_version=opened["engine_version"],
    )
