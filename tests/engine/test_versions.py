"""What an older engine recorded is carried on by this one, without a call made twice and without divergence."""

import dataclasses
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from services.orchestration.engine.ports import (
    CallKind,
    CallRecord,
    CallStatus,
    ChatMessage,
    CrewPlan,
    Effect,
    KnowledgeRequest,
    ModelRequest,
    StepCalls,
    StepRecord,
    StepStatus,
    ToolSpec,
)
from services.orchestration.engine.runner import Outcome
from shared.workflow.version import ENGINE_VERSION
from tests.engine.fakes import AGENT, BASE, MODEL, FakeTools, MemoryLedger, World, ask, scripted, spec_of

# The ledger of an execution whose worker died before its last write, by version of the engine that wrote it.
RECORDED = {version: Path(__file__).with_name(f"version_{version}.json") for version in (1, 2)}
_PARSED: dict[str, Any] = {
    "id": UUID,
    "step_id": UUID,
    "model_id": UUID,
    "agent_id": UUID,
    "started_at": datetime.fromisoformat,
    "finished_at": datetime.fromisoformat,
    "cost": Decimal,
    "kind": CallKind,
    "effect": Effect,
}


async def crew(plan: CrewPlan, calls: StepCalls) -> str:
    """Calls of every kind that there was in version 1; not to be changed."""
    with calls.scope("task0"):
        request = ModelRequest(
            MODEL,
            (ChatMessage("system", "be good"), ChatMessage("user", plan.tasks[0].description)),
            tools=(ToolSpec("search", "Searches", {"type": "object"}, Effect.READ),),
            temperature=0.5,
            max_tokens=100,
            stop=("END",),
        )
        first = await calls.model(request, agent_id=AGENT)
        with calls.scope("tool0"):
            found = await calls.tool("search", {"q": first.text}, agent_id=AGENT, knowledge_base_ids=[BASE])
    found_there = await calls.knowledge(KnowledgeRequest((BASE,), "bees", 3, "vector"))
    paid = await calls.tool("pay", {"to": "Bob"})
    last = await calls.model(ask(f"{found} {len(found_there.passages)} {paid}"))
    return last.text


def world() -> World:
    return scripted(crew, tools=FakeTools(effects={"pay": Effect.ONCE}))


def read(stored: dict[str, Any], status: Any) -> dict[str, Any]:
    parsed = {name: _PARSED[name](value) if name in _PARSED and value else value for name, value in stored.items()}
    return {**parsed, "status": status(stored["status"])}


def recorded(version: int) -> tuple[MemoryLedger, dict[str, Any]]:
    stored = json.loads(RECORDED[version].read_text())
    ledger = MemoryLedger(spec_of(stored["graph"]))
    for each in stored["steps"]:
        step = StepRecord(**read(each, StepStatus))
        ledger.steps[step.node, step.path] = step
    for each in stored["calls"]:
        call = CallRecord(**read(each, CallStatus))
        ledger.calls[call.step_id, call.key] = call
    return ledger, stored


def test_there_is_a_record_of_every_older_version() -> None:
    assert RECORDED.keys() == set(range(1, ENGINE_VERSION))


@pytest.mark.parametrize("version", RECORDED)
async def test_an_older_execution_is_carried_on(version: int) -> None:
    ledger, stored = recorded(version)
    outside = world()
    assert await outside.run(ledger) is Outcome.SUCCEEDED
    assert ledger.ended is not None
    # What ran in this engine says what it cites, too.
    assert ledger.ended.output == {"b": {**stored["output"]["b"], "citations": []}}
    assert len(outside.models.made) == 1, "the one call that was not recorded"
    assert outside.tools.made == []
    assert outside.knowledge.made == []


@pytest.mark.parametrize("version", RECORDED)
async def test_what_is_written_today_is_what_was_written_then(version: int) -> None:
    """Keys, hashes, requests and answers: an older engine could read them, too."""
    then, stored = recorded(version)
    now = MemoryLedger(spec_of(stored["graph"]))
    await world().run(now)
    nodes = {step.id: step.node for step in (*then.steps.values(), *now.steps.values())}

    def written(call: CallRecord) -> dict[str, Any]:
        left_out = ("id", "step_id", "started_at", "finished_at")
        fields = {f.name: getattr(call, f.name) for f in dataclasses.fields(call) if f.name not in left_out}
        return {**fields, "node": nodes[call.step_id]}

    today = {(nodes[call.step_id], call.key): written(call) for call in now.calls.values()}
    for call in then.calls.values():
        assert today[nodes[call.step_id], call.key] == written(call)
