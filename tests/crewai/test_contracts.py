"""What we lean on in crewAI, one test each. A new version of crewAI that behaves otherwise must fail here.

The texts that agents are told are held by test_prompts.py, which compares them with what stock crewAI says.
"""

import inspect
import json
import os
import re
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import crewai
import pytest
from crewai import LLM, Agent, Crew, Task
from crewai.agents.parser import AgentAction, AgentFinish
from crewai.crews.utils import prepare_kickoff, prepare_task_execution
from crewai.events.event_bus import crewai_event_bus
from crewai.events.types.task_events import TaskStartedEvent
from crewai.llms.base_llm import BaseLLM
from crewai.tools.agent_tools.agent_tools import AgentTools
from crewai.utilities import file_store
from crewai.utilities.agent_utils import format_answer
from crewai.utilities.i18n import I18N_DEFAULT
from crewai.utilities.task_output_storage_handler import TaskOutputStorageHandler
from crewai_core import lock_store

from services.orchestration.engine.ports import CrewPlan, ModelInfo, ModelReply
from services.orchestration.runtimes.crewai import CrewAIRuntime
from services.orchestration.runtimes.crewai import crew as ours
from services.orchestration.runtimes.crewai.delegation import delegation_tools
from services.orchestration.runtimes.crewai.model import StepModel
from services.orchestration.runtimes.crewai.tools import tools_of
from tests.crewai.calls import MODEL_ID, MemoryCalls, says, script
from tests.crewai.plans import agent, task

ROOT = Path(__file__).parents[2]


def step_agent(name: str = "writer", **changes: Any) -> ours.StepAgent:
    plan, calls = agent(name, **changes), MemoryCalls(script())
    model = StepModel.of(plan, ModelInfo(MODEL_ID, "m", 1000, True), calls)
    return ours.StepAgent.of(plan, model, tools_of(plan, calls), calls)


def source(what: Any) -> str:
    return inspect.getsource(what)


def file_source(name: str) -> str:
    """Not by inspect: crewAI gives several of its modules another one's `__file__`."""
    return Path(crewai.__file__).with_name(name).read_text()


def test_the_version_is_the_one_that_was_studied() -> None:
    assert version("crewai") == "1.15.30"


# --- on the machine ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def isolated(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """crewAI imported and run twice in its own process, with a home and a `.env` to fall for."""
    home = tmp_path_factory.mktemp("home")
    (home / ".env").write_text("FROM_DOTENV=1\n")
    run = subprocess.run(
        [sys.executable, "-m", "tests.crewai.isolated"],
        cwd=home,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(home),
            "TMPDIR": str(home),
            "REDIS_URL": "redis://127.0.0.1:9/0",
            "OPENAI_API_KEY": "sk-of-the-machine",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return json.loads(run.stdout), home


def test_a_crew_opens_nothing_and_starts_no_thread(isolated: tuple[dict[str, Any], Path]) -> None:
    assert isolated[0]["events"] == []
    assert isolated[0]["threads"] == ["MainThread"]


def test_importing_it_leaves_no_file_behind(isolated: tuple[dict[str, Any], Path]) -> None:
    assert sorted(path.name for path in isolated[1].rglob("*")) == [".env"]


def test_importing_it_keeps_environment_and_signals(isolated: tuple[dict[str, Any], Path]) -> None:
    facts, _ = isolated
    assert facts["homes_kept"]
    assert facts["signals_kept"]
    assert not facts["dotenv_loaded"]


# --- adjustments -------------------------------------------------------------------------------------------------


def test_locks_stay_in_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_store, "_REDIS_URL", "redis://127.0.0.1:9/0")
    monkeypatch.setattr(lock_store.portalocker, "Lock", None)
    with lock_store.lock("one", timeout=1), lock_store.lock("one"):
        pass


def test_events_reach_no_handler() -> None:
    heard: list[Any] = []
    crewai_event_bus.on(TaskStartedEvent)(lambda source, event: heard.append(event))
    task = Task(description="d", expected_output="e", agent=step_agent())
    assert crewai_event_bus.emit(task, TaskStartedEvent(context="", task=task)) is None
    assert heard == []


