"""What is exported comes back the same, in both formats, save for what the report says is lost."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.workflows.crewai_format.bind import bind
from services.workflows.crewai_format.export_agents import PoolAgent
from services.workflows.crewai_format.from_graph import project_from_graph
from services.workflows.crewai_format.project import CrewAgent, CrewProject, CrewTask, Process
from services.workflows.crewai_format.read import Format, read_project
from services.workflows.crewai_format.report import Report
from services.workflows.crewai_format.to_graph import Resolver, crew_graph
from services.workflows.crewai_format.write import write_project
from shared.kit.ids import new_id
from shared.workflow.graph import Graph
from tests.workflows.projects import CATALOG, example

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=60)
TEXTS = TEXT.map(str.strip).filter(bool)
KEYS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True)
TASK_NAMES = TEXT.map(str.strip).filter(lambda name: 0 < len(name) <= 100)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
SCHEMAS = st.dictionaries(TEXT.filter(lambda key: key != "python"), JSON, min_size=1, max_size=3)
NAMES = st.lists(KEYS, max_size=2, unique=True).map(tuple)


@st.composite
def agents(draw: st.DrawFn, key: str, classic: bool) -> CrewAgent:
    llm = draw(st.none() | KEYS)
    return CrewAgent(
        key=key,
        role=draw(TEXTS),
        goal=draw(TEXTS),
        backstory=draw(TEXTS),
        tools=draw(NAMES),
        llm=llm,
        temperature=None if classic or llm is None else draw(st.none() | st.floats(0, 2)),
        max_tokens=draw(st.none() | st.integers(1, 10_000)),
        max_iterations=draw(st.none() | st.integers(1, 100)),
        allow_delegation=draw(st.booleans()),
    )


@st.composite
def projects(draw: st.DrawFn, classic: bool) -> CrewProject:
    keys = draw(st.lists(KEYS, min_size=2, max_size=4, unique=True))
    members = [draw(agents(key, classic)) for key in keys]
    tasks: list[CrewTask] = []
    for name in draw(st.lists(TASK_NAMES, min_size=1, max_size=4, unique=True)):
        earlier = [task.key for task in tasks]
        context = st.lists(st.sampled_from(earlier), unique=True).map(tuple) if earlier else st.just(())
        tasks.append(
            CrewTask(
                key=name,
                description=draw(TEXTS),
                expected_output=draw(TEXTS),
                agent=draw(st.none() | st.sampled_from(keys[1:])),
                context=draw(st.none() | context),
                tools=draw(NAMES),
                output_schema=None if classic else draw(st.none() | SCHEMAS),
                markdown=draw(st.booleans()),
            )
        )
    if classic:
        return CrewProject(None, tuple(members), tuple(tasks))
    hierarchical = draw(st.booleans())
    return CrewProject(
        name=draw(TEXTS),
        agents=tuple(members[1:]),
        tasks=tuple(tasks),
        process=Process.HIERARCHICAL if hierarchical else Process.SEQUENTIAL,
        manager=members[0] if hierarchical else None,
        manager_llm=draw(st.none() | KEYS),
        inputs=draw(st.dictionaries(TASK_NAMES, JSON, max_size=3)),
    )


@settings(max_examples=150, deadline=None)
@given(projects(classic=True))
def test_classic(project: CrewProject) -> None:
    report = Report()
    assert read_project(write_project(project, Format.CLASSIC, report)).project == project
    assert report.ignored == []


@settings(max_examples=150, deadline=None)
@given(projects(classic=False))
def test_jsonc(project: CrewProject) -> None:
    assert read_project(write_project(project, Format.JSONC, Report())).project == project


@settings(max_examples=50, deadline=None)
@given(projects(classic=False))
def test_what_classic_files_cannot_say_is_reported(project: CrewProject) -> None:
    report = Report()
    returned = read_project(write_project(project, Format.CLASSIC, report)).project
    lost = {item.where for item in report.ignored}
    assert ("crew.process" in lost) == (returned.process is not project.process)
    assert {where for where in lost if where.endswith("output_schema")} == {
        f"tasks.{task.key}.output_schema" for task in project.tasks if task.output_schema is not None
    }


def through_graph(project: CrewProject) -> tuple[Graph, CrewProject]:
    """Import into a pool of agents, and export from it again."""
    report = Report()
    project = bind(project, {}, report)
    resolver = Resolver(project, CATALOG, report)
    models = {model.id: model for model in CATALOG.models}
    pool: dict[Any, PoolAgent] = {}
    ids = {draft.key: new_id() for draft in resolver.agents()}
    for draft in resolver.agents():
        pool[ids[draft.key]] = PoolAgent(
            id=ids[draft.key],
            name=draft.key,
            role=draft.role,
            goal=draft.goal,
            backstory=draft.backstory,
            system_prompt=None,
            model=models[draft.model_id],
            tools=draft.tools,
            knowledge_base_ids=(),
            temperature=draft.temperature,
            max_tokens=draft.max_tokens,
            max_iterations=draft.max_iterations or 15,
            allow_delegation=draft.allow_delegation,
        )
    graph = Graph.model_validate(crew_graph(project, ids, resolver.manager_model(), report))
    return graph, project_from_graph(project.name or "Crew", graph, pool, models, Report())


@pytest.mark.parametrize("format", list(Format))
@pytest.mark.parametrize("name", ["research_team", "support_desk"])
def test_a_workflow_comes_back_the_same(name: str, format: Format) -> None:
    """The first export settles names and defaults; from then on nothing may change but what a report names."""
    _, settled = through_graph(read_project(example(name)).project)
    report = Report()
    returned = read_project(write_project(settled, format, report)).project
    _, again = through_graph(returned)
    if format is Format.JSONC or not report.ignored:
        assert (again.agents, again.tasks, again.inputs) == (settled.agents, settled.tasks, settled.inputs)
    assert [task.description for task in again.tasks] == [task.description for task in settled.tasks]


CHECK = """
import sys
from crewai.project.json_loader import validate_crew_project
project = validate_crew_project(sys.argv[1])
print([name for name in project.agent_names], [task["name"] for task in project.task_definitions])
"""


def test_crewai_itself_accepts_what_is_exported(tmp_path: Path) -> None:
    """In a process of its own: nothing but the worker ever imports crewAI."""
    _, project = through_graph(read_project(example("support_desk")).project)
    for name, text in write_project(project, Format.JSONC, Report()).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    quiet = {"HOME": str(tmp_path), "CREWAI_DISABLE_TELEMETRY": "true", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(tmp_path / "crew.jsonc")],
        env=quiet,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "['sorter', 'answerer'] ['sort', 'answer']" in done.stdout
