"""The small things every message is made of: times, durations, decimals, words, texts.

Rules:
1. Times are nanoseconds since the epoch, from 1970 to 2255; durations nanoseconds. Later ones do
   not fit the 64 bits of a record. [a good_till in the year 9999 poisoned the store]
2. A reader notes a fault on the form and returns a placeholder: `finish` raises before it is used.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from haltline.v1 import audit_pb2, circuit_breaker_pb2, kill_switch_pb2, short_status_pb2

from sidecar.core.answers import Receipt, ShortStatus
from sidecar.core.commands import KillScope, ScopeKind
from sidecar.core.forms import Form
from sidecar.core.numbers import format_decimal
from sidecar.wire.tables import TRADING_MODE_NUMBERS

SECOND_NS: Final = 1_000_000_000
TIME_SECONDS_END: Final = 9_000_000_000  # in March 2255, where the clock ends too

_Word = TypeVar("_Word")


def read_time(form: Form, field: str, value: Timestamp) -> int:
    """Return nanoseconds since the epoch; a fault outside 1970 to 2255."""
    seconds, nanos = value.seconds, value.nanos
    if not (0 <= seconds < TIME_SECONDS_END and 0 <= nanos < SECOND_NS):
        form.fault(field, f"must be a time from 1970 to 2255, was {seconds} s and {nanos} ns")
    return seconds * SECOND_NS + nanos


def read_word(form: Form, field: str, number: int, words: Mapping[int, _Word]) -> _Word:
    """Return the word `number` stands for; a fault naming the choices where it stands for none."""
    word = words.get(number)
    if word is None:
        choices = ", ".join(str(choice) for choice in words.values())
        form.fault(field, f"must be one of {choices}, was {number or 'not given'}")
        return next(iter(words.values()))
    return word


def read_text(form: Form, field: str, text: str, length_max: int) -> str:
    """Return a text for people that must be there and must not be over-long."""
    if not text.strip():
        form.fault(field, f"must be given, 1 to {length_max} characters")
    elif len(text) > length_max:
        form.fault(field, f"must be at most {length_max} characters, was {len(text)}")
    return text


def cut(text: str, length_max: int) -> str:
    """Return `text`, cut to `length_max` characters and marked where it is over-long."""
    return text if len(text) <= length_max else text[: length_max - 4] + " ..."


def timestamp(at_ns: int) -> Timestamp:
    """Return the message of a time."""
    seconds, nanos = divmod(at_ns, SECOND_NS)
    return Timestamp(seconds=seconds, nanos=nanos)


def optional_timestamp(at_ns: int | None) -> Timestamp | None:
    """Return the message of a time that may be unknown."""
    return None if at_ns is None else timestamp(at_ns)


def duration(length_ns: int) -> Duration:
    """Return the message of a duration; both parts have the sign of the whole, as protobuf asks."""
    seconds, nanos = divmod(abs(length_ns), SECOND_NS)
    sign = -1 if length_ns < 0 else 1
    return Duration(seconds=sign * seconds, nanos=sign * nanos)


def optional_duration(length_ns: int | None) -> Duration | None:
    """Return the message of a duration that may be unknown."""
    return None if length_ns is None else duration(length_ns)


def optional_decimal(value: Decimal | None) -> str | None:
    """Return the text of a decimal that may be unknown."""
    return None if value is None else format_decimal(value)


def kill_scope(scope: KillScope) -> kill_switch_pb2.KillScope:
    """Return the message of what a kill covers."""
    if scope.kind is ScopeKind.STRATEGY:
        return kill_switch_pb2.KillScope(strategy=scope.name)
    if scope.kind is ScopeKind.SYMBOL:
        return kill_switch_pb2.KillScope(symbol=scope.name)
    return kill_switch_pb2.KillScope(all=True)


def receipt_message(receipt: Receipt | None) -> audit_pb2.Receipt | None:
    """Return the message of a receipt, where there is one."""
    return None if receipt is None else audit_pb2.Receipt(size=receipt.size, root=receipt.root)


def short_status(status: ShortStatus) -> short_status_pb2.ShortStatus:
    """Return how trading stands, as every report is answered with."""
    return short_status_pb2.ShortStatus(
        trading_mode=TRADING_MODE_NUMBERS[status.mode],
        circuit_breaker_state=(
            circuit_breaker_pb2.CIRCUIT_BREAKER_STATE_OPEN
            if status.is_breaker_open
            else circuit_breaker_pb2.CIRCUIT_BREAKER_STATE_CLOSED
        ),
        stop_epoch=status.stop_epoch,
    )