def test_all_events_pass_through_emit() -> None:
    """Were they emitted in another way, dropping them in `emit` would not be enough."""
    emitting = re.compile(r"crewai_event_bus\.(\w+)")
    used = {name for file in ("crew.py", "task.py") for name in emitting.findall(file_source(file))}
    assert used <= {
        "emit", "flush", "set_runtime_state", "_runtime_state", "_enter_runtime_scope", "_exit_runtime_scope"
    }  # fmt: skip


def test_the_file_store_is_asked_by_these_names_only() -> None:
    pattern = re.compile(r"\b((?:a?get|a?clear|a?store)\w*_files)\(")
    public = {name for name, value in vars(file_store).items() if inspect.isfunction(value)}
    assert public & set(pattern.findall(file_source("crew.py"))) == {"get_all_files", "clear_files"}
    assert public & set(pattern.findall(file_source("task.py"))) == {
        "get_all_files",
        "clear_task_files",
        "store_task_files",
    }
    assert "if not HAS_CREWAI_FILES or not self.input_files" in source(Task._store_input_files)


def test_the_store_of_task_outputs_is_asked_for_no_more_than_ours_has() -> None:
    during_a_run = source(Crew._store_execution_log) + source(prepare_kickoff) + source(Crew.akickoff)
    asked = set(re.findall(r"_task_output_handler\.(\w+)", during_a_run))
    assert asked == {"update", "reset"}
    for name in asked:
        assert inspect.signature(getattr(ours._NoTaskOutputs, name)) == inspect.signature(
            getattr(TaskOutputStorageHandler, name)
        )


def test_its_own_deprecated_fields_warn_no_more() -> None:
    one = step_agent()
    one.function_calling_llm = None
    assert one.function_calling_llm is None
    assert not [name for name, field in ours.StepCrew.model_fields.items() if field.deprecated]


# --- what is overridden --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "stock", "method"),
    [
        (ours.StepAgent, Agent, "aexecute_task"),
        (ours.StepAgent, Agent, "create_agent_executor"),
        (ours.StepAgent, Agent, "get_delegation_tools"),
        (ours.StepTask, Task, "prompt"),
        (ours.StepTask, Task, "aexecute_sync"),
        (ours.StepCrew, Crew, "_prepare_tools"),
        (StepModel, LLM, "supports_function_calling"),
        (StepModel, BaseLLM, "get_context_window_size"),
        (StepModel, BaseLLM, "get_input_tokens_count"),
    ],
)
def test_what_is_overridden_is_there_and_takes_the_same(own: type, stock: type, method: str) -> None:
    assert list(inspect.signature(getattr(own, method)).parameters) == list(
        inspect.signature(getattr(stock, method)).parameters
    )


def test_a_crew_runs_its_tasks_through_what_is_overridden() -> None:
    run = source(Crew.akickoff) + source(Crew._arun_sequential_process) + source(Crew._aexecute_tasks)
    assert "task.aexecute_sync(" in run
    assert "crew._prepare_tools(" in source(prepare_task_execution)
    assert "agent.aexecute_task(" in source(Task._aexecute_core)
    assert "get_delegation_tools(" in source(Crew._inject_delegation_tools)


def test_the_model_defines_no_call_that_crewai_would_retry() -> None:
    """A class's own `call` and `acall` get crewAI's retry around them, and it sleeps. Retries are the port's alone."""
    assert "acall" not in vars(StepModel)
    assert list(inspect.signature(BaseLLM._wrap_call_method).parameters) == ["method_name"]


def test_nothing_of_ours_that_crewai_holds_can_be_dumped_into_a_log() -> None:
    model = step_agent().llm
    assert isinstance(model, StepModel)
    dumped = model.model_dump()
    assert dumped["api_key"] is None
    assert dumped["base_url"] is None
    assert not [value for value in dumped.values() if isinstance(value, MemoryCalls)]


