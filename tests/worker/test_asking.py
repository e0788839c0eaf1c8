"""What jobs ask of models, with real workers that die: nothing on record is paid again, and nothing paid is hidden."""

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from uuid import UUID

import pytest

from shared.database.session import Scope
from shared.database.tables.budgets import Budget
from shared.database.tables.models import Model
from shared.kit.ids import new_id
from tests.fakes.model_server import FakeModelServer
from tests.worker.drill_jobs import ASKING
from tests.worker.processes import Process, Yard

TEXTS = 4
ALLOWED = {"QUARTERDECK_ALLOWED_HOSTS": "127.0.0.1:*"}


@pytest.fixture(scope="module")
def provider_process() -> Iterator[FakeModelServer]:
    with FakeModelServer() as server:
        yield server


@pytest.fixture
def provider(provider_process: FakeModelServer) -> FakeModelServer:
    provider_process.reset()
    usage = {"prompt_tokens": 1000, "completion_tokens": 0}
    provider_process.script({"path": "embeddings", "usage": usage})
    return provider_process


async def submit(yard: Yard, provider: FakeModelServer) -> UUID:
    ids = {kind: new_id() for kind in ("embedding", "chat")}
    async with yard.platform.resources.database.write(Scope(yard.account.tenant_id)) as session:
        session.add_all(
            Model(
                id=id_,
                tenant_id=yard.account.tenant_id,
                name=f"{kind} {id_}",
                kind=kind,
                provider="openai_compatible",
                model=kind,
                settings={"base_url": provider.base_url},
                context_window=8192,
                supports_tools=True,
                input_price=Decimal(1000),
                output_price=Decimal(0),
            )
            for kind, id_ in ids.items()
        )
    spec = {f"{kind}_model": str(id_) for kind, id_ in ids.items()}
    return await yard.submit_kind(ASKING, {**spec, "texts": TEXTS, "kept": str(yard.directory / f"kept-{new_id()}")})


def embedded(provider: FakeModelServer) -> Counter[str]:
    return Counter(request["body"]["input"][0] for request in provider.journal("embeddings"))


async def killed_at(yard: Yard, failpoint: str) -> Process:
    worker = await yard.start(QUARTERDECK_FAILPOINTS=failpoint, **ALLOWED)
    assert await worker.ended(60) == -signal.SIGKILL
    return worker


async def check_the_bill(yard: Yard, id_: UUID) -> None:
    """The execution's totals are those of its calls, each on record once and with what it cost."""
    row, calls = await yard.view.execution(id_), await yard.view.calls(id_)
    assert Counter(call["kind"] for call in calls) == {"embedding": TEXTS, "llm": 1}
    embeddings = [call for call in calls if call["kind"] == "embedding"]
    assert {(call["input_tokens"], call["cost"]) for call in embeddings} == {(1000, Decimal(1))}
    assert {tuple(sorted(call["response"])) for call in embeddings} == {("count", "dimensions")}, "let go of in the end"
    assert row["cost"] == sum(call["cost"] for call in calls)
    assert row["call_count"] == TEXTS + 1


@pytest.mark.parametrize("call", [2, TEXTS + 1])
async def test_a_kill_between_answer_and_record_costs_that_one_call(
    call: int, yard: Yard, provider: FakeModelServer
) -> None:
    id_ = await submit(yard, provider)
    await killed_at(yard, f"call.made=kill@{call}")
    before = len(provider.journal(None))
    assert before == call
    await yard.start(**ALLOWED)
    [row] = await yard.all_ended([id_], within=60)
    assert row["status"] == "succeeded", row["error"]
    assert row["output"]["embedded"] == TEXTS
    assert len(provider.journal(None)) == TEXTS + 1 + 1, "that one, and no other"
    await check_the_bill(yard, id_)


@pytest.mark.parametrize("commit", [3, 6])
async def test_a_kill_after_the_record_costs_nothing(commit: int, yard: Yard, provider: FakeModelServer) -> None:
    """Also where the job had no time to keep what it was given: it is on record."""
    id_ = await submit(yard, provider)
    await killed_at(yard, f"ledger.commit.after=kill@{commit}")
    paid = embedded(provider)
    assert paid, "it was killed when something had been paid"
    await yard.start(**ALLOWED)
    [row] = await yard.all_ended([id_], within=60)
    assert row["status"] == "succeeded", row["error"]
    assert embedded(provider) == {f"text {number}": 1 for number in range(TEXTS)}
    assert len(provider.journal("chat")) == 1
    await check_the_bill(yard, id_)


async def test_a_budget_ends_the_job_before_the_call(yard: Yard, provider: FakeModelServer) -> None:
    async with yard.platform.resources.database.write(Scope(yard.account.tenant_id)) as session:
        session.add(
            Budget(
                id=new_id(), tenant_id=yard.account.tenant_id, name="Month", scope="tenant", period="month",
                calls=2, on_exceeded="wait",
            )
        )  # fmt: skip
    id_ = await submit(yard, provider)
    await yard.start(**ALLOWED)
    [row] = await yard.all_ended([id_], within=60)
    assert (row["status"], row["error"]["code"]) == ("failed", "budget_exceeded")
    assert "Month" in row["error"]["message"]
    assert len(provider.journal(None)) == 2
    assert (row["cost"], row["call_count"]) == (Decimal(2), 2)
    await asyncio.sleep(0.3)  # what was used is told to budgets apart from the execution's end
    reserved = await yard.view.connection.fetchval("SELECT count(*) FROM budget_reservations")
    assert reserved == 0
