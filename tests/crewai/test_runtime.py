import asyncio
from uuid import uuid4

import pytest

from services.orchestration.engine.ports import CallFailed, CrewPlan, Effect, ModelReply, ModelRequest, StepFailed
from services.orchestration.runtimes.crewai import CrewAIRuntime
from tests.crewai.calls import MODEL_ID, MemoryCalls, calls_for, says, script
from tests.crewai.plans import agent, one_task, task

SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "integer"}},
    "required": ["score"],
    "additionalProperties": False,
}

runtime = CrewAIRuntime()


# --- tasks and their context ---------------------------------------------------------------------------------


async def test_tasks_run_in_order_and_see_all_results_before_them() -> None:
    calls = MemoryCalls(script(says("one"), says("two"), says("three")))
    plan = CrewPlan(agents=(agent("researcher"), agent("writer")), tasks=(task("a", 0), task("b", 1), task("c", 0)))

    result = await runtime.run_crew(plan, calls)

    assert [(t.name, t.agent, t.text) for t in result.tasks] == [
        ("a", "researcher", "one"),
        ("b", "writer", "two"),
        ("c", "researcher", "three"),
    ]
    assert (result.text, result.data) == ("three", None)
    third = calls.requests[2].task
    assert "one" in third
    assert "two" in third
    assert [made.agent_id for made in calls.requests] == [plan.agents[0].id, plan.agents[1].id, plan.agents[0].id]


async def test_a_task_sees_only_the_context_it_names() -> None:
    calls = MemoryCalls(script(says("apple"), says("pear"), says("plum"), says("end")))
    plan = CrewPlan(
        agents=(agent("writer"),),
        tasks=(task("a"), task("b", context=()), task("c", context=(0,)), task("d", context=(1, 2))),
    )

    await runtime.run_crew(plan, calls)

    second, third, fourth = (made.task for made in calls.requests[1:])
    assert "apple" not in second
    assert "apple" in third
    assert "pear" not in third
    assert "apple" not in fourth
    assert fourth.index("pear") < fourth.index("plum")


async def test_a_task_may_ask_for_markdown() -> None:
    calls = MemoryCalls(script(says("plain"), says("# fancy")))
    plan = CrewPlan(agents=(agent("writer"),), tasks=(task("a"), task("b", markdown=True)))

    await runtime.run_crew(plan, calls)

    assert "Markdown" not in calls.requests[0].task
    assert "MUST be formatted in Markdown" in calls.requests[1].task


async def test_braces_in_texts_are_texts() -> None:
    worker = agent("writer", role="a {goal} role", goal="{input}", backstory="{tools} {role}")
    calls = MemoryCalls(script(says("{input} {x}"), says("done")))
    plan = CrewPlan(agents=(worker,), tasks=(task("{topic} {input} {tools}"), task("next")))

    await runtime.run_crew(plan, calls)

    system, first = calls.requests[0].messages
    assert system.content.startswith("You are a {goal} role. {tools} {role}\nYour personal goal is: {input}")
    assert "Do {topic} {input} {tools}" in first.content
    assert "{input} {x}" in calls.requests[1].task


# --- what an agent's settings do -------------------------------------------------------------------------------


async def test_settings_of_an_agent_go_with_each_request() -> None:
    worker = agent("writer", temperature=0.3, max_tokens=77)
    calls = MemoryCalls(script(says("ok")))

    await runtime.run_crew(one_task(worker), calls)

    request = calls.requests[0].request
    assert (request.model_id, request.temperature, request.max_tokens) == (MODEL_ID, 0.3, 77)
    assert (request.tools, request.response_schema, request.stop) == ((), None, ())


async def test_a_system_prompt_takes_the_place_of_the_stock_one() -> None:
    worker = agent("writer", system_prompt="Answer as {role}, who wants: {goal}. {unknown}")
    calls = MemoryCalls(script(says("ok")))

    await runtime.run_crew(one_task(worker), calls)

    assert calls.requests[0].messages[0].content == ("Answer as Senior writer, who wants: Be a good writer. {unknown}")


