"""The way to the ledger: order, grouping, durability, and what happens when it breaks."""

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest

from services.orchestration.engine import events
from services.orchestration.engine.ports import EventRecord, LedgerBatch, StepRecord, StepStatus
from services.orchestration.engine.writer import LedgerWriter
from shared.kit.clock import utcnow
from tests.engine.fakes import eventually

STEP = StepRecord(UUID(int=1), "a", "transform", "", 1, 1, StepStatus.RUNNING)


class SlowLedger:
    def __init__(self) -> None:
        self.batches: list[LedgerBatch] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def load(self) -> object:
        raise NotImplementedError

    async def write(self, batch: LedgerBatch) -> None:
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.batches.append(batch)

    def messages(self) -> list[list[str]]:
        return [[event.data["message"] for event in batch.events] for batch in self.batches]


def line(message: str) -> EventRecord:
    return events.log("info", message, {}, None)


def writer(ledger: SlowLedger) -> tuple[LedgerWriter, list[BaseException]]:
    broken: list[BaseException] = []
    return LedgerWriter(ledger, broken.append), broken  # type: ignore[arg-type]


@pytest.mark.usefixtures("lingering")
async def test_what_is_posted_together_is_written_together() -> None:
    ledger = SlowLedger()
    out, _ = writer(ledger)
    out.post(events=[line("1")])
    out.post(events=[line("2")])
    assert ledger.batches == []
    await eventually(lambda: len(ledger.batches) > 0)
    assert ledger.messages() == [["1", "2"]]


async def test_flush_does_not_linger() -> None:
    ledger = SlowLedger()
    out, _ = writer(ledger)
    out.post(events=[line("1")])
    await asyncio.wait_for(out.flush(), 10)
    assert ledger.messages() == [["1"]]
    await out.flush()
    assert len(ledger.batches) == 1, "nothing to write, nothing written"


async def test_of_a_step_only_the_latest_state_is_written() -> None:
    ledger = SlowLedger()
    out, _ = writer(ledger)
    out.post(steps=[STEP])
    out.post(steps=[replace(STEP, status=StepStatus.SUCCEEDED, finished_at=utcnow())])
    await out.flush()
    assert [step.status for step in ledger.batches[0].steps] == [StepStatus.SUCCEEDED]


async def test_one_write_at_a_time_and_the_next_takes_all_that_came() -> None:
    ledger = SlowLedger()
    ledger.gate.clear()
    out, _ = writer(ledger)
    out.post(events=[line("1")])
    first = asyncio.create_task(out.flush())
    await asyncio.sleep(0.001)
    for message in "234":
        out.post(events=[line(message)])
    second = asyncio.create_task(out.flush())
    await asyncio.sleep(0.02)
    assert not first.done()
    ledger.gate.set()
    await asyncio.gather(first, second)
    assert ledger.messages() == [["1"], ["2", "3", "4"]]


async def test_flush_waits_for_what_was_posted_and_not_for_more() -> None:
    ledger = SlowLedger()
    out, _ = writer(ledger)
    posting = True

    async def chatter() -> None:
        while posting:
            out.post(events=[line("noise")])
            await asyncio.sleep(0)

    noise = asyncio.create_task(chatter())
    out.post(events=[line("mine")])
    await asyncio.wait_for(out.flush(), 1)
    posting = False
    await noise


async def test_cancelling_who_waits_does_not_cancel_the_write() -> None:
    ledger = SlowLedger()
    ledger.gate.clear()
    out, broken = writer(ledger)
    out.post(events=[line("1")])
    waiting = asyncio.create_task(out.flush())
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait((waiting,))
    ledger.gate.set()
    await eventually(lambda: ledger.messages() == [["1"]])
    assert broken == []


@pytest.mark.usefixtures("lingering")
async def test_a_failed_write_breaks_it_for_good() -> None:
    ledger = SlowLedger()
    ledger.error = OSError("no route")
    out, broken = writer(ledger)
    out.post(events=[line("1")])
    with pytest.raises(OSError, match="no route"):
        await out.flush()
    assert broken == [ledger.error]
    ledger.error = None
    out.post(events=[line("2")])
    with pytest.raises(OSError, match="no route"):
        await out.flush()
    await asyncio.sleep(0.02)
    assert ledger.batches == []


@pytest.mark.usefixtures("lingering")
async def test_closed_it_writes_nothing_more() -> None:
    ledger = SlowLedger()
    out, _ = writer(ledger)
    out.post(events=[line("lost")])
    await out.close(1)
    out.post(events=[line("late")])
    await asyncio.sleep(0.02)
    assert ledger.batches == []
