"""Rows of the ledger as the engine leaves them, written the way the engine writes them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import update

from shared.database.session import Database, Scope
from shared.database.tables.ledger import CallRow, EventRow, ExecutionRow, StepRow, WaitRow
from shared.executions.events import announce
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from shared.kit.json import content_hash
from shared.web.resources import Resources


class Seeder:
    """Writes into one tenant's ledger."""

    def __init__(self, resources: Resources, tenant_id: UUID) -> None:
        self._resources = resources
        self._tenant_id = tenant_id

    @property
    def database(self) -> Database:
        return self._resources.database

    @property
    def scope(self) -> Scope:
        return Scope(self._tenant_id)

    async def execution(self, **values: Any) -> UUID:
        row = ExecutionRow(
            **{
                "id": new_id(),
                "tenant_id": self._tenant_id,
                "kind": "workflow",
                "name": "An execution",
                "spec": {},
                "inputs": {},
                "created_at": utcnow(),
                **values,
            }
        )
        await self._add(row)
        return row.id

    async def step(self, execution_id: UUID, node: str, **values: Any) -> UUID:
        row = StepRow(
            **{
                "id": new_id(),
                "tenant_id": self._tenant_id,
                "execution_id": execution_id,
                "node": node,
                "type": "agent_task",
                "path": "",
                "attempt": 1,
                "generation": 1,
                "status": "succeeded",
                **values,
            }
        )
        await self._add(row)
        return row.id

    async def call(self, execution_id: UUID, step_id: UUID, **values: Any) -> UUID:
        row = CallRow(
            **{
                "id": new_id(),
                "tenant_id": self._tenant_id,
                "execution_id": execution_id,
                "step_id": step_id,
                "key": f"1//llm/{new_id().hex}",
                "kind": "llm",
                "effect": "read",
                "name": "fake",
                "request_hash": "0",
                "status": "succeeded",
                **values,
            }
        )
        await self._add(row)
        return row.id

    async def wait(self, execution_id: UUID, step_id: UUID, kind: str = "approval", **values: Any) -> UUID:
        """An open one of a waiting step; the caller sees to the states of the step and of the execution."""
        request = values.setdefault("request", {})
        row = WaitRow(
            **{
                "id": new_id(),
                "tenant_id": self._tenant_id,
                "execution_id": execution_id,
                "step_id": step_id,
                "key": f"1//wait/{new_id().hex}",
                "kind": kind,
                "title": "Shall we?",
                "request_hash": content_hash(request),
                "created_at": utcnow(),
                **values,
            }
        )
        await self._add(row)
        return row.id

    async def append(
        self, execution_id: UUID, *events: tuple[str, dict[str, Any]], publish: bool = True, status: str | None = None
    ) -> None:
        """Appends events in one transaction that the execution's row fences, then tells who listens."""
        moment = utcnow()
        async with self.database.write(self.scope) as session:
            values: dict[str, Any] = {"last_seq": ExecutionRow.last_seq + len(events)}
            if status is not None:
                values["status"] = status
            last = await session.scalar(
                update(ExecutionRow)
                .where(ExecutionRow.id == execution_id)
                .values(values)
                .returning(ExecutionRow.last_seq)
            )
            assert last is not None
            rows = [
                self._event(execution_id, seq, kind, data, moment)
                for seq, (kind, data) in enumerate(events, last - len(events) + 1)
            ]
            session.add_all(rows)
        if publish:
            await announce(self._resources.redis, rows)

    async def finish(self, execution_id: UUID, status: str = "succeeded", *, publish: bool = True) -> None:
        await self.append(
            execution_id,
            ("execution.status", {"status": status}),
            ("done", {"status": status, "output": None, "error": None}),
            publish=publish,
            status=status,
        )

    def _event(self, execution_id: UUID, seq: int, kind: str, data: dict[str, Any], at: datetime) -> EventRow:
        return EventRow(
            tenant_id=self._tenant_id,
            execution_id=execution_id,
            seq=seq,
            type=kind,
            at=at,
            node=None,
            path=None,
            attempt=None,
            data=data,
        )

    async def _add(self, row: ExecutionRow | StepRow | CallRow | WaitRow) -> None:
        async with self.database.write(self.scope) as session:
            session.add(row)