async def test_an_agent_with_knowledge_bases_can_search_them() -> None:
    bases = (uuid4(), uuid4())
    worker = agent("writer", tools=("calculator",), knowledge_base_ids=bases)
    model = script(calls_for(("knowledge_search", {"query": "x"})), says("found"))
    calls = MemoryCalls(model, {"knowledge_search": lambda query: f"about {query}"})

    await runtime.run_crew(one_task(worker), calls)

    assert [tool.name for tool in calls.requests[0].request.tools] == ["calculator", "knowledge_search"]
    assert calls.tool_requests == [("knowledge_search", {"query": "x"}, worker.id, bases)]


# --- tools -----------------------------------------------------------------------------------------------------


async def test_a_person_is_asked_before_tools_that_need_it_for_this_agent_or_for_all() -> None:
    worker = agent("writer", tools=("look", "send", "pay"), approve_tools=("send",))
    model = script(calls_for(("look", {})), calls_for(("send", {})), calls_for(("pay", {})), says("done"))
    tools = {name: lambda: "ok" for name in worker.tools}
    calls = MemoryCalls(model, tools, needing_approval=("pay",))

    await runtime.run_crew(one_task(worker), calls)

    assert calls.approvals == {"look": False, "send": True, "pay": True}


async def test_tool_results_go_back_to_the_model() -> None:
    model = script(calls_for(("add", {"a": 1, "b": 2})), calls_for(("add", {"a": 3, "b": 4})), says("10"))
    calls = MemoryCalls(model, {"add": lambda a, b: str(a + b)})

    result = await runtime.run_crew(one_task(agent("writer", tools=("add",))), calls)

    assert result.text == "10"
    roles = [message.role for message in calls.requests[2].messages]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "tool"]
    assert [m.content for m in calls.requests[2].messages if m.role == "tool"] == ["3", "7"]


async def test_calls_of_one_turn_that_only_read_run_side_by_side_and_keep_their_order(together) -> None:
    model = script(calls_for(("look", {"n": 1}), ("look", {"n": 2}), ("look", {"n": 3})), says("seen"))
    calls = MemoryCalls(model, {"look": together(3, lambda n: str(n))})

    await runtime.run_crew(one_task(agent("writer", tools=("look",))), calls)

    results = [(m.tool_call_id, m.content) for m in calls.requests[1].messages if m.role == "tool"]
    assert results == [("call_0", "1"), ("call_1", "2"), ("call_2", "3")]
    assert [f"/task0/tool{n}/tool/0" for n in range(3)] == sorted(calls.journal.made[1:4])


async def test_calls_that_change_the_world_run_one_after_the_other() -> None:
    running = 0

    async def send(to: str) -> str:
        nonlocal running
        running += 1
        await asyncio.sleep(0)
        assert running == 1
        running -= 1
        return f"sent to {to}"

    model = script(calls_for(("send", {"to": "a"}), ("send", {"to": "b"})), says("sent"))
    calls = MemoryCalls(model, {"send": send}, effects={"send": Effect.IDEMPOTENT})

    await runtime.run_crew(one_task(agent("writer", tools=("send",))), calls)

    assert [arguments for _, arguments, *_ in calls.tool_requests] == [{"to": "a"}, {"to": "b"}]


async def test_a_tool_the_agent_does_not_have_is_refused_in_words() -> None:
    model = script(calls_for(("shell", {"command": "rm -rf /"})), says("sorry"))
    calls = MemoryCalls(model, {"shell": lambda command: "gone"})

    result = await runtime.run_crew(one_task(agent("writer", tools=("add",))), calls)

    assert result.text == "sorry"
    assert calls.tool_requests == []
    assert "doesn't exist" in calls.requests[1].messages[-1].content


