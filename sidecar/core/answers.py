"""What the core answers: values the wire turns into messages.

Rules:
- An answer holds every number a person needs; nothing is recomputed above the core.
- Times are nanoseconds since the epoch; ages and durations nanoseconds; money `Decimal`.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from sidecar.core.commands import CheckOrder, KillMode, KillScope, RequestedAction
from sidecar.core.denial import CallRefused, Layer, Violation
from sidecar.core.tightening import RuleChange

LISTED_COUNT_MAX: Final = 1_000
"""How many of a kind a status lists; a count beside the list says how many there are."""


class Verdict(StrEnum):
    """The decision about one order."""

    APPROVED = "APPROVED"
    DENIED = "DENIED"


APPROVED: Final = Verdict.APPROVED
DENIED: Final = Verdict.DENIED


class TradingMode(StrEnum):
    """What all layers together allow."""

    NORMAL = "NORMAL"
    REDUCE_ONLY = "REDUCE_ONLY"
    HALTED = "HALTED"


class RecoveryState(StrEnum):
    """How the last start went (S12.4)."""

    CLEAN = "CLEAN"
    RECOVERED = "RECOVERED"
    RECONCILE = "RECONCILE"
    DAMAGED = "DAMAGED"


@dataclass(slots=True)
class OrderDecision:
    """The answer to one CheckOrder (S4.6). `sequence` is 0 for a dry run.

    `config_hash` names the rules it was judged by: others may be in force once it is answered.

    On the path of every order: neither frozen nor keyword-only.
    """

    order_id: str
    verdict: Verdict
    layer: Layer | None
    violations: tuple[Violation, ...]
    approvable_quantity: Decimal
    sequence: int
    stop_epoch: int
    expires_at: int | None = None
    valid_for_ns: int = 0
    replayed: bool = False
    durable: bool = True
    blocking_order_ids: tuple[str, ...] = ()
    config_hash: str = ""

    @property
    def is_approved(self) -> bool:
        """Say whether the order may be sent."""
        return self.verdict is Verdict.APPROVED


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """One item of a batch: a decision, or the refusal of that order alone."""

    order: CheckOrder | None
    decision: OrderDecision | None = None
    refused: CallRefused | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortStatus:
    """What every report is answered with."""

    mode: TradingMode
    is_breaker_open: bool
    stop_epoch: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """Size of the journal and the root over it (S13); what writes records puts it into answers."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeAnswer:
    """The answer to ReportTrade. `flags` name what was odd (UNSOLICITED, OVERFILLED, ...)."""

    duplicate: bool
    unsolicited: bool
    sequence: int
    status: ShortStatus
    flags: tuple[str, ...] = ()
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiErrorAnswer:
    """The answer to ReportApiError."""

    duplicate: bool
    errors_in_window: int
    sequence: int
    status: ShortStatus
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One difference between what we held and what the venue reported (S8.2).

    `kind` is POSITION, ORDER_QUANTITY, ORDER_UNKNOWN, ORDER_MISSING, EQUITY or EQUITY_HELD.
    """

    kind: str
    strategy: str = ""
    symbol: str = ""
    order_id: str = ""
    ours: Decimal | None = None
    theirs: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BookName:
    """The name of a book."""

    strategy: str
    symbol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountAnswer:
    """The answer to ReportAccount; `equity` is absent while unknown."""

    duplicate: bool
    equity: Decimal | None
    drift: tuple[Drift, ...]
    skipped_books: tuple[BookName, ...]
    sequence: int
    status: ShortStatus
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """One kill in force."""

    epoch: int
    reason: str
    triggered_by: str
    triggered_at: int
    mode: KillMode
    scope: KillScope
    requested_action: RequestedAction
    attempts: int
    scope_known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KillAnswer:
    """The answer to TriggerKill."""

    already_active: bool
    activation: Activation
    scope_known: bool
    durable: bool
    advice: str
    sequence: int
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorMove:
    """One drawdown reference before and after, as unit values (S9)."""

    drawdown: str
    old_unit_value: Decimal
    new_unit_value: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAnswer:
    """The answer to every operator call that starts, eases or accepts. `changed` is false where
    there was nothing to do (reset while CLOSED or INACTIVE).
    """

    changed: bool
    sequence: int
    status: ShortStatus
    moved_anchors: tuple[AnchorMove, ...] = ()
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOrder:
    """One order that holds a reservation, for ListOrders."""

    order_id: str
    strategy: str
    symbol: str
    side: str
    quantity: Decimal
    remaining_quantity: Decimal
    remaining_notional: Decimal
    filled_quantity: Decimal
    approved_at: int
    age_ns: int
    expires_at: int | None
    last_report_kind: str
    last_report_at: int | None
    unsolicited: bool
    limit_price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerView:
    """One trigger of the breaker. `armed` false says why in `not_armed_reason`."""

    name: str
    observed: Decimal | None
    threshold: Decimal | None
    armed: bool
    not_armed_reason: str = ""
    is_warning: bool = False
    is_standing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseView:
    """One cause of an OPEN breaker, in the order they came."""

    cause: str
    at: int
    observed: Decimal
    threshold: Decimal
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerView:
    """The circuit breaker and all it measures."""

    is_open: bool
    opened_at: int | None
    causes: tuple[CauseView, ...]
    triggers: tuple[TriggerView, ...]
    when_open: str
    last_reset_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureView:
    """Exposure of one scope against its limit. `share` is exposure / equity, rounded up to 6
    digits, for people only; absent while equity is unknown.
    """

    name: str
    exposure: Decimal
    limit_ratio: Decimal
    limit: Decimal | None
    share: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkView:
    """The mark of a symbol, and the unconfirmed one beside it."""

    symbol: str
    price: Decimal
    age_ns: int
    is_stale: bool
    unconfirmed_price: Decimal | None
    unconfirmed_age_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionView:
    """One book that is not empty."""

    strategy: str
    symbol: str
    quantity: Decimal
    working_buy_quantity: Decimal
    working_sell_quantity: Decimal
    working_buy_notional: Decimal
    working_sell_notional: Decimal
    exposure: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionLimitsView:
    """All four layers of position limits; a count beside a list says how many there are."""

    per_symbol_ratio: Decimal
    per_strategy_ratio: Decimal
    portfolio_ratio: Decimal
    max_positions: int
    position_count: int
    symbols: tuple[ExposureView, ...]
    symbol_count: int
    strategies: tuple[ExposureView, ...]
    strategy_count: int
    portfolio: ExposureView
    positions: tuple[PositionView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawdownView:
    """One drawdown: `ratio` absent while unknown; values are unit values rounded for people."""

    drawdown: str
    ratio: Decimal | None
    reference_unit_value: Decimal | None
    threshold: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """Equity and what it is measured against."""

    equity: Decimal | None
    cash: Decimal
    units: Decimal | None
    unit_value: Decimal | None
    drawdowns: tuple[DrawdownView, ...]
    held_equity: Decimal | None
    day: str
    week: str
    marks: tuple[MarkView, ...]
    mark_count: int
    positions_confirmed: bool
    last_drift: tuple[Drift, ...]
    last_drift_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrdersView:
    """Open reservations in numbers."""

    open_count: int
    unreported_count: int
    oldest_unreported_age_ns: int | None
    unsolicited_count: int
    flagged_counts: dict[str, int]
    conflicting_reports: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryView:
    """How the last start went, since when, and the way out."""

    state: RecoveryState
    since: int
    detail: str
    way_out: str
    denies_reducing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusView:
    """Everything the core knows that a person may ask (contract.md, Status)."""

    now: int
    mode: TradingMode
    stop_epoch: int
    last_stop_at: int | None
    last_start_at: int | None
    activations: tuple[Activation, ...]
    breaker: BreakerView
    limits: PositionLimitsView
    account: AccountView
    orders: OrdersView
    recovery: RecoveryView
    clock_jump_ns: int
    config_hash: str
    last_sequence: int
    decisions_approved: int
    decisions_denied: int
    not_armed: tuple[tuple[str, str], ...]
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadAnswer:
    """What a reload changed, or a dry run would; `sequence` is 0 where no record is durable."""

    changed: bool
    changes: tuple[RuleChange, ...]
    needs_proof: bool
    needs_restart: bool
    previous_hash: str
    config_hash: str
    sequence: int
    status: ShortStatus
    durable: bool = True
    receipt: Receipt | None = None
