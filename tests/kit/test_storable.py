import math
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from shared.kit.storable import TOO_DEEP, dump_storable, storable


def _nested(depth: int) -> Any:
    value: Any = "core"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "held"),
    [
        ("plain", "plain"),
        ("a\x00b", "a\\u0000b"),
        ("half \ud83d", "half \\ud83d"),
        ({"k\x00": ["\udc80", 1, None]}, {"k\\u0000": ["\\udc80", 1, None]}),
        ({1: math.nan, "deep": (math.inf, "\x00")}, {"1": None, "deep": [None, "\\u0000"]}),
        ("a backslash u0000 that was typed: \\u0000", "a backslash u0000 that was typed: \\u0000"),
    ],
)
def test_odd_text_is_written_out(value: Any, held: Any) -> None:
    assert storable(value) == held
    assert orjson.loads(dump_storable(value)) == held


def test_ordinary_values_are_not_copied() -> None:
    value = {"text": "wörds", "numbers": [1, 2.5]}
    assert storable(value) is value


def test_an_integer_of_any_size_is_kept() -> None:
    assert dump_storable({"n": 10**30}) == b'{"n":1000000000000000000000000000000}'


def test_times_look_the_same_beside_odd_text() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert dump_storable([moment]) == b'["2026-01-02T03:04:05+00:00"]'
    assert dump_storable([moment, 10**30]).startswith(b'["2026-01-02T03:04:05+00:00",')


def test_nesting_without_end_is_cut_off() -> None:
    text = dump_storable(_nested(5000))
    assert TOO_DEEP.encode() in text
    assert orjson.loads(text) == storable(_nested(5000))
