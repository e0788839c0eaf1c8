import time
from typing import Any

import pytest

from shared.workflow.inputs import check_inputs, check_schema, with_defaults


def complaints(schema: dict[str, Any], inputs: Any) -> list[str]:
    assert check_schema(schema) == []
    return [problem.message for problem in check_inputs(schema, inputs)]


def test_patterns_are_re2_and_cannot_hold_the_process() -> None:
    schema = {"properties": {"s": {"pattern": "^(a+)+$"}}, "patternProperties": {"^x(x+x+)+y$": {"type": "string"}}}
    began = time.thread_time()
    assert complaints(schema, {"s": "a" * 50_000 + "!", "x" * 50_000: 1}) == [
        "inputs.s: does not match the pattern '^(a+)+$'"
    ]
    assert time.thread_time() - began < 1


@pytest.mark.parametrize(
    ("schema", "inputs"),
    [
        ({"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False}, {"a" * 40 + "b": 1}),
        ({"patternProperties": {f"{n}x": {} for n in range(3000)}}, {f"{n}y": 1 for n in range(20_000)}),
        ({"allOf": [{"pattern": f"^(a|b{n})*x?$"} for n in range(1000)]}, "a" * 1_000_000),
        ({"allOf": [{"uniqueItems": True}] * 1000}, list(range(100_000))),
        ({"anyOf": [{"anyOf": [{"type": "string"}] * 50}] * 50}, [list(range(100_000))]),
        ({"allOf": [{"unevaluatedProperties": {}}] * 300}, {f"{n}": 1 for n in range(3000)}),
    ],
    ids=["names", "many names", "long text", "many elements", "long complaints", "unevaluated"],
)
def test_what_is_large_or_backtracks_cannot_hold_the_process(schema: dict[str, Any], inputs: Any) -> None:
    began = time.thread_time()
    assert check_inputs(schema, inputs)
    assert time.thread_time() - began < 3


def test_additional_properties() -> None:
    schema = {"properties": {"a": {}}, "patternProperties": {"^n_": {}}, "additionalProperties": False}
    assert complaints(schema, {"a": 1, "n_1": 1}) == []
    assert complaints(schema, {"a": 1, "b": 1}) == [
        "inputs: Additional properties are not allowed ('b' was unexpected)"
    ]
    assert complaints({"additionalProperties": {"type": "integer"}}, {"b": "x"}) == [
        "inputs.b: 'x' is not of type 'integer'"
    ]


def test_pattern_properties_apply() -> None:
    schema = {"patternProperties": {"^n_": {"type": "integer"}}}
    assert complaints(schema, {"n_1": 1, "other": "x"}) == []
    assert complaints(schema, {"n_1": "x"}) == ["inputs.n_1: 'x' is not of type 'integer'"]


def test_unique_items() -> None:
    schema = {"properties": {"l": {"uniqueItems": True}}}
    assert complaints(schema, {"l": [1, "1", {"a": 1}, {"a": 2}, True]}) == []
    assert complaints(schema, {"l": [{"a": 1, "b": 2}, {"b": 2, "a": 1}]}) == ["inputs.l: has the same element twice"]
    began = time.thread_time()
    complaints(schema, {"l": [{"n": n} for n in range(20_000)]})
    assert time.thread_time() - began < 1


def test_references_inside_the_schema_work() -> None:
    schema = {"$defs": {"word": {"type": "string"}}, "properties": {"w": {"$ref": "#/$defs/word"}}}
    assert complaints(schema, {"w": 1}) == ["inputs.w: 1 is not of type 'string'"]


@pytest.mark.parametrize(
    ("schema", "inputs", "part"),
    [
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, {}, "without end"),
        (
            {
                "$ref": "#/$defs/d0",
                "$defs": {
                    **{f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)},
                    "d40": {"type": "object"},
                },
            },
            {},
            "too large",
        ),
        (
            {"properties": {"l": {"items": {"anyOf": [{"const": n} for n in range(2000)]}}}},
            {"l": [1999] * 5000},
            "too large",
        ),
    ],
)
def test_hostile_schemas_end_soon(schema: dict[str, Any], inputs: Any, part: str) -> None:
    assert check_schema(schema) == []
    began = time.thread_time()
    (problem,) = check_inputs(schema, inputs)
    assert part in problem.message
    assert time.thread_time() - began < 3


@pytest.mark.parametrize(
    ("schema", "part"),
    [
        ({"$ref": "https://elsewhere/schema"}, "leaves the schema"),
        ({"$ref": "file:///etc/passwd"}, "leaves the schema"),
        ({"items": [{"$ref": "other.json"}]}, "leaves the schema"),
        ({"$dynamicRef": "#x"}, "not supported"),
        ({"items": {"unevaluatedProperties": False}}, "not supported"),
        ({"properties": {"s": {"pattern": "(?=look)"}}}, "not understood"),
        ({"patternProperties": {"[": {}}}, "not understood"),
        ({"properties": {"a": {"minimum": "x"}}}, "properties.a.minimum"),
        ({"description": "x" * 64_001}, "larger than"),
    ],
)
def test_schemas_that_are_refused(schema: dict[str, Any], part: str) -> None:
    found = check_schema(schema)
    assert len(found) == 1
    assert part in found[0]


def test_a_schema_nested_too_deep() -> None:
    schema: dict[str, Any] = {}
    for _ in range(100):
        schema = {"not": schema}
    assert "deep" in check_schema(schema)[0]


def test_only_the_first_problems_are_told() -> None:
    schema = {"properties": {"l": {"items": {"type": "string"}}}}
    assert len(complaints(schema, {"l": list(range(1000))})) == 20


def test_defaults_are_filled_in_where_nothing_is_given() -> None:
    schema = {"properties": {"a": {"default": 1}, "b": {"default": 2}, "c": {}, "d": True}}
    assert with_defaults(schema, {"b": None}) == {"a": 1, "b": None}
    given = {"a": 0, "b": 0}
    assert with_defaults(schema, given) is given
    assert with_defaults({}, given) is given
