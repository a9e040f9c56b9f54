"""Reads the time a call carries under a driven clock (S2.5): RFC 3339, and nothing looser.

Rules: nanoseconds are kept; a leap second is refused, and so is a time after 2255, which the clock
could never leave again.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from sidecar.clock import TIME_NS_MAX

TIME_KEY: Final = "haltline-time"
_DAY_SECONDS: Final = 86_400
_SECOND_NS: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def read_rfc3339(text: str) -> int:
    """Return nanoseconds since the epoch; ValueError, with the way out, for anything else."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise _no_time(text)
    day, second, fraction, zone = match.groups()
    try:
        at = datetime.fromisoformat(f"{day}T{second}{zone.upper().replace('Z', '+00:00')}")
        since = at.astimezone(UTC) - _EPOCH
    except (ValueError, OverflowError) as error:
        raise _no_time(text) from error
    if since.days < 0:
        raise _no_time(text)
    whole = since.days * _DAY_SECONDS + since.seconds
    time_ns = whole * _SECOND_NS + int((fraction or "").ljust(9, "0"))
    if time_ns > TIME_NS_MAX:
        raise _no_time(text)
    return time_ns


def _no_time(text: str) -> ValueError:
    return ValueError(
        "must be an RFC 3339 time from 1970 to 2255, such as 2007-01-03T14:30:00Z, "
        f"was {text[:40]!r}"
    )
