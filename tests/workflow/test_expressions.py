import sys
import time
from typing import Any

import pytest

from shared.workflow.expressions import (
    SKIPPED,
    ExpressionError,
    Meter,
    Missing,
    compile_expression,
    compile_template,
)

SCOPE: dict[str, Any] = {
    "inputs": {"topic": "bees", "n": 3, "half": 2.5, "many": [1, 2, 3], "none": None, "odd key": 1, "yes": True},
    "nodes": {
        "a": {"output": {"score": 7, "text": "Hi", "deep": {"list": [{"x": 1}]}}},
        "gone": SKIPPED,
    },
    "execution": {"id": "e1", "created_at": "2026-01-01T00:00:00+00:00"},
}


def value(source: str) -> Any:
    return compile_expression(source).evaluate(SCOPE)


def complaint(source: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        value(source)
    return caught.value


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 2 - 3", 5),
        ("inputs.n + inputs.half", 5.5),
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("7 / -2", -3),
        ("-7 % 3", -1),
        ("7 % -3", 1),
        ("7.0 / 2", 3.5),
        ("0x1F", 31),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-inputs.n", -3),
        ("- - inputs.n", 3),
        ("!!true", True),
        ("!inputs.yes", False),
        ("'a' + \"b\"", "ab"),
        ("[1] + [2]", [1, 2]),
        ("nodes.a.output.score > 5", True),
        ("1 < 2.5 && 2.5 >= 2", True),
        ("'a' < 'b'", True),
        ("1 == 1.0", True),
        ("1 == true", False),
        ("'1' == 1", False),
        ("null == null", True),
        ("[1, {'a': 2}] == [1.0, {'a': 2}]", True),
        ("[1] == [1, 2]", False),
        ("{'a': 1} == {'b': 1}", False),
        ("{'a': 1} != {'a': 2}", True),
        ("2 in [1, 2.0]", True),
        ("4 in inputs.many", False),
        ("'topic' in inputs", True),
        ("inputs['odd key']", 1),
        ("nodes.a.output.deep.list[0].x", 1),
        ("nodes.a.output.deep.list[inputs.n - 3].x", 1),
        ("inputs.none", None),
        ("inputs.n == 3 ? 'three' : inputs.n == 4 ? 'four' : 'many'", "three"),
        ("inputs.n == 4 ? 'four' : inputs.n == 3 ? 'three' : 'many'", "three"),
        ("false ? 1 / 0 : 2", 2),
        ("{'a': [1, {'b': null}], 'c': true}", {"a": [1, {"b": None}], "c": True}),
        ("[1, 2,]", [1, 2]),
        ("inputs.many.map(x, x * 2)", [2, 4, 6]),
        ("inputs.many.map(x, x > 1, x * 2)", [4, 6]),
        ("inputs.many.filter(x, x > 1)", [2, 3]),
        ("inputs.many.all(x, x > 0)", True),
        ("inputs.many.all(x, x > 1)", False),
        ("inputs.many.exists(x, x == 2)", True),
        ("inputs.many.exists(x, x == 9)", False),
        ("inputs.many.exists_one(x, x > 2)", True),
        ("inputs.many.exists_one(x, x > 1)", False),
        ("{'k': 1}.map(k, k)", ["k"]),
        ("[1, 2].map(x, [10].map(x, x + 1)[0] + x)", [12, 13]),
        ("[[1], [2, 3]].map(x, x.map(y, y + size(x)))", [[2], [4, 5]]),
        ("[].all(x, false)", True),
        ("size('abc') + 'ab'.size() + size([1]) + size({})", 6),
        ("'hello'.contains('ell') && 'hello'.startsWith('he') && 'hello'.endsWith('lo')", True),
        ("[1, 2].contains(2)", True),
        ("'v1.2'.matches('^v[0-9]+')", True),
        (r"' Bug \n'.trim().lowerAscii()", "bug"),
        ("'aé'.upperAscii()", "Aé"),
        ("'a,b'.split(',')", ["a", "b"]),
        ("['a', 'b'].join(', ')", "a, b"),
        ("['a', 'b'].join()", "ab"),
        ("'aXbX'.replace('X', '-')", "a-b-"),
        ("string(1.5) + string(true) + string(3) + string('s')", "1.5true3s"),
        ("int('42') + int(2.9) + int(-2.9)", 42),
        ("double('1.5') + double(1)", 2.5),
        ("bool('true') && !bool(false)", True),
        (r"'\u00e9\x41\101\n\\'", "éAA\n\\"),
        (r"r'a\nb'", r"a\nb"),
        ("'''it's\n\"fine\"'''", 'it\'s\n"fine"'),
        ("// a comment\n 1 // another", 1),
        ("has(nodes.a.output.text)", True),
        ("has(nodes.a.output.nope)", False),
        ("has(nodes.a.output.nope.deeper)", False),
        ("has(inputs.none)", True),
        ("has(inputs.many[1])", True),
        ("has(inputs.many[9])", False),
        ("execution.id", "e1"),
    ],
)
def test_values(source: str, expected: Any) -> None:
    result = value(source)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("true || 1 / 0 == 1", True),
        ("1 / 0 == 1 || true", True),
        ("false && 1 / 0 == 1", False),
        ("1 / 0 == 1 && false", False),
        ("[0, 1].exists(x, 1 / x == 1)", True),
        ("[0, 1].all(x, 1 / x == 2)", False),
    ],
)
def test_what_decides_wins_over_what_fails(source: str, expected: bool) -> None:
    assert value(source) is expected


