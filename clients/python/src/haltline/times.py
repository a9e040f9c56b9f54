"""Instants and durations between Python and the contract.

Rules:
- Inside the client a moment or a length is an int of nanoseconds; datetimes are for people and
  must know their zone.
- A duration from the wire that is malformed is None, and whoever reads it fails closed.
"""

from datetime import datetime, timedelta, timezone

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

SECOND_NS = 1_000_000_000

Instant = datetime | int

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 -- Python 3.10 has no datetime.UTC
_DURATION_SECONDS_MAX = 315_576_000_000  # the contract's own bound: 10,000 years
_INSTANT_NS_MAX = 253_402_300_800 * SECOND_NS  # the year 9999 is the contract's last


def instant_ns(name: str, moment: Instant) -> int:
    """Return nanoseconds since 1970 in UTC; an int already is that. Exact to the microsecond.

    Raises:
        ValueError: the datetime has no zone, or the moment is outside the years 1970 to 9999.
    """
    if isinstance(moment, int):
        nanoseconds = moment
    elif moment.tzinfo is None:
        raise ValueError(f"{name}: {moment!r} has no zone (write tzinfo=timezone.utc)")
    else:
        nanoseconds = (moment - _EPOCH) // timedelta(microseconds=1) * 1_000
    if not 0 <= nanoseconds < _INSTANT_NS_MAX:
        raise ValueError(f"{name}: must lie between 1970 and 9999, was {nanoseconds} ns")
    return nanoseconds


def timestamp(name: str, moment: Instant | None) -> Timestamp | None:
    """Return the contract's timestamp of a moment, or None where there is none."""
    if moment is None:
        return None
    seconds, nanos = divmod(instant_ns(name, moment), SECOND_NS)
    return Timestamp(seconds=seconds, nanos=nanos)


def rfc3339(nanoseconds: int) -> str:
    """Return a moment as the metadata `haltline-time` wants it, exact to the nanosecond."""
    seconds, nanos = divmod(nanoseconds, SECOND_NS)
    day = _EPOCH + timedelta(seconds=seconds)
    return f"{day:%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"


def read_instant(moment: Timestamp) -> datetime | None:
    """Return a timestamp for people, or None where it lies outside what a datetime can say."""
    try:
        return _EPOCH + timedelta(seconds=moment.seconds, microseconds=moment.nanos // 1_000)
    except OverflowError:
        return None


def read_duration_ns(duration: Duration) -> int | None:
    """Return a positive duration in ns, or None where it is malformed or not positive."""
    if not 0 <= duration.seconds <= _DURATION_SECONDS_MAX or not 0 <= duration.nanos < SECOND_NS:
        return None
    return duration.seconds * SECOND_NS + duration.nanos or None
