"""Moments and lengths between Python and the contract."""

from datetime import datetime, timedelta, timezone

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from haltline.times import instant_ns, read_duration_ns, read_instant, rfc3339, timestamp

from tests.client.conftest import UTC


def test_an_instant_is_exact() -> None:
    """A datetime counts in microseconds and an int in nanoseconds, without a float between."""
    moment = datetime(2008, 9, 15, 9, 30, 0, 123_457, tzinfo=timezone(timedelta(hours=-4)))
    assert rfc3339(instant_ns("now", moment)) == "2008-09-15T13:30:00.123457000Z"
    assert rfc3339(1_221_485_400_000_000_001) == "2008-09-15T13:30:00.000000001Z"


def test_a_moment_without_zone_is_refused() -> None:
    """A datetime that does not know its zone is a ValueError with the way out."""
    with pytest.raises(ValueError, match="has no zone"):
        instant_ns("good_till", datetime(2008, 9, 15))  # noqa: DTZ001 -- the case


@pytest.mark.parametrize("moment", [-1, 253_402_300_800 * 10**9])
def test_a_moment_outside_the_contract_is_refused(moment: int) -> None:
    """Before 1970 and after 9999 there are no moments."""
    with pytest.raises(ValueError, match="between 1970 and 9999"):
        timestamp("venue_time", moment)


@pytest.mark.parametrize(
    ("duration", "nanoseconds"),
    [
        (Duration(seconds=10), 10_000_000_000),
        (Duration(nanos=1), 1),
        (Duration(), None),
        (Duration(seconds=-1), None),
        (Duration(seconds=1, nanos=-1), None),
        (Duration(nanos=1_000_000_000), None),
        (Duration(seconds=315_576_000_001), None),
    ],
)
def test_a_duration_that_is_not_positive_is_none(
    duration: Duration, nanoseconds: int | None
) -> None:
    """A malformed, negative or empty length says nothing, so nothing is valid for it (S15)."""
    assert read_duration_ns(duration) == nanoseconds


def test_a_timestamp_beyond_datetime_is_none() -> None:
    """`expires_at` is for people: a malformed one is merely not shown."""
    assert read_instant(Timestamp(seconds=2**62)) is None
    assert read_instant(Timestamp(seconds=1)) == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
