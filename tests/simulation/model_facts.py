"""What the model remembers: plain lists of what happened, and sums over them.

Rules:
- Every number is an exact `Fraction`; nothing is kept that can be counted from the lists.
- No code is shared with the core's logic, only its vocabulary of commands, codes and thresholds.
"""

from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from functools import lru_cache

from sidecar.core.commands import CheckOrder, KillMode, KillScope, ReportKind, Side
from sidecar.core.denial import ErrorCode
from sidecar.core.thresholds import DEFAULT_SYMBOL_RULES, SymbolRules, Thresholds

ZERO = Fraction(0)
ONE = Fraction(1)
Book = tuple[str, str]
Bucket = tuple[str, str]
"""What counts once: ("group", its name) or ("chain", the first order that was replaced)."""

EXPIRY_MARGIN = 60 * 1_000_000_000
"""How long after its `expires_at` an approval may still be valid on the clock of who holds it."""


@dataclass(slots=True, kw_only=True)
class Held:
    """One order known to the sidecar: approved by it, or a stranger that a report named."""

    order_id: str
    strategy: str
    symbol: str
    side: Side
    quantity: Fraction
    unit_price: Fraction
    content: tuple[object, ...] | None
    approved_at: int
    approved_sequence: int
    expires_at: int | None
    epoch: int
    lapsed_sequence: int | None = None
    good_till: int | None = None
    bucket: Bucket | None = None
    replaces: str | None = None
    is_stranger: bool = False
    is_ended: bool = False
    was_released: bool = False
    filled: Fraction = ZERO
    filled_by_reports: Fraction = ZERO
    listed_filled: Fraction = ZERO
    covered_filled: Fraction = ZERO
    replaced_by: str | None = None
    carries_replaced: bool = False
    was_rejected: bool = False
    is_reserved: bool = True
    approvable: Fraction = ZERO
    checked_quantity: Fraction = ZERO
    reports: list[tuple[ReportKind | str, int, int]] = field(default_factory=list)
    replaced_venue_time: int | None = None
    touched: tuple[int, int] = (0, 0)
    looked: tuple[object, ...] = ()

    @property
    def book(self) -> Book:
        """Name the book the order was approved for."""
        return (self.strategy, self.symbol)

    @property
    def group(self) -> str | None:
        """Name the one-cancels-other group the order counts in."""
        return self.bucket[1] if self.bucket is not None and self.bucket[0] == "group" else None

    @property
    def is_open(self) -> bool:
        """Say whether the order holds a reservation."""
        return self.is_reserved and not self.is_ended

    def end(self) -> None:
        """End the order for good, also where it was only released before."""
        self.is_ended, self.was_released = True, False

    def release(self) -> None:
        """End the reservation of an open order: a word of ours, not of the venue."""
        if self.is_open:
            self.is_ended = self.was_released = True

    @property
    def remaining(self) -> Fraction:
        """Say what is still reserved."""
        return ZERO if self.is_ended else max(ZERO, self.quantity - self.filled)


@dataclass(frozen=True, slots=True)
class Move:
    """One change of a position."""

    book: Book
    quantity: Fraction


@dataclass(slots=True)
class Trip:
    """One open round trip of a book."""

    cash: Fraction = ZERO
    realized: list[Fraction | None] = field(default_factory=list)


@dataclass(slots=True)
class Mark:
    """The confirmed mark of a symbol and the unconfirmed one beside it."""

    price: Fraction
    at: int
    pending: Fraction | None = None
    pending_at: int = 0
    pending_order: str | None = None


@dataclass(slots=True)
class Ask:
    """One judged order, for the rate and the duplicates."""

    at: int
    order_id: str
    strategy: str
    identity: tuple[object, ...]
    quantity: Fraction
    in_rate: bool
    in_own_rate: bool
    in_duplicates: bool


@dataclass(slots=True)
class Kill:
    """One activation."""

    scope: KillScope
    mode: KillMode
    epoch: int
    attempts: int = 1
    scope_known: bool = True


