"""What happened: past-tense values. The journal holds nothing else; replaying them is the state.

Rules:
- An event carries results, never questions: applying it needs no configuration file and no clock.
- Every event is applied by `apply.apply_event`, in service and in replay alike.
- Encoded as `[name, field, field, ...]`; a new field goes last and has a default.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

from sidecar.core import codec
from sidecar.core.answers import Drift, RecoveryState
from sidecar.core.commands import (
    Drawdown,
    KillMode,
    KillScope,
    OrderType,
    ReportApiError,
    ReportTrade,
    RequestedAction,
    Side,
)
from sidecar.core.denial import Layer, Violation
from sidecar.core.folds import FoldedDenials, FoldedKills, FoldedOrder
from sidecar.core.numbers import ZERO
from sidecar.core.thresholds import Thresholds


@dataclass(slots=True, kw_only=True)
class ConfigurationApplied:
    """These thresholds are in force from here on.

    Put in force while running it says what was before, what changed, who did it and why (S13).
    """

    thresholds: Thresholds
    config_hash: str
    previous_hash: str = ""
    changed: tuple[str, ...] = ()
    applied_by: str = ""
    reason: str = ""


@dataclass(slots=True, kw_only=True)
class PeriodStarted:
    """A day (and perhaps a week) began; the anchors are the last values known before it (S8.4)."""

    day: str
    week: str
    day_ends_at: int
    is_new_day: bool
    is_new_week: bool


@dataclass(slots=True)
class OrderApproved:
    """The order may be sent before `expires_at`; its worst case is reserved (S4.6, S7.1).

    On the path of every order: not keyword-only.
    """

    order_id: str
    strategy: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    replaces_order_id: str | None
    cluster: str | None
    good_till: int | None
    price: Decimal
    expires_at: int
    approvable_quantity: Decimal
    daily_notional: Decimal
    is_renewal: bool
    store_problem: str = ""


@dataclass(slots=True, kw_only=True)
class OrderApprovalRepeated:
    """A still valid approval was given out again; nothing changed."""

    order_id: str
    strategy: str


@dataclass(slots=True, kw_only=True)
class OrderDenied:
    """The order may not be sent."""

    order_id: str
    strategy: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    layer: Layer
    violations: tuple[Violation, ...]
    approvable_quantity: Decimal
    counts_in_rate: bool
    peer: str = ""


@dataclass(slots=True, kw_only=True)
class DenialsFolded:
    """Denials beyond the first ten alike in a second (S12.6): each took effect when it came.

    `heard`: when each strategy was last heard; `asked`: the orders a rule looks back at, in order.
    """

    folds: tuple[FoldedDenials, ...]
    heard: dict[str, int]
    asked: tuple[FoldedOrder, ...]


@dataclass(slots=True, kw_only=True)
class OrdersWithdrawn:
    """Approvals of an all-or-none batch that fell together: never given out.

    `lapsed_ids` were approved before the batch and renewed in it: they lapse, and are known still.
    Price and daily notional of each are those before the batch.
    """

    order_ids: tuple[str, ...]
    lapsed_ids: tuple[str, ...] = ()
    lapsed_prices: tuple[Decimal, ...] = ()
    lapsed_notionals: tuple[Decimal, ...] = ()


@dataclass(slots=True, kw_only=True)
class TradeReported:
    """A bot said what became of an order. `moving_quantity`: the part that moves the position."""

    report: ReportTrade
    flags: tuple[str, ...]
    moving_quantity: Decimal
    is_reservation_touched: bool


@dataclass(slots=True, kw_only=True)
class ReportConflicted:
    """A report id came again with other content: refused, counted, shown (S7.2)."""

    rpc: str
    order_id: str
    report_id: str
    fields: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class ApiErrorReported:
    """A venue call failed."""

    report: ReportApiError


@dataclass(slots=True, kw_only=True)
class AccountReported:
    """An account report was taken; its parts stand as events of their own before this one."""

    report_id: str
    content: str
    positions_complete: bool
    open_orders_complete: bool
    as_of_sequence: int | None
    drift: tuple[Drift, ...] = ()
    as_of_venue_time: int | None = None
    skipped_count: int = 0


@dataclass(slots=True, kw_only=True)
class MarkReported:
    """A price for a symbol came (S6). `order_id` names the fill it came from."""

    symbol: str
    price: Decimal
    order_id: str | None = None


@dataclass(slots=True, kw_only=True)
class BookReplaced:
    """The venue's position replaced ours (S8.2)."""

    strategy: str
    symbol: str
    quantity: Decimal
    average_price: Decimal | None
    as_of_venue_time: int
    keeps_equity: bool


@dataclass(slots=True, kw_only=True)
class OpenOrderListed:
    """The venue's remaining and filled quantity replaced ours (S8.2)."""

    order_id: str
    strategy: str
    symbol: str
    side: Side
    remaining_quantity: Decimal
    cumulative_filled_quantity: Decimal
    price: Decimal
    covers_position: bool


@dataclass(slots=True, kw_only=True)
class ReservationReleased:
    """A reservation ended without a terminal report; `why` says how (S7.5)."""

    order_id: str
    why: str
    by: str = ""
    reason: str = ""


@dataclass(slots=True, kw_only=True)
class CashFlowed:
    """A deposit or withdrawal bought or sold units (S8.3). `units` is the count afterwards."""

    flow_id: str
    amount: Decimal
    units: Decimal | None
    is_new_series: bool
    carried: tuple[Drawdown, ...]


