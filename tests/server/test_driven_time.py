"""The time a call carries under a driven clock is RFC 3339 and nothing looser (S2.5)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.server.driven_time import read_rfc3339


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2007-01-03T14:30:00Z", 1_167_834_600_000_000_000),
        ("2007-01-03t09:30:00.5-05:00", 1_167_834_600_500_000_000),
        ("2007-01-03T14:30:00.000000001z", 1_167_834_600_000_000_001),
    ],
)
def test_a_time_is_read_to_the_nanosecond(text: str, expected: int) -> None:
    """Fractions and offsets count; nothing is rounded (S2.5)."""
    assert read_rfc3339(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2007-01-03",
        "2007-01-03 14:30:00Z",
        "2007-01-03T14:30:00",
        "2007-13-03T14:30:00Z",
        "2007-01-03T24:30:00Z",
        "2007-01-03T14:30:60Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+00:01",
        "2007-01-03T14:30:00.1234567890Z",
        "\u0662007-01-03T14:30:00Z",
        "2007-01-03T14:30:00+24:00",
        "0001-01-01T00:00:00+23:59",
        "2256-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """A time that cannot be meant is refused with an example of one that can (S2.5)."""
    with pytest.raises(ValueError, match="2007-01-03T14:30:00Z"):
        read_rfc3339(text)


@given(st.integers(min_value=0, max_value=200 * 365 * 86_400_000_000))
def test_every_time_python_writes_is_read_back(microseconds: int) -> None:
    """Writing and reading a time gives the same instant."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    assert read_rfc3339(at.isoformat()) == microseconds * 1_000