@dataclass(slots=True)
class Cause:
    """One cause of an open breaker."""

    name: str
    at: int
    observed: Fraction
    threshold: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Below:
    """What the model is told about the world below it, never remembered."""

    store_problem: bool = False
    store_low: bool = False
    free_bytes: int = 1_000
    free_bytes_min: int = 2_000
    is_damaged: bool = False

    @property
    def refuses(self) -> bool:
        """Say whether an approval could be forgotten."""
        return self.store_problem or self.is_damaged


@dataclass(slots=True)
class Memory:
    """Everything that happened, as lists."""

    thresholds: Thresholds
    orders_held_max: int = 200_000
    remembered_min: int = 1_000_000
    bucket_members_max: int = 16
    forgotten_before: int | None = None
    forgotten_count: int = 0
    touch_count: int = 0
    full_buckets: int = 0
    touched_books: dict[Book, int] = field(default_factory=dict)
    clock_jump: int = 0
    now: int = 0
    sequence: int = 0
    times: dict[int, int] = field(default_factory=dict)
    orders: list[Held] = field(default_factory=list)
    named_ids: list[str] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    fills: list[tuple[Book, int, str]] = field(default_factory=list)
    trips: dict[Book, Trip] = field(default_factory=dict)
    marks: dict[str, Mark] = field(default_factory=dict)
    asks: list[Ask] = field(default_factory=list)
    daily_notional: list[tuple[str, str, Fraction]] = field(default_factory=list)
    trade_reports: dict[tuple[str, str], object] = field(default_factory=dict)
    other_reports: dict[tuple[str, str], tuple[int, object]] = field(default_factory=dict)
    flows: dict[str, Fraction] = field(default_factory=dict)
    covered: list[tuple[int, frozenset[Book]]] = field(default_factory=list)
    first_fills: dict[tuple[Book, Side, str], str] = field(default_factory=dict)
    last_calls: dict[str, int] = field(default_factory=dict)
    known_symbols: set[str] = field(default_factory=set)
    cash: Fraction = ZERO
    is_equity_known: bool = False
    held_equity: tuple[Fraction, int] | None = None
    units: Fraction | None = None
    anchors: dict[str, Fraction] = field(default_factory=dict)
    day: str = ""
    week: str = ""
    still_standing: set[str] = field(default_factory=set)
    positions_confirmed: bool = False
    losses: int = 0
    failures: int = 0
    api_errors: list[int] = field(default_factory=list)
    failed_trades: list[int] = field(default_factory=list)
    is_open: bool = False
    causes: list[Cause] = field(default_factory=list)
    silence_from: int = 0
    stop_epoch: int = 0
    kills: list[Kill] = field(default_factory=list)
    is_reconciling: bool = False
    recovery_sequence: int = 0
    denies_reducing: bool = False
    added_up: tuple[int, dict[Book, Fraction]] = (0, {})

    def copied(self) -> "Memory":
        """Return what a refusal goes back to: nothing in it changes with this one."""
        other = replace(self)
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, (list, dict, set)):
                setattr(other, item.name, value.copy())
        other.orders = [replace(order, reports=order.reports.copy()) for order in self.orders]
        other.trips = {
            book: Trip(trip.cash, trip.realized.copy()) for book, trip in self.trips.items()
        }
        other.marks = {symbol: replace(mark) for symbol, mark in self.marks.items()}
        other.kills = [replace(kill) for kill in self.kills]
        return other

    def become(self, other: "Memory") -> None:
        """Take everything from another: what happened since is gone."""
        for item in fields(self):
            setattr(self, item.name, getattr(other, item.name))