@pytest.mark.parametrize("source", ["1 / 0 == 1 || false", "true && 1 / 0 == 1", "[0].exists(x, 1 / x == 1)"])
def test_undecided_failures_are_raised(source: str) -> None:
    assert "division by zero" in complaint(source).message


def test_whatever_is_selected_of_a_skipped_node_is_null() -> None:
    assert value("nodes.gone.output") is None
    assert value("nodes.gone.output.text") is None
    assert value("nodes['gone'].output.list[3].x") is None
    assert value("has(nodes.gone.output)") is False
    assert value("has(nodes.gone.output.text)") is False
    assert value("nodes.gone.output == null ? 'skipped' : 'ran'") == "skipped"


@pytest.mark.parametrize(
    ("source", "position", "part"),
    [
        ("", 0, "expected a value"),
        ("1 +", 3, "it ends"),
        ("(1", 2, "expected )"),
        ("[1, 2", 5, "expected ,"),
        ("1 2", 2, "found '2'"),
        ("foo + 1", 0, "unknown name 'foo': inputs, nodes"),
        ("inputs.x = 1", 9, "write =="),
        ("true & false", 5, "write &&"),
        ("'abc", 0, "not closed"),
        (r"'\q'", 0, "escape"),
        (r"'\ud800'", 0, "no character"),
        ("5u", 1, "unsigned"),
        ("b'x'", 0, "bytes"),
        ("9223372036854775808", 0, "64 bits"),
        ("1e999", 0, "too large"),
        ("for", 0, "reserved"),
        ("inputs.", 7, "field name"),
        ("nope(1)", 0, "unknown function 'nope'"),
        ("size()", 0, "takes 1"),
        ("'a'.replace('b')", 3, "takes 3"),
        ("[1].map(1, 2)", 3, "map(x"),
        ("[1].map(inputs, 2)", 3, "taken"),
        ("has(inputs)", 0, "has() asks for a field"),
        ("!-1", 1, "expected a value"),
    ],
)
def test_sources_that_are_refused(source: str, position: int, part: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source)
    assert part in caught.value.message
    assert caught.value.position == position


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("'a' + 1", "string()"),
        ("1 - 'a'", "cannot take int and string"),
        ("[1] * 2", "cannot take list and int"),
        ("1.5 % 2", "cannot take double and int"),
        ("1 < 'a'", "cannot compare int with string"),
        ("null < 1", "cannot compare null"),
        ("1 / 0", "division by zero"),
        ("1.0 / 0.0", "division by zero"),
        ("1 % 0", "division by zero"),
        ("9223372036854775807 + 1", "too large"),
        ("-9223372036854775808 - 1", "too large"),
        ("-(-9223372036854775808)", "too large"),
        ("1e308 * 10.0", "too large"),
        ("-'a'", "negate"),
        ("!1", "true or false"),
        ("1 && true", "true or false"),
        ("1 ? 2 : 3", "true or false"),
        ("'a' in 'abc'", "contains"),
        ("1 in 2", "not into int"),
        ("inputs.nope", "there is no 'nope' (there are: topic,"),
        ("inputs.topic.x", "string has no field"),
        ("inputs.many[3]", "no element 3"),
        ("inputs.many[-1]", "no element -1"),
        ("inputs.many['a']", "by number"),
        ("inputs[1]", "fields with names"),
        ("inputs.topic[0]", "string has no field"),
        ("{1: 2}", "keys of a map must be strings"),
        ("{'a': 1, 'a': 2}", "given twice"),
        ("5.map(x, x)", "not on int"),
        ("[1].filter(x, x)", "true or false"),
        ("size(1)", "cannot take (int)"),
        ("int('4x')", "no whole number"),
        ("int('1_0')", "no whole number"),
        ("int(1e300)", "64 bits"),
        ("double('nan')", "no number"),
        ("double('1e9999')", "too large"),
        ("bool('yes')", "cannot take"),
        ("['a', 1].join()", "string()"),
        ("'a'.matches('(')", "not understood"),
        ("string([1])", "cannot take (list)"),
    ],
)
def test_failures_say_what_is_wrong(source: str, part: str) -> None:
    assert part in complaint(source).message


