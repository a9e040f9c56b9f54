"""What is remembered: a fold over the journalled events (S3).

Rules:
- Nothing changes but through `apply`; sums over books are kept incrementally, so a check is O(1).
- Fields marked derived are rebuilt from the others and never stored.
- Exact: replaying the journal gives the same state bit for bit, and so does a snapshot.
"""

from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from sidecar.core import codec
from sidecar.core.answers import CauseView, Drift, RecoveryState
from sidecar.core.commands import Drawdown, KillMode, KillScope, OrderType, RequestedAction, Side
from sidecar.core.folds import FoldCounts, FoldsWaiting
from sidecar.core.numbers import ONE, ZERO
from sidecar.core.thresholds import DEFAULT_SYMBOL_RULES, SymbolRules, Thresholds

DERIVED: Final = {"derived": True}
NEVER: Final = 2**63 - 1
EXPIRY_MARGIN_NS: Final = 60 * 1_000_000_000
WINDOW_TIMES_MAX: Final = 1_000_000
"""No limit or threshold counts further, so no window remembers twice as many."""


def certainly_expired_at(expires_at: int) -> int:
    """Return when nobody may still send an order whose approval ends at `expires_at`.

    Who holds the approval counts its validity on a monotonic clock (S15). Ours follows the wall
    forward, by up to a minute without a word; a larger step is a jump and moves the stop epoch.
    [an hour's step let a report release what a bot sent a second later]
    """
    return expires_at + EXPIRY_MARGIN_NS


@dataclass(slots=True)
class SlidingWindow:
    """Times of events, oldest first; an event at t counts while t > now - window (S2.4)."""

    times: list[int] = field(default_factory=list)

    def add(self, now: int, window_ns: int) -> None:
        """Count an event at `now`, forgetting what no longer counts once that is half of it.

        Half at a time: to forget one of many moves all the others.
        """
        times = self.times
        if times and times[0] <= now - window_ns:
            expired = bisect_right(times, now - window_ns)
            if 2 * expired >= len(times):
                del times[:expired]
        times.append(now)
        if len(times) >= 2 * WINDOW_TIMES_MAX:
            # More than any limit can count: the oldest make no difference to a decision.
            del times[:-WINDOW_TIMES_MAX]

    def count(self, now: int, window_ns: int) -> int:
        """Return how many events count at `now`."""
        times = self.times
        return len(times) - bisect_right(times, now - window_ns)

    def room_after_ns(self, now: int, window_ns: int, limit: int) -> int:
        """Return how long until one more event would be within `limit`."""
        times = self.times[bisect_right(self.times, now - window_ns) :]
        surplus = len(times) + 1 - limit
        return times[surplus - 1] + window_ns - now if surplus > 0 else 0


@dataclass(slots=True)
class OrderRecord:
    """One order id: what was approved, what was reported, what is still reserved.

    On the path of every order, and remembered by the million: `reports` is a dictionary from the
    first report on, and what only an open order needs is let go at its end.
    """

    order_id: str
    strategy: str
    symbol: str
    side: Side
    order_type: OrderType | None = None
    quantity: Decimal = ZERO
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    replaces_order_id: str | None = None
    cluster: str | None = None
    is_approved: bool = False
    is_open: bool = False
    was_ended: bool = False
    approved_at: int = 0
    approved_sequence: int = 0
    expires_at: int | None = None
    expired_sequence: int | None = None
    epoch: int = 0
    approvable_quantity: Decimal = ZERO
    good_till: int | None = None
    price: Decimal = ZERO
    whole_quantity: Decimal = ZERO
    filled: Decimal = ZERO
    reported_filled: Decimal = ZERO
    listed_filled: Decimal = ZERO
    covered_filled: Decimal = ZERO
    remaining: Decimal = ZERO
    first_reported_sequence: int | None = None
    last_report_at: int | None = None
    last_report_kind: str = ""
    reports: dict[str, str] | None = None
    replaced_venue_time: int | None = None
    replaced_by: str | None = None
    daily_notional: Decimal = ZERO
    daily_day: str = ""
    touched_at: int = 0
    held_number: int = 0
    carries_replaced: bool = False
    was_rejected: bool = False
    was_released: bool = False

    @property
    def is_reported(self) -> bool:
        """Say whether any report has named this id."""
        return self.first_reported_sequence is not None

    @property
    def is_final(self) -> bool:
        """Say whether the venue ended it: a release is our word, which a listing undoes (S8.2)."""
        return self.was_ended and not self.was_released

    def counted_on(self, day: str) -> Decimal:
        """Return what the order added to the raising notional of `day`."""
        return self.daily_notional if self.daily_day == day else ZERO

    def report_of(self, report_id: str) -> str | None:
        """Return the content of a report about this order, None where there was none."""
        return self.reports.get(report_id) if self.reports is not None else None


