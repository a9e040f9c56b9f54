"""The word on one order, as a value: what the sidecar decided, or why there is no usable answer.

Rules:
- No answer means denied (S15). A denial of ours has a `reason` and nothing else; the sidecar's has
  its layer and every violation with its numbers.
- `approvable_quantity` is None where nobody said it.
"""

import enum
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from haltline.errors import CallFault
from haltline.words import DenialCode, Layer, Verdict, ViolationScope


class DenialReason(enum.Enum):
    """Who said no, and why."""

    SIDECAR = "SIDECAR"  # it denied: see layer and violations
    NO_ANSWER = "NO_ANSWER"  # the deadline passed
    UNAVAILABLE = "UNAVAILABLE"  # it could not be reached, or went away
    CALL_ERROR = "CALL_ERROR"  # it took no decision: see fault
    MALFORMED_ANSWER = "MALFORMED_ANSWER"  # its answer says nothing that may be relied on
    OTHER_STORE = "OTHER_STORE"  # another store than the known one answered
    WRONG_CLOCK = "WRONG_CLOCK"  # driven where wall was meant, or the reverse
    EPOCH_MOVED = "EPOCH_MOVED"  # a stop came after the approval
    EXPIRED = "EXPIRED"  # valid_for has passed
    SILENT = "SILENT"  # the sidecar has not been heard for too long
    REPORTS_FULL = "REPORTS_FULL"  # too many reports wait to be acknowledged
    KILL_PENDING = "KILL_PENDING"  # a kill of ours is not yet acknowledged
    CLOSED = "CLOSED"  # the guard was closed


class Denial(NamedTuple):
    """Our own no, with the way out for people."""

    reason: DenialReason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One rule the order breaks. `code` and `scope` are None where this client is too old."""

    code: DenialCode | None
    scope: ViolationScope | None
    rule_id: str
    observed: Decimal | None
    projected: Decimal | None
    limit: Decimal | None
    retry_after_ns: int | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One order, approved or denied. `send_by` is on the client's monotonic clock, in ns.

    `replayed`: it may be at the venue already; send it only under the same venue client order id,
    or after asking the venue. `expires_at` is for people.
    """

    order_id: str
    verdict: Verdict
    reason: DenialReason | None = None
    message: str = ""
    layer: Layer | None = None
    violations: tuple[Violation, ...] = ()
    approvable_quantity: Decimal | None = None
    decision_id: str = ""
    sequence: int = 0
    stop_epoch: int = 0
    expires_at: datetime | None = None
    send_by: int = 0
    replayed: bool = False
    durable: bool = False
    blocking_order_ids: tuple[str, ...] = ()
    store_id: str = ""
    config_hash: str = ""
    fault: CallFault | None = None

    def __bool__(self) -> bool:
        return self.is_approved

    @property
    def is_approved(self) -> bool:
        """Whether the order was approved; whether it may still be sent is the approval's to say."""
        return self.verdict is Verdict.APPROVED

    @property
    def codes(self) -> tuple[DenialCode, ...]:
        """The codes of the sidecar's violations, in order of judgement."""
        return tuple(rule.code for rule in self.violations if rule.code is not None)

    @property
    def sentence(self) -> str:
        """The decision for people, in one line."""
        if self.is_approved:
            return f"approved at stop epoch {self.stop_epoch}" + (
                " (replayed)" if self.replayed else ""
            )
        why = "; ".join(rule.message for rule in self.violations if rule.message) or self.message
        where = self.layer.name if self.layer is not None else ""
        who = self.reason.value if self.reason is not None else "DENIED"
        return ": ".join(word for word in (who, where, why) if word)


def denied(order_id: str, denial: Denial, fault: CallFault | None = None) -> Decision:
    """Return our own no as a decision."""
    return Decision(
        order_id=order_id,
        verdict=Verdict.DENIED,
        reason=denial.reason,
        message=denial.message,
        fault=fault,
    )
