"""Projects that people published: each is read, bound, and becomes a graph that validates."""

from uuid import UUID

import pytest

from services.workflows.crewai_format.bind import bind
from services.workflows.crewai_format.read import read_project
from services.workflows.crewai_format.to_graph import Resolver, crew_graph
from shared.kit.ids import new_id
from shared.workflow.validate import References, validate_graph
from tests.workflows.projects import CATALOG, REAL_NAMES, needs_real_projects, real_project

pytestmark = needs_real_projects


@pytest.mark.parametrize("name", REAL_NAMES)
def test_it_becomes_a_valid_graph(name: str) -> None:
    project = real_project(name)
    reading = read_project(project.files)
    bound = bind(reading.project, project.bindings, reading.report)
    assert reading.report.missing == []
    resolver = Resolver(bound, CATALOG, reading.report)
    ids = {draft.key: new_id() for draft in resolver.agents()}
    graph = crew_graph(bound, ids, resolver.manager_model(), reading.report)
    agents: dict[UUID, UUID | None] = dict.fromkeys(ids.values(), CATALOG.fallback.id)
    assert validate_graph(graph, References(agents=agents, models={CATALOG.fallback.id})) == []
    assert len(reading.project.tasks) == len(graph["nodes"][0]["config"]["tasks"])


def test_unbound_tasks_are_named() -> None:
    reading = read_project(real_project("screenplay_writer").files)
    bind(reading.project, {}, reading.report)
    assert [item.where for item in reading.report.missing] == [f"tasks.task{i}.agent" for i in range(5)]


def test_placeholders_with_doubled_braces_are_inputs() -> None:
    reading = read_project(real_project("screenplay_writer").files)
    graph = crew_graph(reading.project, {a.key: new_id() for a in reading.project.agents}, None, reading.report)
    assert list(graph["inputs"]["properties"]) == ["discussion", "script"]