@dataclass(slots=True, kw_only=True)
class Book:
    """The position of one strategy in one symbol, and what is working around it."""

    strategy: str
    symbol: str
    position: Decimal = ZERO
    trip_cash: Decimal = ZERO
    trip_reported_pnl: Decimal = ZERO
    trip_reducing_fills: int = 0
    trip_reported_fills: int = 0
    touched_sequence: int = 0
    as_of_venue_time: int | None = None
    buy_quantity: Decimal = field(default=ZERO, metadata=DERIVED)
    buy_notional: Decimal = field(default=ZERO, metadata=DERIVED)
    sell_quantity: Decimal = field(default=ZERO, metadata=DERIVED)
    sell_notional: Decimal = field(default=ZERO, metadata=DERIVED)
    exposure: Decimal = field(default=ZERO, metadata=DERIVED)
    is_counted: bool = field(default=False, metadata=DERIVED)
    orders: "OrderedDict[str, None]" = field(default_factory=OrderedDict, metadata=DERIVED)
    clusters: dict[str, list[str]] = field(default_factory=dict, metadata=DERIVED)


@dataclass(slots=True, kw_only=True)
class SymbolState:
    """The mark of a symbol, and sums over its books."""

    name: str
    mark: Decimal | None = None
    mark_at: int = 0
    candidate: Decimal | None = None
    candidate_at: int = 0
    candidate_order_id: str | None = None
    rules: SymbolRules = field(default=DEFAULT_SYMBOL_RULES, metadata=DERIVED)
    net_position: Decimal = field(default=ZERO, metadata=DERIVED)
    exposure: Decimal = field(default=ZERO, metadata=DERIVED)
    counted_books: int = field(default=0, metadata=DERIVED)
    books: dict[str, Book] = field(default_factory=dict, metadata=DERIVED)

    @property
    def mark_for_exposure(self) -> Decimal | None:
        """Return the higher of the confirmed and the unconfirmed mark (S6)."""
        if self.candidate is None or self.mark is None:
            return self.mark
        return max(self.mark, self.candidate)


@dataclass(slots=True, kw_only=True)
class StrategyState:
    """Sums and windows of one strategy."""

    name: str
    heard_at: int = 0
    rate: SlidingWindow = field(default_factory=SlidingWindow)
    exposure: Decimal = field(default=ZERO, metadata=DERIVED)


@dataclass(slots=True, kw_only=True)
class Anchor:
    """A unit value remembered as equity over units: never divided."""

    equity: Decimal = ONE
    units: Decimal = ONE


@dataclass(slots=True, kw_only=True)
class AccountState:
    """Cash, units and what drawdowns are measured from (S8)."""

    cash: Decimal = ZERO
    is_equity_known: bool = False
    units: Decimal | None = None
    day_anchor: Anchor = field(default_factory=Anchor)
    week_anchor: Anchor = field(default_factory=Anchor)
    high_water_mark: Anchor = field(default_factory=Anchor)
    carried: list[Drawdown] = field(default_factory=list)
    held_equity: Decimal | None = None
    held_at: int = 0
    day: str = ""
    week: str = ""
    day_ends_at: int = 0
    daily_notional: Decimal = ZERO
    flows: dict[str, str] = field(default_factory=dict)
    positions_confirmed: bool = False
    drift: list[Drift] = field(default_factory=list)
    drift_at: int | None = None
    positions_as_of: int | None = None
    holdings: Decimal = field(default=ZERO, metadata=DERIVED)

    @property
    def equity(self) -> Decimal | None:
        """Return cash plus marked positions; None while never reported."""
        return self.cash + self.holdings if self.is_equity_known else None


@dataclass(slots=True, kw_only=True)
class BreakerState:
    """The circuit breaker's latch, counters and windows (S9)."""

    is_open: bool = False
    opened_at: int | None = None
    causes: list[CauseView] = field(default_factory=list)
    consecutive_losses: int = 0
    order_failures: int = 0
    api_errors: SlidingWindow = field(default_factory=SlidingWindow)
    failed_trades: SlidingWindow = field(default_factory=SlidingWindow)
    warned: list[str] = field(default_factory=list)
    last_reset_at: int | None = None


@dataclass(slots=True, kw_only=True)
class KillActivation:
    """One scope that is stopped."""

    scope: KillScope
    mode: KillMode
    epoch: int
    reason: str
    triggered_by: str
    triggered_at: int
    requested_action: RequestedAction
    scope_known: bool
    attempts: int = 1


@dataclass(slots=True, kw_only=True)
class Recovery:
    """How the last start went, until the way out is taken."""

    state: RecoveryState = RecoveryState.CLEAN
    since: int = 0
    sequence: int = 0
    detail: str = ""
    way_out: str = ""
    denies_reducing: bool = False


@dataclass(slots=True)
class RememberedReport:
    """A report outside an order: its content and when it came."""

    content: str
    at: int


