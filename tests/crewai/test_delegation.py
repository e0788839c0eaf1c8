"""Hierarchical crews, and agents that may delegate."""

from uuid import UUID

import pytest

from services.orchestration.engine.ports import CallFailed, CrewPlan, ModelReply, ModelRequest
from services.orchestration.runtimes.crewai import CrewAIRuntime
from tests.crewai.calls import MODEL_ID, MemoryCalls, calls_for, says, script
from tests.crewai.plans import agent, task

DELEGATE, ASK = "delegate_work_to_coworker", "ask_question_to_coworker"
MANAGER_MODEL = UUID("01890000-0000-7000-8000-000000000002")

runtime = CrewAIRuntime()


def delegate(to: str, work: str = "the sums") -> tuple[str, dict[str, str]]:
    return DELEGATE, {"task": work, "context": "none", "coworker": to}


def by_role(**answers: ModelReply | list[ModelReply]):
    """Answers by whoever is asked; roles are `Senior <name>`."""
    rest = {name: list(given) if isinstance(given, list) else [given] for name, given in answers.items()}

    def model(request: ModelRequest) -> ModelReply:
        system = request.messages[0].content
        name = next(name for name in rest if f"Senior {name}." in system or (name == "Crew" and "Manager" in system))
        return rest[name].pop(0)

    return model


def tools_of(request: ModelRequest) -> list[str]:
    return [tool.name for tool in request.tools]


async def test_an_agent_delegates_to_a_coworker() -> None:
    calls = MemoryCalls(by_role(boss=[calls_for(delegate("Senior clerk")), says("all done")], clerk=says("42")))
    plan = CrewPlan(agents=(agent("boss", allow_delegation=True), agent("clerk")), tasks=(task("report"),))

    result = await runtime.run_crew(plan, calls)

    assert result.text == "all done"
    boss, clerk, boss_again = (made.request for made in calls.requests)
    assert tools_of(boss) == [DELEGATE, ASK]
    assert boss.tools[0].parameters["properties"]["coworker"]["enum"] == ["Senior clerk"]
    assert tools_of(clerk) == []
    assert "the sums" in clerk.messages[1].content
    assert boss_again.messages[-1].content == "42"
    assert calls.requests[1].agent_id == plan.agents[1].id
    assert calls.journal.made == ["/task0/llm/0", "/task0/tool0/llm/0", "/task0/llm/1"]


async def test_delegations_of_one_turn_run_side_by_side_even_to_the_same_coworker(together) -> None:
    async def model(request: ModelRequest) -> ModelReply:
        if "Senior clerk." in request.messages[0].content:
            return says(await clerk(text=request.messages[1].content))
        return (
            says("done")
            if len(request.messages) > 2
            else calls_for(delegate("Senior clerk", "apples"), delegate("Senior clerk", "pears"))
        )

    clerk = together(2, lambda text: "first" if "apples" in text else "second")
    calls = MemoryCalls(model)
    plan = CrewPlan(agents=(agent("boss", allow_delegation=True), agent("clerk")), tasks=(task("report"),))

    await runtime.run_crew(plan, calls)

    assert [m.content for m in calls.requests[-1].messages if m.role == "tool"] == ["first", "second"]
    assert sorted(calls.journal.made[1:3]) == ["/task0/tool0/llm/0", "/task0/tool1/llm/0"]


async def test_the_coworker_uses_its_own_tools_and_cannot_delegate_further() -> None:
    clerk = agent("clerk", tools=("add",), allow_delegation=True)
    model = by_role(boss=[calls_for(delegate("Senior clerk")), says("done")], clerk=[calls_for(("add", {})), says("3")])
    calls = MemoryCalls(model, {"add": lambda: "3"})
    plan = CrewPlan(agents=(agent("boss", allow_delegation=True), clerk), tasks=(task("report"),))

    await runtime.run_crew(plan, calls)

    assert tools_of(calls.requests[1].request) == ["add"]
    assert calls.tool_requests[0][2] == clerk.id
    assert "/task0/tool0/tool0/tool/0" in calls.journal.made


