"""Both parsers: what they take, and that whatever they refuse is refused quickly and with a line."""

import time
from collections.abc import Callable

import pytest

from services.workflows.crewai_format.errors import ProjectError
from services.workflows.crewai_format.jsonc_tree import parse_jsonc
from services.workflows.crewai_format.tree import Node
from services.workflows.crewai_format.yaml_tree import parse_yaml

Parser = Callable[[str, str], Node]


def complaint(parse: Parser, text: str) -> str:
    started = time.monotonic()
    with pytest.raises(ProjectError) as caught:
        parse(text, "crew")
    assert time.monotonic() - started < 2
    return str(caught.value)


def test_yaml_reads_what_crewai_projects_use() -> None:
    text = """
common: &common
  verbose: yes
  tools: [a, 'b']
writer:
  <<: *common
  role: >
    Writer of
    texts
  max_iter: 5
  temperature: .5
  since: 2024-01-02
  tools: []
  nothing:
"""
    writer = parse_yaml(text, "agents.yaml").plain()["writer"]
    assert writer == {
        "verbose": True,
        "tools": [],
        "role": "Writer of texts\n",
        "max_iter": 5,
        "temperature": 0.5,
        "since": "2024-01-02",
        "nothing": None,
    }


def test_yaml_knows_the_line_of_every_value() -> None:
    root = parse_yaml("a: 1\nb:\n  - x\n  - y: z\n", "f").value
    assert isinstance(root, dict)
    items = root["b"].value
    assert isinstance(items, list)
    assert [root["a"].line, *(item.line for item in items)] == [1, 3, 4]


ALIAS_BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
NESTED_BY_ALIAS = "a0: &a0 x\n" + "".join(f"a{i + 1}: &a{i + 1} [[[[[[[[*a{i}]]]]]]]]\n" for i in range(30))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ALIAS_BOMB, "crew:5: holds more than 20000 values"),
        (NESTED_BY_ALIAS, "nested more than 32 levels deep"),
        ("[" * 200_000, "crew:1: is nested more than 32 levels deep"),
        ("a: &a [*a]", "crew:1: the alias *a names nothing complete before it"),
        ("a: 1\nb: *nowhere", "crew:2: the alias *nowhere"),
        ("a: !!python/object/apply:os.system ['id']", "is not allowed"),
        ("a: !!python/name:os.system ''", "is not allowed"),
        ("a: !!binary aGk=", "is not allowed"),
        ("a: 1\na: 2", "crew:2: 'a' is given twice"),
        ("? [a, b]\n: 1", "crew:1: a key must be text"),
        ("- &a 1\n- {*a : 2}", "crew:2: a key must be text"),
        ("a: 1\n---\nb: 1", "crew:2: holds more than one document"),
        ("<<: 1", "'<<' takes a mapping"),
        ("a: b: c", "crew:1: is not valid YAML"),
        ("a: '", "crew:1: is not valid YAML"),
        ('a: "\\0"', "crew:1: text holds a NUL character"),
        ("a: \ud800", "half a surrogate pair"),
        ("\t", "is not valid YAML"),
        ("%YAML 9.9\n---\na: 1", "is not valid YAML"),
    ],
)
def test_yaml_refuses(text: str, message: str) -> None:
    assert message in complaint(parse_yaml, text)


def test_yaml_keeps_numbers_that_json_could_not_carry_as_text() -> None:
    text = f"a: {'9' * 30}\nb: {'9' * 5000}\nc: 1_000\nd: 0x10\ne: .inf\nf: 1:30"
    assert parse_yaml(text, "f").plain() == {
        "a": "9" * 30,
        "b": "9" * 5000,
        "c": "1_000",
        "d": "0x10",
        "e": ".inf",
        "f": "1:30",
    }


def test_an_empty_document_is_nothing() -> None:
    assert parse_yaml("", "f").plain() is None
    assert parse_yaml("# only a comment\n", "f").plain() is None


def test_jsonc_reads_comments_and_trailing_commas() -> None:
    text = """\ufeff{
  // "not": this,
  "url": "https://x.test/*y*/", /* nor
  this */ "list": [1, -2.5e1, true, null,],
  "text": "a \\"b\\" \\u00e9 \\ud83d\\ude00 // c",
}"""
    assert parse_jsonc(text, "crew.jsonc").plain() == {
        "url": "https://x.test/*y*/",
        "list": [1, -25.0, True, None],
        "text": 'a "b" é 😀 // c',
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ends where a value was expected"),
        ("{", "a key in double quotes was expected"),
        ('{"a" 1}', "':' was expected"),
        ('{"a": 1 "b": 2}', "',' or '}' was expected"),
        ('{"a": 1,\n "a": 2}', "crew:2: is not valid JSON: 'a' is given twice"),
        ("[,]", "',' starts no JSON value"),
        ("[1]\n 2", "crew:2: is not valid JSON: something follows"),
        ("nul", "'n' starts no JSON value"),
        ("NaN", "'N' starts no JSON value"),
        ("01", "something follows"),
        ("1e999", "too large a number"),
        ("9" * 30, "too large a number"),
        ("9" * 5000, "more than 40 characters"),
        ('"a\nb"', "is not closed, or holds a control character"),
        ('"\\x"', "an escape that JSON does not know"),
        ('"\\ud800"', "half a surrogate pair"),
        ('"\\u0000"', "NUL"),
        ("/* *", "a comment is not closed"),
        ("[" * 200_000, "nested more than 32 levels deep"),
        ('"' + "\\" * 200_001, "is not closed"),
        ('"' + "a" * 200_000, "is not closed"),
        ("/*" + "*" * 200_000, "a comment is not closed"),
        ("[" + "0," * 30_000 + "]", "holds more than 20000 values"),
    ],
)
def test_jsonc_refuses(text: str, message: str) -> None:
    assert message in complaint(parse_jsonc, text)
