"""The node: what is known to be wrong before it runs."""

from typing import Any

import pytest

from shared.kit.json import JsonObject
from shared.workflow.python import check_python
from shared.workflow.validate import References, validate_graph

SOUND = "import math\n\ndef main(inputs):\n    return math.sqrt(inputs['n'])\n"


def problems(**config: Any) -> list[JsonObject]:
    node = {"id": "c", "type": "code", "config": {"source": SOUND, **config}}
    graph = {"spec": 1, "nodes": [node], "edges": [], "inputs": {"type": "object", "properties": {"n": {}}}}
    return [
        {"code": each.code, "field": each.field, "message": each.message}
        for each in validate_graph(graph, References())
    ]


def test_a_sound_node_has_no_problem() -> None:
    assert problems(inputs={"n": "inputs.n"}, timeout_ms=1000, memory_mb=128) == []


def test_problems_name_the_line() -> None:
    (problem,) = problems(source="def main(inputs):\n    x = = 2\n")
    assert problem == {
        "code": "code_invalid",
        "field": "source",
        "message": "node 'c', source: line 2: invalid syntax",
    }


def test_inputs_are_expressions_over_what_is_in_scope() -> None:
    (problem,) = problems(inputs={"n": "inputs.other"})
    assert (problem["code"], problem["field"]) == ("input_unknown", "inputs.n")


@pytest.mark.parametrize("bound", [{"timeout_ms": 0}, {"timeout_ms": 10**9}, {"memory_mb": 1}, {"memory_mb": 10**6}])
def test_time_and_memory_have_bounds(bound: dict[str, int]) -> None:
    assert [each["code"] for each in problems(**bound)] == ["config_invalid"]


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("x = 1", "define a function main(inputs)"),
        ("class main: pass", "define a function main(inputs)"),
        ("async def main(inputs): pass", "line 1: main must not be async"),
        ("\ndef main(a, b): pass", "line 2: main takes one argument"),
        ("def main(): pass", "line 1: main takes one argument"),
        ("def main(inputs, *, b): pass", "line 1: main takes one argument"),
        ("a\0b", "null bytes"),
        ("x = '\ud800'", "cannot be read"),
        ("1" * 20_000, "line 1: Exceeds the limit"),
    ],
)
def test_main_is_there_and_takes_the_inputs(source: str, complaint: str) -> None:
    (said,) = check_python(source)
    assert complaint in said


@pytest.mark.parametrize("fine", ["def main(inputs, more=1): pass", "def main(*all): pass", "def main(i, /): pass"])
def test_main_may_have_more_that_nobody_gives(fine: str) -> None:
    assert check_python(fine) == []


@pytest.mark.parametrize(
    "source",
    [
        "-" * 49_000 + "1",
        "not " * 12_000 + "1",
        "(" * 49_000,
        "[" * 49_000,
        "a" + ".a" * 24_000,
        "a" + "()" * 24_000,
        "1" + "+1" * 24_000,
        "lambda:" * 7_000 + "1",
        "1 if 1 else " * 4_000 + "1",
        "if 1:\n pass\n" + "elif 1:\n pass\n" * 3_000,
        "f'" + "{f'" * 3_000,
    ],
)
def test_code_without_bottom_is_refused_quickly(source: str) -> None:
    (said,) = check_python(source)
    assert "nested" in said