@pytest.mark.parametrize("written", ["senior  CLERK", '"Senior clerk"', "[Senior clerk, Senior boss]"])
async def test_a_role_is_found_however_it_is_written(written: str) -> None:
    calls = MemoryCalls(by_role(boss=[calls_for(delegate(written)), says("done")], clerk=says("42")))
    plan = CrewPlan(agents=(agent("boss", allow_delegation=True), agent("clerk")), tasks=(task("report"),))

    await runtime.run_crew(plan, calls)

    assert calls.requests[-1].messages[-1].content == "42"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"task": "x", "context": "y", "coworker": "Nobody"}, "- senior clerk"),
        ({"task": "x", "coworker": 3}, "these arguments are needed as text: context, coworker"),
        ({}, "task, context, coworker"),
    ],
)
async def test_a_delegation_that_cannot_be_made_is_told_to_the_model(arguments: dict, told: str) -> None:
    calls = MemoryCalls(by_role(boss=[calls_for((DELEGATE, arguments)), says("done")]))
    plan = CrewPlan(agents=(agent("boss", allow_delegation=True), agent("clerk")), tasks=(task("report"),))

    await runtime.run_crew(plan, calls)

    assert told in calls.requests[-1].messages[-1].content


async def test_a_failing_coworker_fails_the_step() -> None:
    def model(request: ModelRequest) -> ModelReply:
        if "Senior clerk." in request.messages[0].content:
            raise CallFailed("too busy", code="rate_limited", source="provider", retryable=True)
        return calls_for(delegate("Senior clerk"))

    plan = CrewPlan(agents=(agent("boss", allow_delegation=True), agent("clerk")), tasks=(task("report"),))

    with pytest.raises(CallFailed, match="too busy"):
        await runtime.run_crew(plan, MemoryCalls(model))


async def test_alone_in_a_crew_nobody_can_be_delegated_to() -> None:
    calls = MemoryCalls(script(says("done")))

    await runtime.run_crew(CrewPlan(agents=(agent("boss", allow_delegation=True),), tasks=(task("x"),)), calls)

    assert tools_of(calls.requests[0].request) == []


# --- hierarchical ----------------------------------------------------------------------------------------------


async def test_a_manager_hands_out_the_tasks() -> None:
    model = by_role(
        head=[calls_for(delegate("Senior clerk")), says("first"), calls_for(delegate("Senior writer")), says("second")],
        clerk=says("42"),
        writer=says("prose"),
    )
    calls = MemoryCalls(model)
    plan = CrewPlan(
        agents=(agent("clerk"), agent("writer")),
        tasks=(task("sums", agent=0), task("story", agent=None)),
        process="hierarchical",
        manager=agent("head"),
    )

    result = await runtime.run_crew(plan, calls)

    assert [(t.agent, t.text) for t in result.tasks] == [("head", "first"), ("head", "second")]
    coworkers = [
        made.request.tools[0].parameters["properties"]["coworker"]["enum"]
        for made in calls.requests
        if tools_of(made.request)
    ]
    assert coworkers == [["Senior clerk"]] * 2 + [["Senior clerk", "Senior writer"]] * 2


async def test_the_stock_manager_runs_on_the_model_given() -> None:
    calls = MemoryCalls(by_role(Crew=[calls_for(delegate("Senior clerk")), says("managed")], clerk=says("42")))
    plan = CrewPlan(
        agents=(agent("clerk"),), tasks=(task("sums"),), process="hierarchical", manager_model_id=MANAGER_MODEL
    )

    result = await runtime.run_crew(plan, calls)

    assert (result.tasks[0].agent, result.text) == ("Crew Manager", "managed")
    assert [(made.request.model_id, made.agent_id) for made in calls.requests] == [
        (MANAGER_MODEL, None),
        (MODEL_ID, plan.agents[0].id),
        (MANAGER_MODEL, None),
    ]


async def test_a_manager_has_no_tools_of_its_own() -> None:
    calls = MemoryCalls(by_role(head=says("done")))
    plan = CrewPlan(
        agents=(agent("clerk"),),
        tasks=(task("sums", agent=None),),
        process="hierarchical",
        manager=agent("head", tools=("add",)),
    )

    await runtime.run_crew(plan, calls)

    assert tools_of(calls.requests[0].request) == [DELEGATE, ASK]
    assert "only delegates" in calls.logs[0]