async def test_a_failing_tool_fails_the_step() -> None:
    def broken(query: str) -> str:
        raise CallFailed("no vectors", code="unavailable", source="chroma", retryable=True)

    calls = MemoryCalls(script(calls_for(("find", {"query": "x"}))), {"find": broken})

    with pytest.raises(CallFailed, match="no vectors"):
        await runtime.run_crew(one_task(agent("writer", tools=("find",))), calls)


async def test_a_huge_tool_result_is_cut_and_says_so() -> None:
    model = script(calls_for(("read", {})), says("read"))
    calls = MemoryCalls(model, {"read": lambda: "x" * 100_000}, context_window=4_000)

    await runtime.run_crew(one_task(agent("writer", tools=("read",))), calls)

    content = calls.requests[1].messages[-1].content
    assert len(content) < 4_000
    assert content.endswith("of 100000 characters.]")


# --- bounds ----------------------------------------------------------------------------------------------------


async def test_out_of_iterations_the_answer_is_asked_for_without_tools() -> None:
    counter = iter(range(100))

    def model(request: ModelRequest) -> ModelReply:
        return calls_for(("look", {"n": next(counter)})) if request.tools else says("that will do")

    calls = MemoryCalls(model, {"look": lambda n: str(n)})

    result = await runtime.run_crew(one_task(agent("writer", tools=("look",), max_iterations=3)), calls)

    assert result.text == "that will do"
    assert len(calls.requests) == 4
    assert calls.requests[-1].messages[-1].content.startswith("Now it's time you MUST give")
    assert "3 iterations" in calls.logs[0]


async def test_a_model_that_goes_in_circles_is_stopped() -> None:
    def model(request: ModelRequest) -> ModelReply:
        return calls_for(("look", {"n": 1})) if request.tools else says("nothing new")

    calls = MemoryCalls(model, {"look": lambda n: "same"})

    result = await runtime.run_crew(one_task(agent("writer", tools=("look",), max_iterations=50)), calls)

    assert result.text == "nothing new"
    assert len(calls.tool_requests) == 5


async def test_a_conversation_that_outgrows_the_window_is_summarised() -> None:
    def model(request: ModelRequest) -> ModelReply:
        if "structured summaries" in request.messages[0].content:
            return says("<summary>all was dull</summary>")
        if any("all was dull" in message.content for message in request.messages):
            return says("dull indeed")
        return calls_for(("read", {"page": len(request.messages)}))

    calls = MemoryCalls(model, {"read": lambda page: f"{page}" + "x" * 3_000}, context_window=2_000)

    result = await runtime.run_crew(one_task(agent("writer", tools=("read",))), calls)

    assert result.text == "dull indeed"
    assert [message.role for message in calls.requests[-1].messages] == ["system", "user", "user"]
    assert "Do work" in calls.requests[-1].task


@pytest.mark.parametrize("text", ["", "  \n"])
async def test_an_empty_answer_is_a_failure(text: str) -> None:
    with pytest.raises(StepFailed, match="writer: the model gave an empty answer") as failed:
        await runtime.run_crew(one_task(), MemoryCalls(script(says(text))))
    assert failed.value.code == "answer_empty"


# --- structured answers ----------------------------------------------------------------------------------------


async def test_a_schema_is_asked_of_the_model_and_its_data_is_the_result() -> None:
    calls = MemoryCalls(script(ModelReply(text='{"score": 7}', data={"score": 7}), says("seven")))
    plan = CrewPlan(agents=(agent("judge"),), tasks=(task("a", output_schema=SCHEMA), task("b")))

    result = await runtime.run_crew(plan, calls)

    assert (result.tasks[0].text, result.tasks[0].data) == ('{"score":7}', {"score": 7})
    assert result.data is None
    assert calls.requests[0].request.response_schema == SCHEMA
    assert '"score"' in calls.requests[0].task
    assert '{"score":7}' in calls.requests[1].task


