"""Whatever graph is sent, the answer is a workflow with its problems or a 422; nothing in it breaks a later route."""

import copy
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workflows.conftest import TRIVIAL, Tenant

WORDS = st.sampled_from(
    [
        "",
        "x",
        "crew",
        "condition",
        "{{ inputs.n }}",
        "{{",
        "nodes.twice.output",
        "inputs.n",
        "[[[[",
        "1 +",
        "\u2028",
        "é",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats() | WORDS | st.text(max_size=5)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3))
AGENT = "01900000-0000-7000-8000-000000000000"
CREW = {
    "process": "sequential",
    "agent_ids": [AGENT],
    "tasks": [{"name": "t", "description": "d", "expected_output": "e", "agent_id": AGENT, "output_schema": {}}],
}
RICH: dict[str, Any] = {
    **TRIVIAL,
    "nodes": [
        *TRIVIAL["nodes"],
        {"id": "crew", "type": "crew", "config": CREW, "retry": {"max": 1}, "timeout_ms": 5, "ui": {"x": 1}},
        {"id": "pick", "type": "condition", "config": {"cases": [{"name": "a", "when": "true"}], "default": "b"}},
        {"id": "say", "type": "transform", "config": {"template": "{{ nodes.twice.output }}"}},
    ],
    "edges": [{"from": "twice", "to": "pick"}, {"from": "pick", "to": "say", "port": "a", "when": "inputs.n > 1"}],
}


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(path for key, child in children for path in paths(child, (*here, key)))]


PLACES = [path for path in paths(RICH) if path]


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), JSON), min_size=1, max_size=3))
async def test_any_graph_is_answered(here: Tenant, changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    graph = copy.deepcopy(RICH)
    for path, value in changes:
        put(graph, path, value)
    try:
        answer = await here.http.post("/api/v1/workflows", json={"name": "W", "graph": graph})
    except ValueError:  # httpx sends no NaN
        return
    assert answer.status_code in (201, 422), answer.text
    if answer.status_code == 201:
        path = f"/api/v1/workflows/{answer.json()['id']}"
        assert (await here.http.post(f"{path}/validate")).status_code == 200
        assert (await here.http.post(f"{path}/execute", json={})).status_code in (202, 422)
        for format in ("json", "crewai_yaml", "crewai_jsonc"):
            assert (await here.http.get(f"{path}/export", params={"format": format})).status_code in (200, 422)


def put(graph: dict[str, Any], path: tuple[Any, ...], value: Any) -> None:
    """Where an earlier change has left nothing to go into, nothing is put."""
    place: Any = graph
    for key in path[:-1]:
        try:
            place = place[key]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(place, dict) or (isinstance(place, list) and isinstance(path[-1], int) and path[-1] < len(place)):
        place[path[-1]] = value
