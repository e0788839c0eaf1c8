"""The small parts on their own, where a provider cannot easily be made to show the case."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.llm.deltas import ResumingSink
from shared.llm.errors import ProviderError, from_status, parse_retry_after
from shared.llm.prices import default_context_window, known_model, price_of
from shared.llm.providers.answer_stream import AnswerStream
from shared.llm.providers.sse import SseParser
from shared.llm.retry import RetryPolicy
from shared.llm.settings import Provider
from shared.llm.types import Delta
from tests.llm.conftest import Watcher


def pieces(text: str, cuts: list[int]) -> list[str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in pairwise(places)]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"))), st.lists(st.integers(0)))
def test_events_survive_any_cut(payloads: list[str], cuts: list[int]) -> None:
    text = "".join(f": comment\r\ndata: {payload}\r\n\r\n" for payload in payloads).encode()
    parser = SseParser()
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    found = [event for a, b in pairwise(places) for event in parser.feed(text[a:b])]
    assert found == [payload.encode() for payload in payloads]


@given(st.text(st.characters(codec="utf-8")), st.lists(st.integers(0)), st.booleans())
def test_a_final_answer_is_read_out_of_partial_json(text: str, cuts: list[int], ascii_only: bool) -> None:
    choice = json.dumps({"name": "final_answer", "arguments": {"text": text}}, ensure_ascii=ascii_only)
    watcher = Watcher()
    stream = AnswerStream(watcher)
    for piece in pieces(choice, cuts):
        stream.take(Delta("message", piece))
    assert watcher.text() == text


def test_a_tool_choice_shows_nothing() -> None:
    watcher = Watcher()
    stream = AnswerStream(watcher)
    stream.take(Delta("message", '{"name": "get_weather", "arguments": {"text": "hidden"}}'))
    assert watcher.deltas == []


@given(st.text(), st.text(), st.lists(st.integers(0)), st.integers(0))
def test_a_watcher_sees_a_repeated_start_once(shown: str, rest: str, cuts: list[int], cut: int) -> None:
    watcher = Watcher()
    sink = ResumingSink(watcher)
    first = sink.begin()
    first(Delta("message", shown))
    second = sink.begin()
    for piece in pieces(shown + rest, cuts):
        second(Delta("message", piece))
    assert watcher.text() == shown + rest


def test_a_retry_that_says_something_else_is_not_shown() -> None:
    watcher = Watcher()
    sink = ResumingSink(watcher)
    sink.begin()(Delta("message", "The answer is"))
    second = sink.begin()
    for piece in ("The ", "result", " is", " 42"):
        second(Delta("message", piece))
    second(Delta("reasoning", "hm"))
    assert watcher.text() == "The answer is"
    assert watcher.text("reasoning") == "hm"


def test_retry_after_in_both_forms() -> None:
    assert parse_retry_after("1.5") == 1.5
    assert parse_retry_after("-3") == 0
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert parse_retry_after(soon) == pytest.approx(60, abs=2)
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    for nonsense in (None, "", "soon", "nan", "inf", "1e999"):
        assert parse_retry_after(nonsense) is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "no"}}', ": no"),
        (b'{"error": "no"}', ": no"),
        (b'{"message": "no"}', ": no"),
        (b'[{"error": {"message": "no"}}]', ": no"),
        (b"<html>no</html>", ""),
        (b'{"error": {"code": 5}}', ""),
        (b"[]", ""),
        (b"\xff", ""),
        (b'{"error": {"message": "' + b"x" * 1000 + b'"}}', ": " + "x" * 300),
    ],
)
def test_what_a_provider_says_is_shown_in_short(body: bytes, said: str) -> None:
    assert str(from_status("acme", 400, body, None, secret=None)) == f"acme: answered 400{said}"


def test_pauses_grow_and_keep_to_their_bounds() -> None:
    policy = RetryPolicy(attempts=5, base=1, longest=3)
    down = ProviderError("acme", "down", code="provider_unavailable", retryable=True)
    for attempt, expected in ((1, 1), (2, 2), (3, 3), (4, 3)):
        pauses = [policy.pause(down, attempt) or 0 for _ in range(200)]
        assert expected * 0.5 <= min(pauses) < max(pauses) <= expected * 1.5
    assert policy.pause(down, 5) is None


def test_prices_of_known_models_and_their_overrides() -> None:
    assert price_of(Provider.OPENAI, "gpt-4o-mini-2024-07-18", None, None).input == Decimal("0.15")
    assert price_of(Provider.OPENAI, "gpt-4o-2024-11-20", None, None).output == Decimal(10)
    assert price_of(Provider.GOOGLE, "models/gemini-2.5-flash-lite", None, None).output == Decimal("0.40")
    assert price_of(Provider.OPENAI, "gpt-4o", Decimal(1), None) == price_of(
        Provider.OPENAI, "gpt-4o", Decimal(1), Decimal(10)
    )
    assert price_of(Provider.OPENAI_COMPATIBLE, "gpt-4o", None, None).input == 0
    assert known_model(Provider.OPENAI, "gpt-4omega") is None
    assert default_context_window(Provider.ANTHROPIC, "claude-sonnet-4-5-20250929") == 200_000
    assert default_context_window(Provider.LOCAL, "anything") == 8192