# --- names and texts -----------------------------------------------------------------------------------------------


def test_delegation_tools_are_named_and_described_as_stock_ones() -> None:
    coworkers = [step_agent("clerk"), step_agent("judge")]
    for tool, stock in zip(delegation_tools(coworkers), AgentTools(agents=coworkers).tools(), strict=True):
        assert (tool.name, tool.description) == (stock.name, stock.description)
        schema = stock.args_schema.model_json_schema()
        ours = tool.spec.parameters
        assert ours["required"] == schema["required"]
        for name, stock_property in schema["properties"].items():
            assert ours["properties"][name]["description"] == stock_property["description"]


@pytest.mark.parametrize(
    ("kind", "name", "placeholders"),
    [
        ("slices", "role_playing", {"role", "goal", "backstory"}),
        ("slices", "tools", {"tools", "tool_names"}),
        ("slices", "task", {"input"}),
        ("slices", "native_task", {"input"}),
        ("slices", "task_no_tools", {"input"}),
        ("slices", "task_with_context", {"task", "context"}),
        ("slices", "formatted_task_instructions", {"output_format"}),
        ("slices", "summarize_instruction", {"conversation"}),
        ("slices", "summary", {"merged_summary"}),
        ("slices", "no_tools", set()),
        ("slices", "native_tools", set()),
        ("slices", "observation", set()),
        ("slices", "post_tool_reasoning", set()),
        ("slices", "summarizer_system_message", set()),
        ("slices", "manager_request", set()),
        ("errors", "force_final_answer", set()),
        ("errors", "wrong_tool_name", {"tool", "tools"}),
        ("errors", "agent_tool_unexisting_coworker", {"coworkers"}),
        ("tools", "delegate_work", {"coworkers"}),
        ("tools", "ask_question", {"coworkers"}),
    ],
)
def test_texts_have_the_placeholders_that_are_filled(kind: Any, name: str, placeholders: set[str]) -> None:
    assert set(re.findall(r"\{(\w+)\}", I18N_DEFAULT.retrieve(kind, name))) == placeholders


def test_written_steps_are_read_as_action_or_answer() -> None:
    action = format_answer('Thought: t\nAction: look\nAction Input: {"at": "x"}')
    assert isinstance(action, AgentAction)
    assert (action.tool, action.tool_input) == ("look", '{"at": "x"}')
    assert isinstance(format_answer("just words"), AgentFinish)
    assert format_answer("Thought: t\nFinal Answer: yes").output == "yes"


# --- cost ----------------------------------------------------------------------------------------------------------


async def test_a_crew_costs_a_small_part_of_stock_crewai(tmp_path: Path) -> None:
    """Measured: 0.02. What is held is that nobody puts a thread, a store or a class per run back in."""
    stock = cost_of_stock(tmp_path, rounds=15)
    own = await cost_of_ours(rounds=100)
    assert own < 0.2 * stock, f"{own:.2f} ms of CPU against {stock:.2f} ms"


def cost_of_stock(home: Path, rounds: int) -> float:
    run = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("stock_cost.py")), str(rounds)],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "CREWAI_STORAGE_DIR": str(home),
            "CREWAI_DISABLE_TELEMETRY": "true",
            "CREWAI_TRACING_ENABLED": "false",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return float(run.stdout)


async def cost_of_ours(rounds: int) -> float:
    agents = tuple(agent(name) for name in ("researcher", "writer", "reviewer"))
    plan = CrewPlan(agents=agents, tasks=tuple(task(f"part {n}", n) for n in range(3)))

    class Instant(MemoryCalls):
        async def model(self, request: Any, *, agent_id: Any = None) -> ModelReply:
            return says("An answer")

    async def run() -> None:
        await CrewAIRuntime().run_crew(plan, Instant(script()))

    for _ in range(5):
        await run()
    start = time.process_time()
    for _ in range(rounds):
        await run()
    return (time.process_time() - start) / rounds * 1000
