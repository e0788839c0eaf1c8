"""Large values stand once, where they belong; the stream shows that they are there."""

from dataclasses import replace
from typing import Any

import pytest

from services.execution_monitoring.repository import list_executions
from services.execution_monitoring.schemas import ExecutionFilter, ExecutionSort
from services.orchestration.adapters.ledger.cutting import MOST_BYTES, cut
from services.orchestration.engine import events
from services.orchestration.engine.ports import ExecutionStatus, LedgerBatch, StepStatus, Transition
from shared.database.session import Scope
from shared.kit.clock import utcnow
from tests.executions.lab import call, open_lab, step
from tests.executions.support import LedgerView, queue
from tests.retention.conftest import History
from tests.support.platform import Account, Platform

LARGE = {"text": "word " * 40_000}


async def test_a_large_output_is_whole_in_its_step_and_cut_in_the_stream(
    platform: Platform, ada: Account, view: LedgerView, history: History
) -> None:
    execution = await queue(platform, ada)
    async with open_lab(platform) as lab:
        worker = await lab.worker()
        claim = next(each for each in await worker.take() if each.id == execution.id)
        ledger = worker.ledger(claim)
        began = step()
        ended = replace(began, status=StepStatus.SUCCEEDED, output=LARGE, finished_at=utcnow())
        succeeded = ExecutionStatus.SUCCEEDED
        lines = [events.step_finished(ended), events.done(succeeded, LARGE, None, utcnow())]
        answered = call(ended, response=LARGE)
        await ledger.write(LedgerBatch([ended], [answered], lines, Transition(succeeded, LARGE)))

        stored = [row for row in await view.events(execution.id) if row["type"] in ("step.finished", "done")]
        assert len(stored) == 2
        shown = [line for id_, listed in worker.published if id_ == execution.id for line in listed]
        assert [line["data"] for line in shown] == [row["data"] for row in stored]
    for row in stored:
        output: Any = row["data"]["output"]
        assert row["data"]["truncated"] == ["output"]
        assert row["data"]["status"] == "succeeded"
        assert (output["truncated"], output["bytes"]) == (True, 200_011)
        assert output["preview"].startswith('{"text":"word word')
        assert len(output["preview"]) == 2000

    detail = await history.detail(execution.id)
    assert detail["output"] == LARGE
    assert [each["output"] for each in detail["steps"]] == [LARGE]
    (journal,) = await view.calls(execution.id)
    assert journal["response"] == LARGE


@pytest.mark.parametrize(
    "data",
    [
        {"output": "x" * 1000, "error": None},
        {"output": {"truncated": True, "bytes": 5, "preview": "a user's own"}},
        {"error": {"code": "c", "message": "m" * 2 * MOST_BYTES}},
        {"text": "x" * 2 * MOST_BYTES, "call": "1"},
    ],
)
def test_what_is_small_or_stands_nowhere_else_is_left_as_it_is(data: dict[str, Any]) -> None:
    assert cut(data) is data


def test_a_preview_ends_at_a_character() -> None:
    shown = cut({"result": "é" * MOST_BYTES})
    assert shown["truncated"] == ["result"]
    assert shown["result"]["preview"].strip('"é') == ""


async def test_lists_read_nothing_that_may_be_large(platform: Platform, ada: Account) -> None:
    await queue(platform, ada)
    async with platform.resources.database.read(Scope(ada.tenant_id)) as session:
        (row,) = await list_executions(session, ExecutionFilter(), limit=5, sort=ExecutionSort.NEWEST, after=None)
        for column in ("spec", "inputs", "output"):
            with pytest.raises(Exception, match="raiseload"):
                getattr(row, column)