async def test_an_agent_with_tools_that_answers_in_json_is_not_asked_again() -> None:
    model = script(calls_for(("look", {})), says('```json\n{"score": 3}\n```'))
    calls = MemoryCalls(model, {"look": lambda: "3"})

    result = await runtime.run_crew(one_task(agent("judge", tools=("look",)), output_schema=SCHEMA), calls)

    assert result.data == {"score": 3}
    assert [made.request.response_schema for made in calls.requests] == [None, None]


async def test_an_agent_with_tools_that_answers_in_prose_is_asked_once_more() -> None:
    model = script(says("It is a three."), ModelReply(text='{"score":3}', data={"score": 3}))
    calls = MemoryCalls(model)

    result = await runtime.run_crew(one_task(agent("judge", tools=("look",)), output_schema=SCHEMA), calls)

    assert result.data == {"score": 3}
    last = calls.requests[1].request
    assert (last.response_schema, last.tools) == (SCHEMA, ())
    assert last.messages[-2].content == "It is a three."


@pytest.mark.parametrize("text", ['{"score": "high"}', "high", "[]", '{"score": 1} or so'])
async def test_an_answer_that_never_fits_the_schema_is_a_failure(text: str) -> None:
    calls = MemoryCalls(script(says(text), says(text)))

    with pytest.raises(StepFailed, match=r"judge: .* output schema") as failed:
        await runtime.run_crew(one_task(agent("judge"), output_schema=SCHEMA), calls)
    assert failed.value.code == "answer_not_in_schema"


async def test_a_schema_makes_no_request_of_its_own() -> None:
    schema = {"$ref": "http://127.0.0.1:9/schema.json"}
    calls = MemoryCalls(script(says("{}"), says("{}")))

    with pytest.raises(Exception, match="not JSON of the task's output schema"):
        await runtime.run_crew(one_task(output_schema=schema), calls)


# --- models that cannot call tools -----------------------------------------------------------------------------


async def test_a_model_without_tool_calls_writes_them_down() -> None:
    model = script(
        says('Thought: hm\nAction: add\nAction Input: {"a": 1, "b": 2}\nObservation: 99\nFinal Answer: 99'),
        says("Thought: I now know\nFinal Answer: 3"),
    )
    calls = MemoryCalls(model, {"add": lambda a, b: str(a + b)}, supports_tools=False)

    result = await runtime.run_crew(one_task(agent("writer", tools=("add",))), calls)

    assert result.text == "3"
    first, second = (made.request for made in calls.requests)
    assert (first.tools, first.stop) == ((), ("\nObservation:",))
    assert "Tool Name: add" in first.messages[0].content
    assert second.messages[2].content.endswith("Observation: 3")
    assert "99" not in second.messages[2].content


@pytest.mark.parametrize("written", ["[1]", "nonsense {", '"text"'])
async def test_written_arguments_that_are_no_object_are_told_to_the_model(written: str) -> None:
    model = script(says(f"Thought: t\nAction: add\nAction Input: {written}"), says("Final Answer: gave up"))
    calls = MemoryCalls(model, {"add": lambda **_: "?"}, supports_tools=False)

    result = await runtime.run_crew(one_task(agent("writer", tools=("add",))), calls)

    assert result.text == "gave up"


async def test_a_model_without_tool_calls_is_stopped_too() -> None:
    def model(request: ModelRequest) -> ModelReply:
        asked = "MUST give your absolute best" in request.messages[-1].content
        return says("Final Answer: enough" if asked else "Thought: t\nAction: add\nAction Input: {}")

    calls = MemoryCalls(model, {"add": lambda: "0"}, supports_tools=False)

    result = await runtime.run_crew(one_task(agent("writer", tools=("add",), max_iterations=2)), calls)

    assert result.text == "enough"
    assert len(calls.tool_requests) == 2
