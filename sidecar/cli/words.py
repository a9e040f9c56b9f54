"""Small things said the same way everywhere: percentages, times, scopes, short enum names.

Rules:
- Times are UTC to the second; a person at three in the morning should not convert zones.
- Unknown enum values show as their number: a newer sidecar must not crash an older command line.
"""

from decimal import ROUND_UP, Decimal
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from haltline.v1 import kill_switch_pb2

from sidecar.cli.options import printable
from sidecar.clock import format_rfc3339
from sidecar.core.numbers import format_decimal

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400


def percent(ratio: str, places: int | None = None) -> str:
    """Return `30.0` for `0.3`: at least one decimal; none lost, or `places` rounded up."""
    value = Decimal(ratio or "0") * 100
    if places is not None:
        value = value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_UP)
    text = format_decimal(value)
    return text if "." in text else f"{text}.0"


def at(moment: Timestamp) -> str:
    """Return `2026-11-22 21:00:00Z`."""
    text = format_rfc3339(moment.seconds * 1_000_000_000)
    return text.replace("T", " ")


def lasting(duration: Duration) -> str:
    """Return `12 s`, `3 min`, `5 h` or `2 d`: rounded down, for people."""
    seconds = duration.seconds
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


def word(message: Message, field: str) -> str:
    """Return an enum field's value without the enum's prefix: `HALT`, not `KILL_MODE_HALT`.

    A value this version does not know is its number.
    """
    enum = message.DESCRIPTOR.fields_by_name[field].enum_type
    if enum is None:
        raise TypeError(f"{field} of {message.DESCRIPTOR.name} is no enum")
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    number = getattr(message, field)
    value = enum.values_by_number.get(number)
    return str(number) if value is None else value.name.removeprefix(prefix)


def scope_words(scope: kill_switch_pb2.KillScope) -> str:
    """Return `everything`, `strategy momentum` or `symbol AAPL`."""
    which = scope.WhichOneof("scope")
    if which in ("strategy", "symbol"):
        return f"{which} {printable(getattr(scope, which))}"
    return "everything"


def scope_flag(scope: kill_switch_pb2.KillScope) -> str:
    """Return the options that name this scope alone to `reset kill`; empty for everything."""
    which = scope.WhichOneof("scope")
    if which in ("strategy", "symbol"):
        return f" --{which} {printable(getattr(scope, which))}"
    return ""
