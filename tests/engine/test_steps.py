"""Each node type: what it is told, what it asks for, what it gives."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from services.orchestration.engine.ports import AgentPlan, CrewPlan, Passage, TaskPlan
from services.orchestration.engine.runner import Outcome
from services.orchestration.engine.steps.registry import STEPS
from shared.kit.json import JsonObject
from shared.workflow.configs import NODE_CONFIGS
from tests.engine.fakes import (
    AGENT,
    BASE,
    EXECUTION,
    MODEL,
    OTHER_AGENT,
    MemoryLedger,
    OneCallPerTask,
    World,
    agent,
    condition,
    graph,
    output,
    spec_of,
    task,
    transform,
)


async def run(node: JsonObject, inputs: JsonObject | None = None, world: World | None = None) -> MemoryLedger:
    ledger = MemoryLedger(spec_of(graph(node)), inputs)
    await (world or World()).run(ledger)
    return ledger


async def given(node: JsonObject, inputs: JsonObject | None = None, world: World | None = None) -> Any:
    """The output of the node."""
    ledger = await run(node, inputs, world)
    assert ledger.statuses() == {node["id"]: "succeeded"}, ledger.ended
    return ledger.steps[node["id"], ""].output


def test_every_type_that_validates_can_run() -> None:
    assert STEPS.keys() == NODE_CONFIGS.keys()


async def test_condition() -> None:
    node = condition("c", big="inputs.n > 5", middle="inputs.n > 1")
    assert [await given(node, {"n": n}) for n in (9, 3, 0)] == [{"case": "big"}, {"case": "middle"}, {"case": "else"}]


async def test_condition_cases_share_their_bounds() -> None:
    """No case alone is too much, all of them together are."""
    node = condition("c", **{f"c{n}": "inputs.l.exists(a, inputs.l.exists(b, a + b < 0))" for n in range(30)})
    ledger = await run(node, {"l": list(range(100))})
    assert "too much work" in (ledger.steps["c", ""].error or {})["message"]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"expression": "{'a': inputs.n + 1}"}, {"a": 3}),
        ({"expression": "inputs.n"}, 2),
        ({"expression": "null"}, None),
        ({"template": "n is {{ inputs.n }}"}, "n is 2"),
        ({"template": ""}, ""),
    ],
)
async def test_transform(config: JsonObject, expected: Any) -> None:
    assert await given({"id": "t", "type": "transform", "config": config}, {"n": 2}) == expected


async def test_output() -> None:
    assert await given(output("o", n="inputs.n", both="[inputs.n, 1]"), {"n": 2}) == {"n": 2, "both": [2, 1]}


async def test_execution_is_in_scope() -> None:
    node = transform("t", "[execution.id, execution.created_at]")
    assert await given(node) == [str(EXECUTION), "2026-01-01T00:00:00+00:00"]


# --- knowledge ----------------------------------------------------------------------------------------------------

PASSAGE = Passage(BASE, UUID(int=5), "bees.pdf", UUID(int=6), "Bees dance.", 0.9, 3, 0, 11)


def search(query: str = "{{ inputs.q }}", **config: Any) -> JsonObject:
    return {
        "id": "s",
        "type": "knowledge_search",
        "config": {"knowledge_base_ids": [str(BASE)], "query": query, **config},
    }


async def test_knowledge_search() -> None:
    world = World()
    world.knowledge.passages = [PASSAGE, replace(PASSAGE, text="And sing.", page=None, document_name="notes.md")]
    ledger = await run(search(), {"q": " bees \n"}, world)
    found: Any = ledger.steps["s", ""].output
    assert world.knowledge.made == ["bees"]
    assert ledger.steps["s", ""].input == {"query": "bees"}
    assert found["text"] == "[1] bees.pdf, page 3\nBees dance.\n\n[2] notes.md\nAnd sing."
    assert found["passages"][0] == {
        "knowledge_base_id": str(BASE),
        "document_id": str(UUID(int=5)),
        "document_name": "bees.pdf",
        "chunk_id": str(UUID(int=6)),
        "text": "Bees dance.",
        "score": 0.9,
        "page": 3,
        "start": 0,
        "end": 11,
        "headings": [],
        "part": None,
        "page_end": None,
        "original_url": f"/api/v1/documents/{UUID(int=5)}/original#page=3",
    }


async def test_knowledge_search_asks_for_so_many() -> None:
    world = World()
    world.knowledge.passages = [PASSAGE] * 9
    assert len((await given(search("q", top_k=2), world=world))["passages"]) == 2
    assert len((await given(search("q"), world=world))["passages"]) == 5


async def test_knowledge_search_that_finds_nothing() -> None:
    assert await given(search("q")) == {"passages": [], "text": ""}


async def test_knowledge_search_without_a_query() -> None:
    world = World()
    ledger = await run(search(), {"q": "  "}, world)
    assert (ledger.steps["s", ""].error or {})["code"] == "query_empty"
    assert world.knowledge.made == []


# --- agents -------------------------------------------------------------------------------------------------------


def plans(world: World) -> list[CrewPlan]:
    runtime = world.agents
    assert isinstance(runtime, OneCallPerTask)
    return runtime.plans


async def test_agent_task_is_a_crew_of_one() -> None:
    world = World()
    schema = {"type": "object"}
    node = task("t", "About {{ inputs.topic }}", name="Research")
    node["config"] |= {"expected_output": "{{ 1 + 1 }} lines", "output_schema": schema, "markdown": True}
    assert await given(node, {"topic": "bees"}, world) == {"text": "re: About bees", "data": None, "citations": []}
    assert plans(world) == [
        CrewPlan(
            agents=(AgentPlan(AGENT, "Ada", "Ada's role", "answer", "", MODEL, max_iterations=5),),
            tasks=(TaskPlan("Research", "About bees", "2 lines", 0, output_schema=schema, markdown=True),),
        )
    ]


async def test_an_agent_comes_whole_out_of_the_snapshot() -> None:
    stored = {
        **agent(),
        "system_prompt": "be brief",
        "tools": ["search"],
        "knowledge_base_ids": [str(BASE)],
        "temperature": 0.0,
        "max_tokens": 9,
        "allow_delegation": True,
    }
    world = World()
    spec = {**spec_of(graph(task("t"))), "agents": {str(AGENT): stored}}
    assert await world.run(MemoryLedger(spec)) is Outcome.SUCCEEDED
    assert plans(world)[0].agents == (
        AgentPlan(
            AGENT, "Ada", "Ada's role", "answer", "", MODEL, "be brief", ("search",), (BASE,), 5, 0.0, 9, True
        ),
    )  # fmt: skip


def crew(**config: Any) -> JsonObject:
    tasks = [
        {
            "name": "find",
            "description": "find {{ inputs.x }}",
            "expected_output": "notes",
            "agent_id": str(OTHER_AGENT),
        },
        {"name": "check", "description": "check", "expected_output": "a list", "agent_id": str(AGENT), "context": []},
        {
            "name": "write",
            "description": "write",
            "expected_output": "text",
            "agent_id": str(AGENT),
            "context": ["check", "find"],
            "markdown": True,
            "output_schema": {"type": "object"},
        },
    ]
    return {
        "id": "k",
        "type": "crew",
        "config": {"agent_ids": [str(AGENT), str(OTHER_AGENT)], "tasks": tasks, **config},
    }


async def test_crew() -> None:
    world = World()
    ledger = await run(crew(), {"x": "bees"}, world)
    (plan,) = plans(world)
    assert [each.name for each in plan.agents] == ["Ada", "Bob"]
    assert plan.tasks == (
        TaskPlan("find", "find bees", "notes", 1),
        TaskPlan("check", "check", "a list", 0, context=()),
        TaskPlan("write", "write", "text", 0, context=(1, 0), output_schema={"type": "object"}, markdown=True),
    )
    assert (plan.process, plan.manager, plan.manager_model_id) == ("sequential", None, None)
    assert ledger.steps["k", ""].output == {
        "text": "re: write",
        "data": None,
        "citations": [],
        "tasks": [
            {"name": "find", "agent": "Bob", "text": "re: find bees", "data": None},
            {"name": "check", "agent": "Ada", "text": "re: check", "data": None},
            {"name": "write", "agent": "Ada", "text": "re: write", "data": None},
        ],
    }
    told: Any = ledger.steps["k", ""].input
    assert told["tasks"][0] == {"name": "find", "description": "find bees", "expected_output": "notes"}
    assert [key for _, key in ledger.calls] == ["1/find/llm/0", "1/check/llm/0", "1/write/llm/0"]


async def test_crew_with_a_manager() -> None:
    world = World()
    tasks = [{"name": "t", "description": "d", "expected_output": "e"}]
    hierarchical = {"process": "hierarchical", "agent_ids": [str(AGENT)], "tasks": tasks}
    await run(crew(**hierarchical, manager_agent_id=str(OTHER_AGENT)), world=world)
    await run(crew(**hierarchical, manager_model_id=str(MODEL)), world=world)
    by_agent, by_model = plans(world)
    assert by_agent.process == "hierarchical"
    assert by_agent.manager is not None
    assert by_agent.manager.id == OTHER_AGENT
    assert by_agent.tasks[0].agent is None
    assert (by_model.manager, by_model.manager_model_id) == (None, MODEL)
