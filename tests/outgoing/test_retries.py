"""When a message is sent again, and when it is given up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.outgoing import retries
from sidecar.outgoing.retries import (
    DELAY_SECONDS_MAX,
    DELAY_SECONDS_MIN,
    RETRY_AFTER_SECONDS_MAX,
    Answer,
    Outcome,
    answer_of_status,
    delay_seconds,
    is_at_end,
    read_retry_after,
)

FAILED = Answer(outcome=Outcome.FAILED, detail="status 500")


@pytest.mark.parametrize(
    ("tries_count", "longest"),
    [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (11, 300), (10_000, 300)],
)
def test_the_wait_is_a_random_part_of_a_doubling_time(tries_count: int, longest: float) -> None:
    """One second, two, four and so on up to five minutes; never none at all."""
    assert delay_seconds(tries_count, FAILED, 1.0) == longest
    assert delay_seconds(tries_count, FAILED, 0.5) == longest / 2
    assert delay_seconds(tries_count, FAILED, 0.0) == DELAY_SECONDS_MIN


@given(
    tries_count=st.integers(1, 10**9),
    chance=st.floats(0, 1),
    asked=st.none() | st.floats(0, 1e12),
)
def test_no_wait_is_out_of_bounds(tries_count: int, chance: float, asked: float | None) -> None:
    """Whatever a receiver asks for, it is tried again within the hour."""
    answer = Answer(outcome=Outcome.LIMITED, detail="", retry_after_seconds=asked)
    wait = delay_seconds(tries_count, answer, chance)
    assert DELAY_SECONDS_MIN <= wait <= max(DELAY_SECONDS_MAX, RETRY_AFTER_SECONDS_MAX)
    if asked is not None:
        assert wait >= min(asked, RETRY_AFTER_SECONDS_MAX)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None),
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("9" * 400, RETRY_AFTER_SECONDS_MAX),
        ("-1", None),
        ("1.5", None),
        ("\u0661", None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 60.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:02:00", 60.0),
        ("Thu, 99 Jan 1970 00:02:00 GMT", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_forms(text: str, seconds: float | None) -> None:
    """Seconds or a date; what is neither says nothing. The time is one minute past the epoch."""
    assert read_retry_after(text, 60.0) == seconds


@given(st.text(max_size=200))
def test_no_retry_after_raises(text: str) -> None:
    """It is a stranger's text."""
    seconds = read_retry_after(text, 1_700_000_000.0)
    assert seconds is None or seconds >= 0


@given(st.integers(0, 10_000))
def test_every_status_means_something(status: int) -> None:
    """Delivered is 2xx alone."""
    outcome = answer_of_status(status).outcome
    assert (outcome is Outcome.DELIVERED) is (200 <= status < 300)
    assert (outcome is Outcome.GONE) is (status == 410)


@pytest.mark.parametrize(
    ("tried", "age", "ends"),
    [
        (0.0, 0.0, False),
        (99.9, 99.9, False),
        (100.0, 0.0, True),
        (0.0, 100.0, True),
        (0.0, -5.0, False),
    ],
)
def test_a_message_ends_when_it_was_tried_or_is_old_enough(
    tried: float, age: float, ends: bool
) -> None:
    """At the bound it ends; a clock that was set back keeps nothing alive for ever."""
    assert is_at_end(tried_seconds=tried, age_seconds=age, give_up_seconds=100.0) is ends


def test_the_tables_name_what_they_bound() -> None:
    """The figures of docs/limits.md are these."""
    assert retries.FIRST_DELAY_SECONDS < DELAY_SECONDS_MAX < RETRY_AFTER_SECONDS_MAX
