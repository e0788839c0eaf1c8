"""Executions without a graph: named steps that are recorded."""

import asyncio
from typing import Any

import pytest

from services.orchestration.engine.jobs import JobSteps
from services.orchestration.engine.ports import CallFailed, StepFailed
from services.orchestration.engine.runner import Outcome
from tests.engine.fakes import EXECUTION, TENANT, Crash, MemoryLedger, World


def job(handler: Any) -> tuple[World, MemoryLedger]:
    return World(jobs={"ingestion": handler}), MemoryLedger({"document_id": "d1"}, {"x": 1}, kind="ingestion")


async def crash_then_resume(world: World, ledger: MemoryLedger, write: int, *, after: bool = False) -> Outcome:
    ledger.crash_at, ledger.crash_after_write = write, after
    with pytest.raises(Crash):
        await world.run(ledger)
    ledger.crash_at = None
    return await world.run(ledger)


class Ingestion:
    """Three steps, which count how often they are made."""

    def __init__(self) -> None:
        self.made: list[str] = []

    async def __call__(self, steps: JobSteps) -> Any:
        text = await steps.step("extract", lambda: self._make("extract", "some text"))
        chunks = await steps.step("chunk", lambda: self._make("chunk", text.split()))  # type: ignore[union-attr]
        steps.progress("embed", 1, 2)
        await steps.step("embed", lambda: self._make("embed", None))
        return {"chunks": len(chunks), "document": steps.spec["document_id"], "x": steps.inputs["x"]}

    async def _make(self, name: str, output: Any) -> Any:
        self.made.append(name)
        return output


async def test_a_job_runs_its_steps_and_gives_its_output() -> None:
    handler = Ingestion()
    world, ledger = job(handler)
    assert await world.run(ledger) is Outcome.SUCCEEDED
    assert ledger.ended is not None
    assert ledger.ended.output == {"chunks": 2, "document": "d1", "x": 1}
    assert ledger.statuses() == {"extract": "succeeded", "chunk": "succeeded", "embed": "succeeded"}
    assert ledger.outputs()["chunk"] == ["some", "text"]
    assert {step.type for step in ledger.steps.values()} == {"job"}
    (line,) = [e for e in ledger.events if e.type == "log"]
    assert line.data == {
        "level": "info",
        "message": "embed",
        "progress": {"stage": "embed", "done": 1, "total": 2},
    }


async def test_a_job_knows_where_it_runs() -> None:
    async def handler(steps: JobSteps) -> Any:
        return [str(steps.execution_id), str(steps.tenant_id)]

    world, ledger = job(handler)
    await world.run(ledger)
    assert ledger.ended is not None
    assert ledger.ended.output == [str(EXECUTION), str(TENANT)]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("write", range(4))
async def test_a_resumed_job_repeats_no_recorded_step(write: int, after: bool) -> None:
    handler = Ingestion()
    world, ledger = job(handler)
    recorded: list[str] = []
    ledger.crash_at, ledger.crash_after_write = write, after
    with pytest.raises(Crash):
        await world.run(ledger)
    recorded = [node for node, status in ledger.statuses().items() if status == "succeeded"]
    ledger.crash_at = None
    if ledger.ended is None:
        assert await world.run(ledger) is Outcome.SUCCEEDED
    assert [name for name in recorded if handler.made.count(name) != 1] == []
    assert max(handler.made.count(name) for name in ("extract", "chunk", "embed")) <= 2


async def test_a_job_that_fails_says_why() -> None:
    async def handler(steps: JobSteps) -> Any:
        async def run() -> Any:
            raise StepFailed("the file is damaged", code="document_damaged", retryable=False, details={"page": 3})

        await steps.step("extract", run)

    world, ledger = job(handler)
    assert await world.run(ledger) is Outcome.FAILED
    assert ledger.ended is not None
    expected = {
        "code": "document_damaged",
        "message": "the file is damaged",
        "retryable": False,
        "details": {"page": 3},
    }
    assert ledger.ended.error == {**expected, "node": None}
    assert ledger.steps["extract", ""].error == {**expected, "node": "extract"}


async def test_a_failure_the_job_lives_with_is_the_same_on_replay() -> None:
    tries: list[str] = []

    async def handler(steps: JobSteps) -> Any:
        async def broken() -> Any:
            tries.append("broken")
            raise CallFailed("503", code="provider_unavailable", source="Acme", retryable=True)

        async def fine() -> Any:
            tries.append("fine")
            return 1

        told = ""
        try:
            await steps.step("broken", broken)
        except StepFailed as failure:
            told = f"{failure.code} {failure.message} {failure.details}"
        await steps.step("fine", fine)
        return told

    world, ledger = job(handler)
    assert await crash_then_resume(world, ledger, write=2) is Outcome.SUCCEEDED
    assert tries == ["broken", "fine", "fine"]
    assert ledger.ended is not None
    assert ledger.ended.output == "provider_unavailable 503 {'source': 'Acme'}"


async def test_an_unexpected_error_of_a_job(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(steps: JobSteps) -> Any:
        raise KeyError("secret detail")

    world, ledger = job(handler)
    assert await world.run(ledger) is Outcome.FAILED
    assert ledger.ended is not None
    assert (ledger.ended.error or {})["code"] == "internal_error"
    assert "secret" not in str(ledger.ended.error)
    assert "secret detail" in caplog.text


async def test_names_of_steps_are_given_once() -> None:
    async def handler(steps: JobSteps) -> Any:
        async def run() -> Any:
            return 1

        await steps.step("a", run)
        await steps.step("a", run)

    world, ledger = job(handler)
    assert await world.run(ledger) is Outcome.FAILED


@pytest.mark.parametrize("stop", ["cancel", "park"])
async def test_a_job_can_be_stopped(stop: str) -> None:
    reached = asyncio.Event()
    runs: list[int] = []

    async def handler(steps: JobSteps) -> Any:
        async def run() -> Any:
            runs.append(1)
            reached.set()
            if len(runs) == 1:
                await asyncio.sleep(60)
            return "ok"

        return await steps.step("long", run)

    world, ledger = job(handler)
    runner = world.runner(ledger)
    running = asyncio.create_task(runner.run())
    await reached.wait()
    getattr(runner, stop)()
    if stop == "cancel":
        assert await running is Outcome.CANCELLED
        assert ledger.statuses() == {"long": "cancelled"}
    else:
        assert await running is Outcome.PARKED
        assert ledger.statuses() == {"long": "running"}
        assert await world.run(ledger) is Outcome.SUCCEEDED
