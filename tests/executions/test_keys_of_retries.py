"""A retry makes calls that may have taken effect under the keys that they had, a fork makes calls of its own."""

from uuid import UUID

import pytest

from services.orchestration.engine.ports import (
    CallKind,
    CallStatus,
    Effect,
    ExecutionStatus,
    LedgerBatch,
    StepRecord,
    StepStatus,
    Transition,
)
from shared.auth.permissions import PERMISSIONS, Role
from shared.auth.principal import Principal
from shared.database.session import Scope
from shared.database.tables.ledger import ExecutionRow
from shared.executions.fork import Answering, Asked, Change, fork_execution, retry_execution
from shared.executions.keeping import Place
from tests.executions.lab import Lab, LabWorker, call, event, step
from tests.executions.support import no_ring, queue
from tests.support.platform import Account, Platform

GRAPH = {
    "spec": 1,
    "inputs": {"type": "object"},
    "nodes": [
        {
            "id": node,
            "type": "http",
            "name": node,
            "config": {"method": "PUT", "url": "http://x.test", "effect": effect},
        }
        for node, effect in (("pay", "idempotent"), ("send", "once"), ("later", "idempotent"))
    ],
    "edges": [{"from": "send", "to": "later"}],
    "outputs": {},
}
SPEC = {
    "graph": GRAPH,
    "agents": {},
    "models": {},
    "tools": {},
    "workflow_id": None,
    "workflow_name": "Pay",
    "version": 1,
}


async def _failed(platform: Platform, account: Account, worker: LabWorker) -> ExecutionRow:
    """Both calls may have taken effect: one failed, of the other nobody knows."""
    row = await queue(platform, account, spec=SPEC, inputs={})
    _, ledger = await worker.take_one()
    paying, sending = step("pay", type="http"), step("send", type="http")
    failure = {"code": "connection_failed", "message": "cut", "call": "1//http/0"}
    http = {"key": "1//http/0", "kind": CallKind.HTTP, "request": {"method": "PUT"}, "finished_at": None}
    paid = call(paying, effect=Effect.IDEMPOTENT, status=CallStatus.FAILED, error=failure, **http)
    sent = call(sending, effect=Effect.ONCE, status=CallStatus.STARTED, **http)
    ended = [_ended(paying, StepStatus.FAILED, failure), _ended(sending, StepStatus.CANCELLED, None)]
    end = Transition(ExecutionStatus.FAILED, None, failure)
    await ledger.write(LedgerBatch(steps=ended, calls=[paid, sent], events=[event(type_="done")], transition=end))
    return row


def _ended(of: StepRecord, status: StepStatus, error: dict[str, str] | None) -> StepRecord:
    of.status, of.error = status, error
    return of


async def _keyed_by(worker: LabWorker) -> dict[str, UUID | None]:
    """Of the execution that is queued, as its holder knows it; it fails then as the first did."""
    _, ledger = await worker.take_one()
    state = await ledger.load()
    ended = [_ended(each, StepStatus.FAILED, each.error) for each in state.steps]
    await ledger.write(
        LedgerBatch(steps=ended, events=[event(type_="done")], transition=Transition(ExecutionStatus.FAILED))
    )
    return {each.node: each.keyed_by for each in state.steps}


@pytest.fixture
def caller(ada: Account) -> Principal:
    return Principal(ada.user_id, ada.tenant_id, Role.OWNER, PERMISSIONS[Role.OWNER])


async def test_a_retry_goes_on_under_the_first_executions_keys(
    platform: Platform, lab: Lab, ada: Account, caller: Principal
) -> None:
    worker = await lab.worker()
    first = await _failed(platform, ada, worker)
    last = first
    for _ in range(2):  # a retry of a retry, too
        async with platform.resources.database.write(Scope(ada.tenant_id, ada.user_id)) as session:
            last = await retry_execution(session, caller, Asked(last.id, {}), no_ring)
        assert await _keyed_by(worker) == {"pay": first.id, "send": first.id}


async def test_a_forks_calls_are_its_own(platform: Platform, lab: Lab, ada: Account, caller: Principal) -> None:
    worker = await lab.worker()
    first = await _failed(platform, ada, worker)
    async with platform.resources.database.write(Scope(ada.tenant_id, ada.user_id)) as session:
        retried = await retry_execution(session, caller, Asked(first.id, {}), no_ring)
    await _keyed_by(worker)
    async with platform.resources.database.write(Scope(ada.tenant_id, ada.user_id)) as session:
        await fork_execution(
            session,
            caller,
            Asked(retried.id, {}),
            no_ring,
            begin=Place("later", ""),
            change=Change(),
            answer=None,
            answering=Answering(lambda node, value: value, lambda call, value: value),
        )
    assert await _keyed_by(worker) == {"pay": None, "send": None}
