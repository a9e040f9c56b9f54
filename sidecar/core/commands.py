"""What may be asked of the core: imperative values, already well-formed.

Rules:
- The wire builds them through `forms`, so a command that exists obeys the grammar of S2.1.
- Times are nanoseconds since the epoch, UTC; durations are nanoseconds; money is `Decimal`.
- Members read on the path of every order have a name of their own: reading one from its Enum costs
  as much as an addition of two decimals.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeAlias


class Side(StrEnum):
    """The direction of an order or fill."""

    BUY = "BUY"
    SELL = "SELL"


BUY: Final = Side.BUY
SELL: Final = Side.SELL


class OrderType(StrEnum):
    """How an order is priced at the venue."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"
    STOP = "STOP"
    STOP_LIMIT = "STOP_LIMIT"


LIMIT: Final = OrderType.LIMIT
STOP_LIMIT: Final = OrderType.STOP_LIMIT


class BatchMode(StrEnum):
    """Whether the orders of a batch stand alone or fall together."""

    INDEPENDENT = "INDEPENDENT"
    ALL_OR_NONE = "ALL_OR_NONE"


class ReportKind(StrEnum):
    """What a bot says became of an order (S7.4)."""

    ACCEPTED = "ACCEPTED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    REPLACED = "REPLACED"


class KillMode(StrEnum):
    """How much an activation stops. HALT is stricter than REDUCE_ONLY."""

    REDUCE_ONLY = "REDUCE_ONLY"
    HALT = "HALT"


class RequestedAction(StrEnum):
    """What the person who killed asks the bot to do; advice, carried to every guard."""

    NONE = "NONE"
    CANCEL_OPEN_ORDERS = "CANCEL_OPEN_ORDERS"
    FLATTEN = "FLATTEN"


class ScopeKind(StrEnum):
    """What an activation covers."""

    ALL = "ALL"
    STRATEGY = "STRATEGY"
    SYMBOL = "SYMBOL"


class Drawdown(StrEnum):
    """The three drawdowns, named as `rebase[]` names them."""

    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    TOTAL = "TOTAL"


@dataclass(frozen=True, slots=True)
class KillScope:
    """What a kill covers; `name` is empty for ALL."""

    kind: ScopeKind = ScopeKind.ALL
    name: str = ""


@dataclass(slots=True)
class CheckOrder:
    """Ask before sending an order (S4). `reduce_only` is a wish, never believed.

    On the path of every order: neither frozen nor keyword-only, which cost three times as much.
    """

    order_id: str
    strategy: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    reference_price: Decimal | None = None
    reduce_only: bool = False
    dry_run: bool = False
    good_till: int | None = None
    replaces_order_id: str | None = None
    one_cancels_other_group: str | None = None


@dataclass(slots=True, kw_only=True)
class ReportTrade:
    """Say what became of an order (S7)."""

    report_id: str
    order_id: str
    strategy: str
    symbol: str
    side: Side
    kind: ReportKind
    fill_quantity: Decimal | None = None
    fill_price: Decimal | None = None
    fee: Decimal | None = None
    fee_quantity: Decimal | None = None
    realized_pnl: Decimal | None = None
    order_done: bool = False
    new_quantity: Decimal | None = None
    new_limit_price: Decimal | None = None
    venue_time: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportApiError:
    """Say that a venue call failed (S9)."""

    report_id: str
    api: str = ""
    error_code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedPosition:
    """One position as the venue sees it; `quantity` is signed."""

    strategy: str
    symbol: str
    quantity: Decimal
    average_price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedOrder:
    """One open order as the venue sees it."""

    order_id: str
    strategy: str
    symbol: str
    side: Side
    remaining_quantity: Decimal
    cumulative_filled_quantity: Decimal
    limit_price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CashFlow:
    """A deposit (positive) or withdrawal (negative), account currency."""

    flow_id: str
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedMark:
    """The price a symbol is valued at."""

    symbol: str
    price: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportAccount:
    """Say what the venue holds (S8). `has_operator_proof` accepts an equity jump at once."""

    report_id: str
    equity: Decimal | None = None
    positions: tuple[ReportedPosition, ...] = ()
    positions_complete: bool = False
    open_orders: tuple[ReportedOrder, ...] = ()
    open_orders_complete: bool = False
    as_of_sequence: int | None = None
    as_of_venue_time: int | None = None
    cash_flows: tuple[CashFlow, ...] = ()
    marks: tuple[ReportedMark, ...] = ()
    has_operator_proof: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerKill:
    """Stop (S10.1). No argument makes it fail: unknown words fall back to ALL and HALT.

    `mode`, `scope_kind`, `requested_action` are the words received, empty where absent or unknown.
    `details`: what else the sender said, kept for the audit and for nothing else.
    """

    reason: str = ""
    triggered_by: str = ""
    mode: str = ""
    scope_kind: str = ""
    scope_name: str = ""
    requested_action: str = ""
    details: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetKill:
    """Start again; needs operator proof. `scope` absent: all scopes."""

    reset_by: str
    reason: str
    scope: KillScope | None = None
    expected_epoch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EaseKill:
    """HALT -> REDUCE_ONLY for an audited exit; needs operator proof."""

    reset_by: str
    reason: str
    scope: KillScope | None = None
    expected_epoch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetBreaker:
    """Close the circuit breaker; needs operator proof (S9)."""

    reset_by: str
    reason: str
    rebase: tuple[Drawdown, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetAll:
    """Reset both latches in one atomic step, or neither; needs operator proof (S10.5)."""

    reset_by: str
    reason: str
    scope: KillScope | None = None
    expected_epoch: int | None = None
    rebase: tuple[Drawdown, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseOrder:
    """End a reservation by hand; needs operator proof (S7.5)."""

    order_id: str
    released_by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptRecovery:
    """Declare the books right after a recovery; needs operator proof (S12.4)."""

    accepted_by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptClock:
    """Re-base `now` to the wall clock; needs operator proof (S2.2). `wall` is the reading."""

    accepted_by: str
    reason: str
    wall: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Do what is due: new day or week, releases, silence. Sent when `next_due` is reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadConfig:
    """Read the configuration file again. Who and why may be empty where nothing loosens.

    `expected_hash` is of the file that was looked at; None: whatever it says.
    """

    is_dry_run: bool = False
    reloaded_by: str = ""
    reason: str = ""
    expected_hash: str | None = None


StartingCommand: TypeAlias = ResetKill | EaseKill | ResetBreaker | ResetAll
