"""The status as plain values, for readers over HTTP: the protobuf JSON form of haltline.v1.Status.

Rules:
1. Names as in the contract (snake_case); what is empty is left out, as that form allows.
2. Lists are cut to PLAIN_COUNT_MAX, the count beside each says how many there are: writing a
   thousand symbols as JSON would hold the loop for a tenth of a second.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from haltline.v1 import status_pb2

PLAIN_COUNT_MAX: Final = 50


def plain_status(status: status_pb2.Status) -> dict[str, Any]:
    """Return the status, cut; `status` itself is cut with it."""
    limits = status.position_limits
    del limits.symbols[PLAIN_COUNT_MAX:]
    del limits.strategies[PLAIN_COUNT_MAX:]
    del status.kill_switch.activations[PLAIN_COUNT_MAX:]
    # Of the marks only those that stand in the way of an order.
    odd = [m for m in status.marks if m.stale or m.HasField("unconfirmed_price")]
    kept = [status_pb2.Status(marks=[mark]).marks[0] for mark in odd[:PLAIN_COUNT_MAX]]
    del status.marks[:]
    status.marks.extend(kept)
    return plain_message(status)


def plain_message(message: Message, *, is_complete: bool = False) -> dict[str, Any]:
    """Return any message of the contract as plain values; `is_complete`: what is empty too."""
    plain: dict[str, Any] = MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=is_complete,
    )
    return plain
