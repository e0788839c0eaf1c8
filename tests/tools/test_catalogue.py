import json
import re
from datetime import UTC, datetime

import jsonschema
import pytest

from shared.tools import time as tool_time
from shared.tools.catalogue import CATALOGUE
from shared.tools.errors import ToolInputError
from shared.tools.text import text_statistics
from shared.tools.time import current_time


@pytest.mark.parametrize("tool", CATALOGUE.values(), ids=CATALOGUE)
def test_each_tool_can_be_offered_to_any_model(tool) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,63}", tool.name)
    assert tool.title
    assert tool.description.endswith(".")
    jsonschema.Draft202012Validator.check_schema(tool.parameters)
    assert tool.parameters["additionalProperties"] is False
    for argument in tool.parameters["properties"].values():
        assert argument["description"]


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ToolInputError, match=r"query: 5 is not of type 'string'; top_k: 0 is less than"):
        CATALOGUE["knowledge_search"].check({"query": 5, "top_k": 0})
    with pytest.raises(ToolInputError, match=r"arguments: 'text' is a required property"):
        CATALOGUE["text_statistics"].check({})
    with pytest.raises(ToolInputError, match="Additional properties"):
        CATALOGUE["current_time"].check({"zone": "UTC"})


def test_a_long_wrong_argument_is_not_repeated_in_full() -> None:
    with pytest.raises(ToolInputError) as refused:
        CATALOGUE["calculator"].check({"expression": "1" * 100_000})
    assert len(str(refused.value)) < 300


def test_the_time_is_told_in_a_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_time, "utcnow", lambda: datetime(2026, 1, 4, 23, 30, 5, tzinfo=UTC))
    assert current_time() == "2026-01-04T23:30:05+00:00 (Sunday)"
    assert current_time("Europe/Berlin") == "2026-01-05T00:30:05+01:00 (Monday)"


@pytest.mark.parametrize("zone", ["Nowhere/Land", "", "../../etc/passwd", "\0", "tzdata.zi"])
def test_an_unknown_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(ToolInputError, match="not a known time zone"):
        current_time(zone)


def test_a_text_is_counted() -> None:
    assert json.loads(text_statistics("Ein Wort,\nzwei Wörter.\n\nEnde\n")) == {
        "characters": 29,
        "characters_without_spaces": 23,
        "words": 5,
        "lines": 4,
        "paragraphs": 2,
    }
    assert json.loads(text_statistics(""))["paragraphs"] == 0
