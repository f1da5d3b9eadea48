"""One text form of a time."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from yingbi.clock import TIME_PATTERN, Clock, FixedClock, SystemClock, format_time, parse_time
from yingbi.errors import ErrorCode, InvalidRequestError

times = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001


@given(times)
@example(datetime(1, 1, 2, tzinfo=UTC))
@example(datetime(999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
@example(datetime(2026, 11, 21, tzinfo=UTC))
def test_times_round_trip(at: datetime) -> None:
    text = format_time(at)
    assert re.fullmatch(TIME_PATTERN, text)
    assert parse_time(text) == at
    assert parse_time(text).tzinfo is UTC


@given(times, times)
def test_texts_sort_as_times_do(one: datetime, other: datetime) -> None:
    assert (format_time(one) < format_time(other)) is (one < other)


def test_other_zones_are_converted() -> None:
    at = datetime(2026, 11, 21, 16, 0, tzinfo=timezone(timedelta(hours=8)))
    assert format_time(at) == "2026-11-21T08:00:00.000000Z"


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(InvalidRequestError):
        format_time(datetime(2026, 11, 21))  # noqa: DTZ001


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-21",
        "2026-11-21T08:00:00Z",
        "2026-11-21T08:00:00.000Z",
        "2026-11-21T08:00:00.0000000Z",
        "2026-11-21T08:00:00.000000",
        "2026-11-21T08:00:00.000000z",
        "2026-11-21t08:00:00.000000Z",
        "2026-11-21 08:00:00.000000Z",
        "2026-11-21T08:00:00.000000+00:00",
        "2026-11-21T08:00:00,000000Z",
        "2026-11-21T8:00:00.000000Z",
        "2026-11-21T08:00:00.000000Z\n",
        " 2026-11-21T08:00:00.000000Z",
        "+2026-11-21T08:00:00.000000Z",
        "02026-11-21T08:00:00.000000Z",
        "20261121T080000.000000Z",
        "２０２６-11-21T08:00:00.000000Z",
        "٢٠٢٦-11-21T08:00:00.000000Z",
    ],
)
def test_other_forms_are_refused(text: str) -> None:
    assert not re.fullmatch(TIME_PATTERN, text)
    with pytest.raises(InvalidRequestError) as caught:
        parse_time(text)
    assert caught.value.code is ErrorCode.JSON_MALFORMED


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29T08:00:00.000000Z",
        "2026-13-01T08:00:00.000000Z",
        "2026-00-01T08:00:00.000000Z",
        "2026-11-00T08:00:00.000000Z",
        "2026-11-31T08:00:00.000000Z",
        "2026-11-21T24:00:00.000000Z",
        "2026-11-21T08:60:00.000000Z",
        "2026-11-21T08:00:60.000000Z",
        "2026-11-21T08:00:61.000000Z",
        "0000-11-21T08:00:00.000000Z",
    ],
)
def test_times_that_do_not_exist_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse_time(text)


@given(st.text(max_size=30) | st.from_regex(TIME_PATTERN, fullmatch=True))
def test_whatever_parses_formats_to_itself(text: str) -> None:
    try:
        at = parse_time(text)
    except InvalidRequestError:
        return
    assert format_time(at) == text


def test_clocks() -> None:
    fixed = FixedClock(datetime(2026, 11, 21, tzinfo=UTC))
    assert fixed.now() == fixed.now() == datetime(2026, 11, 21, tzinfo=UTC)
    fixed.at += timedelta(seconds=1)
    assert fixed.now().second == 1
    system: Clock = SystemClock()
    before, now, after = datetime.now(UTC), system.now(), datetime.now(UTC)
    assert before <= now <= after
    assert now.utcoffset() == timedelta(0)