def test_missing_data_is_its_own_kind_of_error() -> None:
    with pytest.raises(Missing):
        value("nodes.a.output.nope")
    with pytest.raises(Missing):
        value("nodes.nope.output")


def test_booleans_are_no_numbers() -> None:
    assert "cannot take bool" in complaint("true + 1").message
    assert value("true == 1") is False
    assert value("[true].contains(1)") is False


def test_a_condition_must_be_true_or_false() -> None:
    assert compile_expression("1 < 2").holds({}) is True
    with pytest.raises(ExpressionError, match="must be true or false, but this is string"):
        compile_expression("'yes'").holds({})


# --- what is read ---------------------------------------------------------------------------------------------


def test_references() -> None:
    source = "nodes.a.output.x + nodes['b'].output[0] + inputs.t.map(i, i.y + inputs.z)[0] + size(item) + execution.id"
    assert compile_expression(source).references == {
        "nodes.a", "nodes.b", "inputs.t", "inputs.z", "item", "execution.id",
    }  # fmt: skip


def test_paths_are_whole() -> None:
    assert compile_expression("nodes.a.output.list[2].x").paths == (("nodes", "a", "output", "list", 2, "x"),)
    assert compile_expression("nodes[inputs.which].output").paths == (("inputs", "which"), ("nodes",))


def test_variables_of_macros_are_no_references() -> None:
    assert compile_expression("[1].map(nodes_, nodes_ + 1)").references == frozenset()


def test_values_are_passed_on_as_they_are() -> None:
    assert value("nodes.a.output.deep") is SCOPE["nodes"]["a"]["output"]["deep"]


def test_compiled_once() -> None:
    assert compile_expression("1 + 1 + inputs.n") is compile_expression("1 + 1 + inputs.n")


# --- templates ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("plain { } text", "plain { } text"),
        ("", ""),
        ("{{ inputs.topic }}", "bees"),
        ("a{{inputs.n}}b{{ inputs.half }}c", "a3b2.5c"),
        ("{{ inputs.yes }} {{ inputs.none }}|{{ nodes.gone.output.text }}|", "true ||"),
        ('{{ {"a": {"b": [1, "x"]}} }}', '{"a":{"b":[1,"x"]}}'),
        ('{{ "}}" + "{{" }}', "}}{{"),
        ("{{ 'é' }}", "é"),
        ("{topic} stays", "{topic} stays"),
        ("}} alone", "}} alone"),
    ],
)
def test_templates(source: str, expected: str) -> None:
    assert compile_template(source).render(SCOPE) == expected


def test_references_of_a_template() -> None:
    assert compile_template("{{ inputs.topic }} {{ nodes.a.output.text }}").references == {"inputs.topic", "nodes.a"}


