"""A model's answer against a user's schema: neither of them can hold the worker."""

import time

import pytest

from services.orchestration.runtimes.crewai.structured import NOT_GIVEN, read_answer


@pytest.mark.parametrize("text", ['{"a": 1}', '```json\n{"a": 1}\n```'])
def test_an_answer_that_fits_is_read(text: str) -> None:
    assert read_answer(text, {"type": "object", "properties": {"a": {"type": "integer"}}}) == {"a": 1}
    assert read_answer(text, {"type": "object", "properties": {"a": {"type": "string"}}}) is NOT_GIVEN


def test_patterns_do_not_backtrack() -> None:
    began = time.thread_time()
    assert read_answer(f'"{"a" * 28}b"', {"pattern": "^(a+)+$"}) is NOT_GIVEN
    assert time.thread_time() - began < 1
