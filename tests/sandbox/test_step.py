"""The node in an execution: what it is told, what it gives, and that what is on record is not run again."""

from typing import Any

import pytest

from services.orchestration.adapters.sandbox import BubblewrapSandbox
from services.orchestration.engine.ports import CodeReply, CodeRequest
from services.orchestration.engine.runner import Outcome
from shared.kit.json import JsonObject
from tests.engine.fakes import Crash, MemoryLedger, World, graph, spec_of, transform


class CountingSandbox:
    """The real one, which counts what it is asked."""

    def __init__(self, sandbox: BubblewrapSandbox) -> None:
        self._sandbox = sandbox
        self.asked: list[CodeRequest] = []

    async def run(self, request: CodeRequest) -> CodeReply:
        self.asked.append(request)
        return await self._sandbox.run(request)


@pytest.fixture
def counting(sandbox: BubblewrapSandbox) -> CountingSandbox:
    return CountingSandbox(sandbox)


def code(source: str, **config: Any) -> JsonObject:
    return {"id": "c", "type": "code", "config": {"source": source, "memory_mb": 128, **config}}


async def test_inputs_in_value_out_and_printed_text_in_the_log(counting: CountingSandbox) -> None:
    source = "def main(inputs):\n    print('squaring', inputs['n'])\n    return {'square': inputs['n'] ** 2}"
    node = code(source, inputs={"n": "nodes.seven.output + 1"}, timeout_ms=20_000)
    ledger = MemoryLedger(spec_of(graph(transform("seven", "7"), node, edges=[("seven", "c")])), {})
    await World(sandbox=counting).run(ledger)
    step = ledger.steps["c", ""]
    assert (step.input, step.output) == ({"inputs": {"n": 8}}, {"square": 64})
    assert [event.data["message"] for event in ledger.events if event.type == "log"] == ["squaring 8"]
    assert [(each.timeout, each.memory_mb) for each in counting.asked] == [(20.0, 128)]


async def test_a_failure_is_not_tried_again_and_tells_the_line(counting: CountingSandbox) -> None:
    node = {**code("def main(inputs):\n    return [][1]"), "retry": {"max": 3, "backoff_ms": 1}}
    ledger = MemoryLedger(spec_of(graph(node)), {})
    assert await World(sandbox=counting).run(ledger) is Outcome.FAILED
    error = ledger.steps["c", ""].error or {}
    assert (error["code"], error["message"]) == ("code_failed", "IndexError: list index out of range (line 2)")
    assert "line 2, in main" in error["details"]["traceback"]
    assert len(counting.asked) == 1


async def test_code_that_has_run_is_not_run_again(counting: CountingSandbox) -> None:
    """Whatever write the worker dies after: only a run that was not recorded is repeated."""
    first, then = code("def main(inputs):\n    return 1"), transform("t", "nodes.c.output + 1")
    spec = spec_of(graph(first, then, edges=[("c", "t")]))
    whole = MemoryLedger(spec, {})
    await World(sandbox=counting).run(whole)
    writes = len(whole.batches)
    assert writes > 1
    for crash_at in range(writes):
        ledger = MemoryLedger(spec, {})
        ledger.crash_at = crash_at
        counting.asked.clear()
        with pytest.raises(Crash):
            await World(sandbox=counting).run(ledger)
        recorded = any(call.kind == "code" for call in ledger.calls.values())
        before = len(counting.asked)
        ledger.crash_at = None
        await World(sandbox=counting).run(ledger)
        assert ledger.steps["t", ""].output == 2
        assert len(counting.asked) == (before if recorded else before + 1)
