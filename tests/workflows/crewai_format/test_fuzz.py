"""Whatever is sent, reading ends in a project or in a ProjectError."""

import contextlib
import json
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.workflows.crewai_format.bind import bind
from services.workflows.crewai_format.errors import ProjectError
from services.workflows.crewai_format.jsonc_tree import parse_jsonc
from services.workflows.crewai_format.read import read_project
from services.workflows.crewai_format.report import Report
from services.workflows.crewai_format.to_graph import Resolver, crew_graph
from services.workflows.crewai_format.yaml_tree import parse_yaml
from shared.kit.ids import new_id
from shared.workflow.graph import Graph
from tests.workflows.projects import CATALOG, example

SOUP = st.text(st.sampled_from("{}[]:,-?|>&*!%@`'\"#\\/\n\t 019ae.~<=_\x00\ud800\ufeff\u2028"), max_size=80) | st.text(
    max_size=80
)
FUZZED = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])

FIELDS = st.sampled_from(
    [
        "role", "goal", "backstory", "llm", "tools", "settings", "description", "expected_output", "agent", "context",
        "name", "agents", "tasks", "process", "inputs", "manager_agent", "manager_llm", "output_json", "type", "python",
        "max_iter", "markdown", "output_file", "a", "b",
    ]
)  # fmt: skip
WORDS = st.sampled_from(["a", "b", "{x}", "", "hierarchical"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WORDS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=8), max_leaves=25
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
)
GOOD_AGENT = {"role": "r", "goal": "g {x}", "backstory": "b"}
GOOD_TASK = {"description": "d {y}", "expected_output": "e"}


def take_in(files: dict[str, str]) -> None:
    """The whole way from files to a graph."""
    with contextlib.suppress(ProjectError):
        reading = read_project(files)
        project = bind(reading.project, {}, reading.report)
        resolver = Resolver(project, CATALOG, Report())
        ids = {draft.key: new_id() for draft in resolver.agents()}
        Graph.model_validate(crew_graph(project, ids, resolver.manager_model(), Report()))


@FUZZED
@given(SOUP)
def test_any_text_as_yaml(text: str) -> None:
    with contextlib.suppress(ProjectError):
        parse_yaml(text, "f").plain()


@FUZZED
@given(SOUP)
def test_any_text_as_jsonc(text: str) -> None:
    with contextlib.suppress(ProjectError):
        parse_jsonc(text, "f").plain()


@FUZZED
@given(JSON)
def test_jsonc_reads_what_json_writes(value: Any) -> None:
    assert parse_jsonc(json.dumps(value, indent=1), "f").plain() == value


@FUZZED
@given(SOUP, SOUP, st.sampled_from(["agents.yaml", "crew.jsonc"]))
def test_any_files(one: str, other: str, name: str) -> None:
    take_in({name: one, "tasks.yaml": other, "agents/a.jsonc": other})


@FUZZED
@given(VALUES, VALUES)
def test_any_structure_as_classic_files(agents: Any, tasks: Any) -> None:
    take_in({"agents.yaml": yaml.safe_dump(agents), "tasks.yaml": yaml.safe_dump(tasks)})


@FUZZED
@given(st.dictionaries(FIELDS, VALUES, max_size=5), st.dictionaries(FIELDS, VALUES, max_size=5))
def test_any_further_fields_in_classic_files(agent: dict[str, Any], task: dict[str, Any]) -> None:
    agents = {"a": {**agent, **GOOD_AGENT}, "b": GOOD_AGENT}
    take_in({"agents.yaml": yaml.safe_dump(agents), "tasks.yaml": yaml.safe_dump({"t": {**task, **GOOD_TASK}})})


@FUZZED
@given(VALUES, st.dictionaries(FIELDS, VALUES, max_size=5), st.dictionaries(FIELDS, VALUES, max_size=5))
def test_any_further_fields_in_jsonc(crew: Any, agent: dict[str, Any], task: dict[str, Any]) -> None:
    own = crew if isinstance(crew, dict) else {}
    whole = {**own, "agents": ["a", {"name": "b", **GOOD_AGENT}], "tasks": [{**task, **GOOD_TASK}]}
    take_in({"crew.jsonc": json.dumps(whole), "agents/a.jsonc": json.dumps({**agent, **GOOD_AGENT})})


@FUZZED
@given(st.data())
def test_damaged_files(data: st.DataObject) -> None:
    """The examples with a piece cut out and another put in."""
    files = example(data.draw(st.sampled_from(["research_team", "support_desk"])))
    name = data.draw(st.sampled_from(sorted(files)))
    text = files[name]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 20)))
    take_in({**files, name: text[:start] + data.draw(SOUP) + text[end:]})
