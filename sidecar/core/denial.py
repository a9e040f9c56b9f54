"""Why an order was denied: stable codes, in the documented order of judgement.

Rules:
- The order of `DenialCode` is the order of judgement (contract.md); a table test walks it.
- A denial is a value with its numbers. A call that cannot be judged raises `CallRefused` instead.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final


class Layer(StrEnum):
    """The layer that decided, outermost first."""

    STORE = "STORE"
    KILL_SWITCH = "KILL_SWITCH"
    CIRCUIT_BREAKER = "CIRCUIT_BREAKER"
    POSITION_LIMITS = "POSITION_LIMITS"


class DenialCode(StrEnum):
    """Every reason for a denial, in order of judgement."""

    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    STORE_LOW = "STORE_LOW"
    RECOVERY_RECONCILE_REQUIRED = "RECOVERY_RECONCILE_REQUIRED"
    KILL_SWITCH_HALT = "KILL_SWITCH_HALT"
    KILL_SWITCH_REDUCE_ONLY = "KILL_SWITCH_REDUCE_ONLY"
    CIRCUIT_BREAKER_OPEN = "CIRCUIT_BREAKER_OPEN"
    EQUITY_UNKNOWN = "EQUITY_UNKNOWN"
    MARK_UNAVAILABLE = "MARK_UNAVAILABLE"
    MARK_STALE = "MARK_STALE"
    MARK_UNCONFIRMED = "MARK_UNCONFIRMED"
    MAX_ORDER_QUANTITY = "MAX_ORDER_QUANTITY"
    MAX_ORDER_NOTIONAL = "MAX_ORDER_NOTIONAL"
    MAX_ORDER_NOTIONAL_RATIO = "MAX_ORDER_NOTIONAL_RATIO"
    PRICE_COLLAR = "PRICE_COLLAR"
    SYMBOL_RESTRICTED = "SYMBOL_RESTRICTED"
    SYMBOL_NOT_ALLOWED = "SYMBOL_NOT_ALLOWED"
    ORDER_RATE = "ORDER_RATE"
    DUPLICATE_ORDER = "DUPLICATE_ORDER"
    DAILY_NOTIONAL = "DAILY_NOTIONAL"
    SYMBOL_EXPOSURE = "SYMBOL_EXPOSURE"
    STRATEGY_EXPOSURE = "STRATEGY_EXPOSURE"
    PORTFOLIO_EXPOSURE = "PORTFOLIO_EXPOSURE"
    POSITION_COUNT = "POSITION_COUNT"
    TOO_MANY_ORDERS = "TOO_MANY_ORDERS"
    APPROVAL_NO_LONGER_VALID = "APPROVAL_NO_LONGER_VALID"
    ORDER_ALREADY_REPORTED = "ORDER_ALREADY_REPORTED"


CODES_IN_ORDER: Final = tuple(DenialCode)

_STORE_CODES: Final = (
    DenialCode.STORE_UNAVAILABLE,
    DenialCode.STORE_LOW,
    DenialCode.RECOVERY_RECONCILE_REQUIRED,
)
_KILL_CODES: Final = (DenialCode.KILL_SWITCH_HALT, DenialCode.KILL_SWITCH_REDUCE_ONLY)

LAYER_OF_CODE: Final[dict[DenialCode, Layer]] = {
    code: (
        Layer.STORE
        if code in _STORE_CODES
        else Layer.KILL_SWITCH
        if code in _KILL_CODES
        else Layer.CIRCUIT_BREAKER
        if code is DenialCode.CIRCUIT_BREAKER_OPEN
        else Layer.POSITION_LIMITS
    )
    for code in CODES_IN_ORDER
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One broken rule with its numbers (S4.6).

    `scope` is `symbol:NAME`, `strategy:NAME`, `portfolio`, `account`, `order` or `sidecar`;
    `rule_id` is the configuration key that set the limit, or the rule's own name; numbers are
    absent where the rule has none. `retry_after_ns` only where waiting alone helps.
    """

    code: DenialCode
    scope: str
    rule_id: str
    message: str
    observed: Decimal | None = None
    projected: Decimal | None = None
    limit: Decimal | None = None
    retry_after_ns: int | None = None


class ErrorCode(StrEnum):
    """Why a call got no decision; named like the canonical RPC codes."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One faulty field: its path in the request, and what is wrong with the way out."""

    field: str
    description: str


class CallRefused(Exception):  # noqa: N818 - a refusal is the word of the domain, not an error of ours
    """The call gets no decision; a client treats that as denied.

    `reason` is a stable upper-case word; `message` names the thing, the value and the way out.
    """

    def __init__(
        self,
        code: ErrorCode,
        reason: str,
        message: str,
        field_faults: tuple[FieldFault, ...] = (),
    ) -> None:
        """Keep the parts; the message is what a person reads."""
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.field_faults = field_faults


class BrokenInvariantError(Exception):
    """The core failed after it had changed something: memory can no longer be believed.

    Whoever holds the state must stop approving at that instant and replay the journal.
    """


def malformed(faults: list[FieldFault]) -> CallRefused:
    """Return the refusal of a malformed request, naming every faulty field (S4.1)."""
    text = "; ".join(f"{fault.field}: {fault.description}" for fault in faults)
    return CallRefused(ErrorCode.INVALID_ARGUMENT, "MALFORMED_REQUEST", text, tuple(faults))