@dataclass(slots=True, kw_only=True)
class EquityReported:
    """The venue's equity; held back where it jumped up unexplained (S8.3)."""

    equity: Decimal
    is_held: bool


@dataclass(slots=True, kw_only=True)
class BreakerOpened:
    """The breaker opened, or a further cause came while it was open (S9)."""

    cause: str
    observed: Decimal
    threshold: Decimal
    detail: str
    is_first: bool


@dataclass(slots=True, kw_only=True)
class BreakerReset:
    """The breaker closed; the named drawdowns moved their anchors."""

    reset_by: str
    reason: str
    rebase: tuple[Drawdown, ...]


@dataclass(slots=True, kw_only=True)
class WarningChanged:
    """A measurement crossed the warning share of its threshold, up or down (S9)."""

    trigger: str
    is_raised: bool
    observed: Decimal = ZERO
    threshold: Decimal = ZERO


@dataclass(slots=True, kw_only=True)
class KillActivated:
    """A scope is stopped, or stopped harder (S10.1).

    `details` is what else the sender said: told by the audit, and by nothing else.
    """

    scope: KillScope
    mode: KillMode
    reason: str
    triggered_by: str
    requested_action: RequestedAction
    scope_known: bool
    details: str = ""


@dataclass(slots=True, kw_only=True)
class KillRepeated:
    """A trigger for what is already stopped as hard."""

    scope: KillScope
    reason: str
    triggered_by: str
    peer: str = ""
    details: str = ""


@dataclass(slots=True, kw_only=True)
class KillsFolded:
    """Repeated triggers beyond the first ten alike in a second (S12.6)."""

    folds: tuple[FoldedKills, ...]


@dataclass(slots=True, kw_only=True)
class KillReset:
    """These scopes may trade again."""

    scopes: tuple[KillScope, ...]
    reset_by: str
    reason: str


@dataclass(slots=True, kw_only=True)
class KillEased:
    """These scopes went from HALT to REDUCE_ONLY."""

    scopes: tuple[KillScope, ...]
    reset_by: str
    reason: str


@dataclass(slots=True, kw_only=True)
class RecoveryEntered:
    """How this start went; RECONCILE and DAMAGED stop until the way out is taken (S12.4)."""

    recovery: RecoveryState
    detail: str
    way_out: str
    denies_reducing: bool


@dataclass(slots=True, kw_only=True)
class RecoveryEnded:
    """Books are right again: reconciled by a report, or accepted by an operator."""

    by: str
    reason: str


@dataclass(slots=True, kw_only=True)
class ClockJumped:
    """The wall clock moved against the monotonic one (S2.2); positive is forward."""

    jump_ns: int


@dataclass(slots=True, kw_only=True)
class ClockAccepted:
    """An operator re-based the clock by `shift_ns`; windows keep their ages."""

    shift_ns: int
    accepted_by: str
    reason: str
    day: str
    week: str
    day_ends_at: int


@dataclass(slots=True, kw_only=True)
class PositionsAssumedFlat:
    """The person who started the sidecar says the account is flat."""


@dataclass(slots=True, kw_only=True)
class AttemptRefused:
    """Somebody tried what they may not do, or what cannot be done now (S13). Changes nothing.

    `by` and `reason` are what the caller said, unproved. Beyond a bound attempts alike are counted
    and told as one, with the times of the first and the last and without what was said.
    """

    call: str
    code: str
    why: str
    by: str = ""
    reason: str = ""
    count: int = 1
    first_at: int = 0
    last_at: int = 0


@dataclass(slots=True, kw_only=True)
class RecordsDropped:
    """Records up to `through_sequence` were exported and dropped (S13). Changes nothing.

    `root` is that of the tree over them, in hex.
    """

    through_sequence: int
    root: str
    by: str
    reason: str


Event: TypeAlias = (
    ConfigurationApplied
    | PeriodStarted
    | OrderApproved
    | OrderApprovalRepeated
    | OrderDenied
    | DenialsFolded
    | OrdersWithdrawn
    | TradeReported
    | ReportConflicted
    | ApiErrorReported
    | AccountReported
    | MarkReported
    | BookReplaced
    | OpenOrderListed
    | ReservationReleased
    | CashFlowed
    | EquityReported
    | BreakerOpened
    | BreakerReset
    | WarningChanged
    | KillActivated
    | KillRepeated
    | KillsFolded
    | KillReset
    | KillEased
    | RecoveryEntered
    | RecoveryEnded
    | ClockJumped
    | ClockAccepted
    | PositionsAssumedFlat
    | AttemptRefused
    | RecordsDropped
)

EVENT_TYPES: Final[dict[str, type]] = {kind.__name__: kind for kind in Event.__args__}


def encode_event(event: Event) -> list[Any]:
    """Return `[name, fields...]`."""
    return [type(event).__name__, *codec.encode(event)]


def tagged(event: Event) -> tuple[Any, ...]:
    """Return `(name, fields...)`, not yet plain: a JSON writer that knows `codec.plain` ends it."""
    return (type(event).__name__, *codec.fields(event))


def decode_event(plain: list[Any]) -> Event:
    """Return the event that was encoded; KeyError where the name is unknown."""
    event: Event = codec.decode(EVENT_TYPES[plain[0]], plain[1:])
    return event