@dataclass(slots=True)
class Timed:
    """A key with the time it was put down."""

    at: int
    key: str


@dataclass(slots=True)
class DuplicateMemory:
    """The last order alike, and the last alike under another id."""

    order_id: str
    at: int
    other_at: int | None = None


@dataclass(slots=True, kw_only=True)
class State:
    """All of it."""

    thresholds: Thresholds = field(default_factory=Thresholds)
    config_hash: str = ""
    last_sequence: int = 0
    now: int = 0
    stop_epoch: int = 0
    last_stop_at: int | None = None
    last_start_at: int | None = None
    clock_jump_ns: int = 0
    account: AccountState = field(default_factory=AccountState)
    breaker: BreakerState = field(default_factory=BreakerState)
    activations: dict[str, KillActivation] = field(default_factory=dict)
    recovery: Recovery = field(default_factory=Recovery)
    orders: dict[str, OrderRecord] = field(default_factory=dict)
    symbols: dict[str, SymbolState] = field(default_factory=dict)
    strategies: dict[str, StrategyState] = field(default_factory=dict)
    book_list: list[Book] = field(default_factory=list)
    rate: SlidingWindow = field(default_factory=SlidingWindow)
    duplicates: dict[str, DuplicateMemory] = field(default_factory=dict)
    duplicate_queue: deque[Timed] = field(default_factory=deque)
    reports: dict[str, RememberedReport] = field(default_factory=dict)
    ended: deque[Timed] = field(default_factory=deque)
    forgotten_before: int | None = None
    conflicting_reports: int = 0
    flagged_counts: dict[str, int] = field(default_factory=dict)
    unsolicited_orders: int = 0
    group_fills: dict[str, str] = field(default_factory=dict)
    decisions_approved: int = 0
    decisions_denied: int = 0
    held_count: int = 0
    fold_counts: FoldCounts = field(default_factory=FoldCounts)
    # Effective and not yet journalled: never at the end of a record (S12.6).
    folds_waiting: FoldsWaiting | None = field(default=None, metadata=DERIVED)
    portfolio_exposure: Decimal = field(default=ZERO, metadata=DERIVED)
    position_count: int = field(default=0, metadata=DERIVED)
    open_orders: "OrderedDict[str, None]" = field(default_factory=OrderedDict, metadata=DERIVED)
    unreported: "OrderedDict[str, None]" = field(default_factory=OrderedDict, metadata=DERIVED)
    expiries: "OrderedDict[str, int]" = field(default_factory=OrderedDict, metadata=DERIVED)
    report_ids: int = field(default=0, metadata=DERIVED)
    # From when `begin` must look at the expiries; 0 where the first of them may have changed.
    expiry_due: int = field(default=0, metadata=DERIVED)
    release_heap: list[tuple[int, str]] = field(default_factory=list, metadata=DERIVED)
    silence_due: int = field(default=NEVER, metadata=DERIVED)
    # The checks that the thresholds switch on; empty before they are derived, where all are asked.
    checks: tuple[Callable[[Any], Any], ...] = field(default=(), metadata=DERIVED)

    def forget_expiry(self, order_id: str) -> None:
        """Let an approval expire no more: it is given anew, has ended, or was never given out."""
        if self.expiries.pop(order_id, None) is not None:
            self.expiry_due = 0

    def symbol_of(self, name: str) -> SymbolState:
        """Return the symbol, remembering it where it is new."""
        symbol = self.symbols.get(name)
        if symbol is None:
            symbol = SymbolState(name=name)
            symbol.rules = self.thresholds.symbols.get(name, DEFAULT_SYMBOL_RULES)
            self.symbols[name] = symbol
        return symbol

    def strategy_of(self, name: str) -> StrategyState:
        """Return the strategy, remembering it where it is new."""
        strategy = self.strategies.get(name)
        if strategy is None:
            strategy = self.strategies[name] = StrategyState(name=name, heard_at=self.now)
        return strategy

    def book_of(self, strategy: str, symbol: str) -> Book:
        """Return the book, remembering it (and its symbol and strategy) where it is new."""
        symbol_state = self.symbols.get(symbol) or self.symbol_of(symbol)
        book = symbol_state.books.get(strategy)
        if book is None:
            self.strategy_of(strategy)
            book = symbol_state.books[strategy] = Book(strategy=strategy, symbol=symbol)
            # A complete report says of every book it does not name that it was flat.
            book.as_of_venue_time = self.account.positions_as_of
            self.book_list.append(book)
        return book


def to_plain(state: State) -> list[Any]:
    """Return the plain form of the state, for a snapshot and for comparing two states."""
    plain: list[Any] = codec.encode(state)
    return plain


def from_plain(plain: list[Any]) -> State:
    """Return the state without its derived fields; `derive.rebuild` completes it."""
    state: State = codec.decode(State, plain)
    return state