@pytest.mark.parametrize(
    ("source", "position", "part"),
    [
        ("Hi {{ inputs.topic", 18, "expected }}"),
        ("Hi {{ 1 + }}", 10, "expected a value"),
        ("Hi {{ }}", 6, "expected a value"),
        ("Hi {{ 1 } }", 8, "expected }}"),
        ("{{ foo }}", 3, "unknown name"),
        ("{{ 1" + " + 1" * 1000 + " }}", 0, "at most 4,000"),
    ],
)
def test_templates_that_are_refused(source: str, position: int, part: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_template(source)
    assert part in caught.value.message
    assert caught.value.position == position


# --- bounds ---------------------------------------------------------------------------------------------------

THOUSAND = list(range(1000))
LONG = "x" * 900_000


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("inputs.l.map(a, inputs.l.map(b, inputs.l.map(c, c)))", "too much work"),
        ("inputs.l.all(a, inputs.l.all(b, " + "1 + " * 900 + "1 > 0))", "too much work"),
        ("inputs.l.exists(a, inputs.l.exists(b, inputs.l.exists(c, false)))", "too much work"),
        ("[1, 1]" + ".map(a, [a, a])" * 200, "nested more than"),
        ("[1, 1]" + ".map(a, [a, a])" * 60, "too much work"),
        ("[1, 1]" + ".map(a, [a, a])" * 60 + " == [1, 1]" + ".map(a, [a, a])" * 60, "too much work"),
        ("[1, 1]" + ".map(a, [a, a])" * 60 + " in [[1, 1]" + ".map(a, [a, a])" * 60 + "]", "too much work"),
        ("inputs.t + inputs.t", "longer than 1,000,000"),
        ("['x']" + ".map(a, a.replace('x', 'xx'))" * 30, "longer than"),
        ("[inputs.t, inputs.t].join()", "longer than"),
        ("inputs.l.map(a, inputs.t.split(''))", "too much work"),
        ("inputs.l.map(a, inputs.t.lowerAscii())", "too much work"),
        ("inputs.l.map(a, inputs.t.matches('(x+x+)+y'))", "too much work"),
        ("inputs.l.map(a, inputs.t.contains('y'))", "too much work"),
        ("inputs.l.map(a, inputs.t == inputs.t + '')", "too much work"),
        ("[inputs.t, inputs.t, inputs.t, inputs.t, inputs.t]", "larger than"),
        ("[[inputs.t, inputs.t, inputs.t, inputs.t, inputs.t]][0]", "larger than"),
        ("'a'.matches('" + "(a|b)" * 300 + "')", "at most 1000"),
        ("false || " * 300 + "inputs.l.all(a, inputs.l.all(b, true))", "too much work"),
    ],
)
def test_hostile_expressions_end_soon(source: str, part: str) -> None:
    expression = compile_expression(source)
    began = time.thread_time()
    with pytest.raises(ExpressionError) as caught:
        expression.evaluate({"inputs": {"l": THOUSAND, "t": LONG}})
    assert part in caught.value.message
    assert time.thread_time() - began < 1.5  # of CPU; tens of milliseconds in fact


@pytest.mark.parametrize(
    "source",
    [
        '"' + "\\\\" * 60,  # a minute and more in cel-python's lexer
        "r'" + "\\" * 61,
        "'" + "\\'" * 500,
        "(" * 100 + "1" + ")" * 100,
        "[" * 100 + "]" * 100,
        "a(" * 100,
        "{'a':" * 100,
        "x" * 5000,
    ],
)
def test_hostile_sources_are_refused_soon(source: str) -> None:
    began = time.thread_time()
    with pytest.raises(ExpressionError):
        compile_expression(source)
    assert time.thread_time() - began < 0.5


def test_long_chains_are_no_nesting() -> None:
    assert value("1" + "+1" * 1900) == 1901
    assert value("!" * 3000 + "true") is True
    assert value("false" + "||false" * 400) is False
    assert compile_expression("inputs" + ".a" * 1900).references == {"inputs.a"}


def test_the_deepest_nesting_that_is_allowed_fits_the_stack() -> None:
    """Every level with every operator around it, called from a stack that is already deep."""
    level = "(true ? !(false || true && {{}} == {{}} && [{0}].map(x, [x][0])[0] + 1 - 0 * 2 >= 0) ? 2 : 3 : 4)"
    nested = "1"
    for _ in range(4):  # four levels of nesting each, of the twenty that are allowed
        nested = level.format(nested)
    limit = sys.getrecursionlimit()

    def deep(frames: int) -> Any:
        return deep(frames - 1) if frames else compile_expression(nested).evaluate({})

    assert limit >= 1000
    assert deep(300) == 3


def test_one_meter_bounds_several_evaluations() -> None:
    expression = compile_expression("inputs.l.map(a, a)")
    meter = Meter()
    with pytest.raises(ExpressionError, match="too much work"):
        [expression.evaluate({"inputs": {"l": THOUSAND}}, meter) for _ in range(100)]
    assert expression.evaluate({"inputs": {"l": THOUSAND}}) == THOUSAND


def test_a_template_bounds_all_its_expressions_together() -> None:
    template = compile_template("{{ inputs.l.map(a, a) }}" * 100)
    with pytest.raises(ExpressionError, match="too much work"):
        template.render({"inputs": {"l": THOUSAND}})
    with pytest.raises(ExpressionError, match="longer than"):
        compile_template("{{ inputs.t }}" * 5).render({"inputs": {"t": LONG}})
    with pytest.raises(ExpressionError, match="at most 500"):
        compile_template("{{ 1 }}" * 600)
