"""When schedules fire: what a cron expression may say, clocks that are put forward and back, and missed times."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile

import pytest

from shared.triggers.schedule import (
    MOST_MADE_UP,
    CronInvalid,
    Missed,
    Schedule,
    TimeZoneUnknown,
    check_cron,
    check_time_zone,
    time_zones,
    to_fire,
)

BERLIN = "Europe/Berlin"


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("", "five fields"),
        ("* * * *", "here are 4"),
        ("* * * * * *", "here are 6"),
        ("@daily", "here are 1"),
        ("60 * * * *", "the minute is wrong: '60'"),
        ("*/0 * * * *", "the minute"),
        ("5-1 * * * *", "the minute"),
        ("1,,2 * * * *", "the minute"),
        ("٣ * * * *", "the minute"),
        ("* 24 * * *", "the hour"),
        ("* * 0 * *", "the day of the month"),
        ("* * 32 * *", "the day of the month"),
        ("* * * 13 *", "the month"),
        ("* * * MAI *", "the month"),
        ("* * * * 8", "the day of the week"),
        ("* * * * MON#6", "the day of the week"),
        ("* * * * 5L/2", "the day of the week"),
        ("0 0 30 2 *", "never fires"),
        ("0 0 */31 2 MON#5", "never fires"),
        ("0 " * 200, "at most 200"),
    ],
)
def test_nonsense_is_refused_with_the_field_that_is_wrong(cron: str, said: str) -> None:
    with pytest.raises(CronInvalid, match=said):
        check_cron(cron)


@pytest.mark.parametrize(
    "cron", ["* * * * *", "0 9 * * mon-fri", "*/15 8-18 1,15 JAN-JUN *", "0 0 L * *", "0 0 * * 1#1"]
)
def test_names_ranges_steps_and_lists_are_taken(cron: str) -> None:
    assert check_cron(f"  {cron}  ") == cron


@pytest.mark.parametrize("name", ["Berlin", "", "../etc/passwd", "/etc/localtime", "localtime", "Europe", "a\x00b"])
def test_what_is_no_time_zone(name: str) -> None:
    with pytest.raises(TimeZoneUnknown):
        check_time_zone(name)
    assert {"UTC", BERLIN, "America/New_York", "Australia/Lord_Howe"} <= time_zones()


def test_a_fixed_time_that_is_left_out_fires_when_the_clocks_go_on() -> None:
    """On 28 March 2027 it is 3:00 right after 1:59."""
    times = Schedule("30 2 * * *", BERLIN).upcoming(utc(2027, 3, 26, 12), 3)
    assert times == [utc(2027, 3, 27, 1, 30), utc(2027, 3, 28, 1, 0), utc(2027, 3, 29, 0, 30)]


def test_a_fixed_time_that_comes_twice_fires_once() -> None:
    """On 25 October 2026 it is 2:00 again after 2:59."""
    schedule = Schedule("30 2 * * *", BERLIN)
    assert schedule.upcoming(utc(2026, 10, 24, 12), 2) == [utc(2026, 10, 25, 0, 30), utc(2026, 10, 26, 1, 30)]
    # Asked in the second of the two hours, it does not look back into the first.
    assert schedule.after(utc(2026, 10, 25, 1, 10)) == utc(2026, 10, 26, 1, 30)


@pytest.mark.parametrize("day", [utc(2027, 3, 28), utc(2026, 10, 25)])
def test_every_quarter_of_an_hour_is_by_elapsed_time(day: datetime) -> None:
    start = day - timedelta(hours=1)
    times = Schedule("*/15 * * * *", BERLIN).upcoming(start, 30)
    assert times == [start + timedelta(minutes=15 * (each + 1)) for each in range(30)]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Pacific/Chatham", "UTC"])
@pytest.mark.parametrize("cron", ["30 2 * * *", "*/20 * * * *", "0 0,3 * * SUN", "15 1-3 * * *", "0 * * * *"])
def test_where_one_asks_from_makes_no_difference(cron: str, zone: str) -> None:
    """The times around the days on which clocks change are, walked through, those that each moment leads to."""
    schedule = Schedule(cron, zone)
    for start in (utc(2026, 9, 24), utc(2026, 10, 22), utc(2027, 3, 11), utc(2027, 3, 25)):
        times = list(takewhile(lambda moment, end=start + timedelta(days=12): moment < end, schedule.times(start)))
        assert times == sorted(set(times))
        for earlier, later in pairwise(times):
            assert schedule.after(earlier) == later
            assert schedule.after(later - timedelta(microseconds=1)) == later


def test_what_is_due_is_found_from_the_end() -> None:
    minutely, now = Schedule("* * * * *", BERLIN), utc(2027, 6, 1, 12, 0, 30)
    assert minutely.due(now - timedelta(seconds=30), now) == [utc(2027, 6, 1, 12)]
    after_a_year = minutely.due(utc(2026, 6, 1), now)
    assert len(after_a_year) > MOST_MADE_UP
    assert after_a_year[-1] == utc(2027, 6, 1, 12)
    yearly = Schedule("0 0 1 1 *", "UTC")
    assert yearly.due(utc(2025, 1, 1), now) == [utc(2025, 1, 1), utc(2026, 1, 1), utc(2027, 1, 1)]


def test_what_becomes_of_missed_times() -> None:
    now = utc(2027, 6, 1, 12, 0, 30)
    hours = [utc(2027, 6, 1, hour) for hour in range(6, 13)]
    assert to_fire(hours, now, Missed.SKIP) == hours[-1:]  # half a minute ago is on time
    assert to_fire(hours, now, Missed.LAST) == hours[-1:]
    assert to_fire(hours, now, Missed.ALL) == hours
    later = now + timedelta(minutes=10)
    assert list(to_fire(hours, later, Missed.SKIP)) == []
    assert to_fire(hours, later, Missed.LAST) == hours[-1:]
    many = [now - timedelta(minutes=each) for each in range(500, 0, -1)]
    assert to_fire(many, now, Missed.ALL) == many[-MOST_MADE_UP:]