class ModelRefusedError(Exception):
    """The model gives no decision."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        """Keep the code and the word."""
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


exact = lru_cache(maxsize=1_000)(Fraction)
"""The fraction of a decimal, made once."""


def symbol_rules(memory: Memory, symbol: str) -> SymbolRules:
    """Return the rules of one symbol."""
    return memory.thresholds.symbols.get(symbol, DEFAULT_SYMBOL_RULES)


def multiplier(memory: Memory, symbol: str) -> Fraction:
    """Return k of S6."""
    return exact(symbol_rules(memory, symbol).multiplier)


def find_order(memory: Memory, order_id: str) -> Held | None:
    """Return the order, searched from the start."""
    for order in memory.orders:
        if order.order_id == order_id:
            return order
    return None


def has_room(memory: Memory, book: Book, side: Side, bucket: Bucket) -> bool:
    """Say whether one more order may count once with those of a bucket (S4.10, bounded)."""
    members = [
        order
        for order in memory.orders
        if order.is_open and (order.book, order.side, order.bucket) == (book, side, bucket)
    ]
    return len(members) < memory.bucket_members_max


def position(memory: Memory, book: Book) -> Fraction:
    """Add up every move of the book."""
    return all_positions(memory).get(book, ZERO)


def all_positions(memory: Memory) -> dict[Book, Fraction]:
    """Add up every move of every book; asked again without a further move, the same sums."""
    if memory.added_up[0] != len(memory.moves):
        positions: dict[Book, Fraction] = {}
        for move in memory.moves:
            positions[move.book] = positions.get(move.book, ZERO) + move.quantity
        memory.added_up = (len(memory.moves), positions)
    return memory.added_up[1]


def higher_mark(memory: Memory, symbol: str) -> Fraction | None:
    """Return the mark for exposure and price: the higher of the two (S6)."""
    mark = memory.marks.get(symbol)
    if mark is None:
        return None
    return mark.price if mark.pending is None else max(mark.price, mark.pending)


def equity(memory: Memory) -> Fraction | None:
    """Return cash and the value of every position at the confirmed mark (S8.1)."""
    if not memory.is_equity_known:
        return None
    return memory.cash + marked_value(memory)


def marked_value(memory: Memory) -> Fraction:
    """Return sum(p*m*k) at confirmed marks."""
    total = ZERO
    for (_, symbol), held in all_positions(memory).items():
        if held and symbol in memory.marks:
            total += held * memory.marks[symbol].price * multiplier(memory, symbol)
    return total


def content_of(order: CheckOrder) -> tuple[object, ...]:
    """Return what makes the content of an order (S4.1)."""
    return (
        order.strategy,
        order.symbol,
        order.side,
        order.order_type,
        order.quantity,
        order.limit_price,
        order.stop_price,
        order.replaces_order_id,
    )


def identity_of(order: CheckOrder) -> tuple[object, ...]:
    """Return what two identical orders share beside their quantity (S5)."""
    return (
        order.strategy,
        order.symbol,
        order.side,
        order.limit_price,
        order.stop_price,
    )


def is_in_window(at: int, now: int, window: int) -> bool:
    """Say whether an event still counts (S2.4)."""
    return at > now - window


def set_mark(memory: Memory, symbol: str, price: Fraction, order_id: str | None = None) -> None:
    """Take a reported price as the mark, confirmed or not (S6).

    A jump by the fills of one order is never confirmed by fills of the same order.
    """
    memory.known_symbols.add(symbol)
    mark = memory.marks.get(symbol)
    if mark is None:
        memory.marks[symbol] = Mark(price, memory.now)
        return
    ratio = Fraction(memory.thresholds.account.mark_jump_ratio)
    confirm_ns = memory.thresholds.account.mark_confirm_ns
    if abs(price - mark.price) <= ratio * mark.price:
        memory.marks[symbol] = Mark(price, memory.now)
        return
    if mark.pending is None or abs(price - mark.pending) > ratio * mark.pending:
        mark.pending, mark.pending_at, mark.pending_order = price, memory.now, order_id
        return
    if order_id is not None and order_id == mark.pending_order:
        return
    if memory.now - mark.pending_at >= confirm_ns:
        memory.marks[symbol] = Mark(price, memory.now)
