"""Rows of one execution, taken over into another one that was made of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import column, func, insert, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PgUuid

from shared.database.session import WriteSession
from shared.database.tables.ledger import CallRow, StepRow, WaitRow
from shared.kit.ids import new_id

_UUID = PgUuid(as_uuid=True)


@dataclass(slots=True)
class Copies:
    """What is to be copied. Rows that change in the same way on their way are copied together; `changes` are column
    values, or expressions over the old row."""

    steps: list[tuple[Sequence[UUID], Mapping[str, Any]]] = field(default_factory=list[Any])
    calls: list[tuple[Sequence[UUID], Mapping[str, Any]]] = field(default_factory=list[Any])
    waits: list[tuple[Sequence[UUID], Mapping[str, Any]]] = field(default_factory=list[Any])


async def copy(session: WriteSession, copies: Copies, execution_id: UUID) -> dict[UUID, UUID]:
    """The new ids of the steps, by the old. Calls are marked as copied and cost nothing: they were paid where they were
    made."""
    steps = _new_ids(id_ for ids, _ in copies.steps for id_ in ids)
    for ids, changes in copies.steps:
        await _copy(session, StepRow, ids, steps, {"execution_id": execution_id, **changes})
    paid = {"copied": True, "input_tokens": 0, "output_tokens": 0, "cost": 0}
    await _copy_parts(session, CallRow, copies.calls, steps, {"execution_id": execution_id, **paid})
    # Nobody has to be told of them: the execution has not begun.
    await _copy_parts(session, WaitRow, copies.waits, steps, {"execution_id": execution_id, "told": True})
    return steps


async def _copy_parts(
    session: WriteSession,
    table: type[CallRow] | type[WaitRow],
    groups: Iterable[tuple[Sequence[UUID], Mapping[str, Any]]],
    steps: Mapping[UUID, UUID],
    common: Mapping[str, Any],
) -> None:
    made = _pairs(steps, "made_step")
    for ids, changes in groups:
        values = {"step_id": made.c.new, **common, **changes}
        await _copy(session, table, ids, _new_ids(ids), values, join=(made, made.c.old == table.step_id))


async def _copy(
    session: WriteSession,
    table: type[StepRow] | type[CallRow] | type[WaitRow],
    ids: Sequence[UUID],
    new_ids: Mapping[UUID, UUID],
    values: Mapping[str, Any],
    join: tuple[Any, Any] | None = None,
) -> None:
    if not ids:
        return
    made = _pairs({id_: new_ids[id_] for id_ in ids}, "made")
    taken: dict[str, Any] = {each.name: each for each in table.__table__.columns}
    for name, value in {"id": made.c.new, **values}.items():
        taken[name] = value if hasattr(value, "label") else literal(value, table.__table__.columns[name].type)
    source = select(*taken.values()).join_from(table, made, made.c.old == table.id)
    if join is not None:
        source = source.join(*join)
    await session.execute(insert(table).from_select(list(taken), source))


def _pairs(ids: Mapping[UUID, UUID], name: str) -> Any:
    old, new = (literal(list(each), ARRAY(_UUID)) for each in (ids.keys(), ids.values()))
    made = func.unnest(old, new).table_valued(column("old", _UUID), column("new", _UUID), name=name)
    return made.render_derived()


def _new_ids(ids: Iterable[UUID]) -> dict[UUID, UUID]:
    return {id_: new_id() for id_ in sorted(ids)}
