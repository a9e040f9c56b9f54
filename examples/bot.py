"""The trading loop: four checkpoints around a venue, one recorded day at a time.

Rules:
- Kill switch first, breaker second, limits before execution, the breaker told after the trade. An
  exception of the venue's API is reported, whatever it was.
- The switches as last heard only spare useless questions: a stopped bot still asks about one order
  a day, and the sidecar's answer is what counts. The orders it did not ask about are counted too.
- An order whose fate is unknown is looked up at the venue before anything else the next day.
- An order too large is asked about once more at what the denial said would pass, in whole shares.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Final
from zoneinfo import ZoneInfo

from examples.market import Order, Prices, Side
from examples.safety import Denied, Safety
from examples.strategies import Strategy, Wish
from examples.venue import (
    AccountSnapshot,
    SimulatedVenue,
    VenueApiError,
    VenueReport,
    VenueTimeoutError,
)

EXCHANGE_ZONE: Final = ZoneInfo("America/New_York")
TRADING_STARTS: Final = time(15, 30)  # half an hour before the close that the record holds
TRADING_ENDS: Final = time(16, 0)
MARK_REPEAT_SECONDS: Final = (
    5  # a jump beyond the sidecar's band needs a second word to be believed
)
SECONDS_BETWEEN_ORDERS: Final = 2
LIMIT_ROOM_RATIO: Final = Decimal("0.002")
PRICE_STEP: Final = Decimal("0.01")

KILL_SWITCH: Final = "KILL_SWITCH"
CIRCUIT_BREAKER: Final = "CIRCUIT_BREAKER"
POSITION_LIMITS: Final = "POSITION_LIMITS"


class SessionClock:
    """The recorded day's time, in UTC; it moves only forward and only when told."""

    def __init__(self) -> None:
        self.now = datetime.min.replace(tzinfo=UTC)

    def move_to(self, day: date, at: time) -> None:
        """It is `at` on `day` in New York."""
        self.now = max(self.now, datetime.combine(day, at, EXCHANGE_ZONE).astimezone(UTC))

    def advance(self, seconds: int) -> None:
        """Some seconds go by."""
        self.now += timedelta(seconds=seconds)


@dataclass(slots=True)
class Tally:
    """What became of every wish; a denied order counts for its layer, and for each code broken."""

    asked: int = 0
    approved: int = 0
    fitted: int = 0  # of those: approved at the smaller quantity that a denial named
    denied_by_layer: Counter[str] = field(default_factory=Counter)
    denied_by_code: Counter[tuple[str, str]] = field(default_factory=Counter)
    held_back: Counter[str] = field(default_factory=Counter)  # by layer: known to be stopped
    outcomes: Counter[str] = field(default_factory=Counter)  # what the venue made of what was sent
    equity_by_day: list[tuple[date, Decimal]] = field(default_factory=list)

    @property
    def denied(self) -> int:
        """Orders denied, by whichever layer."""
        return self.denied_by_layer.total()


class Bot:
    """Trades recorded days through one venue, asking one `Safety`.

    `after_open` is called once the account of a day is told, `before_order` before each order.
    """

    def __init__(
        self,
        *,
        prices: Prices,
        strategies: Sequence[Strategy],
        venue: SimulatedVenue,
        safety: Safety,
        clock: SessionClock,
        after_open: Callable[[date], None] | None = None,
        before_order: Callable[[Order], None] | None = None,
    ) -> None:
        self.tally = Tally()
        self._prices = prices
        self._strategies = strategies
        self._venue = venue
        self._safety = safety
        self._clock = clock
        self._after_open = after_open
        self._before_order = before_order
        self._unknown: list[Order] = []
        self._has_reconciled = False
        self._asked_though_stopped: set[str] = set()

    def trade_day(self, index: int) -> None:
        """One day: old questions settled, the account told, every wish taken, the close."""
        day = self._prices.days[index]
        self._clock.move_to(day, TRADING_STARTS)
        self._asked_though_stopped.clear()
        self._settle_unknown()
        self._open(index)
        for order, is_exit in self._orders(index):
            self._clock.advance(SECONDS_BETWEEN_ORDERS)
            if self._before_order:
                self._before_order(order)
            self._take(order, is_exit=is_exit)
        self._clock.move_to(day, TRADING_ENDS)
        for report in self._venue.close_session(self._clock.now):
            self._report(report)
        self.tally.equity_by_day.append((day, self._venue.equity))

    def _open(self, index: int) -> None:
        """Marks and equity are told twice, so that a true jump is believed; all once a week."""
        prices = self._prices.on(index)
        self._venue.open_session(self._clock.now, prices)
        is_complete = self._prices.is_first_of_week(index) or not self._has_reconciled
        self._safety.report_account(self._snapshot, prices, is_complete=is_complete)
        self._has_reconciled = True
        self._clock.advance(MARK_REPEAT_SECONDS)
        self._safety.report_account(self._snapshot, prices, is_complete=False)
        if self._after_open:
            self._after_open(self._prices.days[index])

    def _orders(self, index: int) -> list[tuple[Order, bool]]:
        """Every strategy's wishes of today as orders, exits before entries."""
        day = self._prices.days[index]
        equity = self._venue.equity
        orders = [
            (self._order(strategy.name, day, wish, index), wish.is_exit)
            for strategy in self._strategies
            for wish in strategy.wishes(
                self._prices, index, self._venue.positions_of(strategy.name), equity
            )
        ]
        return sorted(orders, key=lambda pair: not pair[1])

    def _order(self, strategy: str, day: date, wish: Wish, index: int) -> Order:
        return Order(
            order_id=f"{strategy}-{day:%Y%m%d}-{wish.symbol}-{wish.side.lower()}",
            strategy=strategy,
            symbol=wish.symbol,
            side=wish.side,
            quantity=wish.quantity,
            limit_price=None if wish.is_exit else self._limit_price(wish, index),
        )

    def _limit_price(self, wish: Wish, index: int) -> Decimal:
        price = self._prices.closes[wish.symbol][index]
        room = LIMIT_ROOM_RATIO if wish.side is Side.BUY else -LIMIT_ROOM_RATIO
        return (price * (1 + room)).quantize(PRICE_STEP)

    def _take(self, order: Order, *, is_exit: bool) -> None:
        """The four checkpoints, in their order."""
        if self._safety.is_kill_active() and self._is_spared(KILL_SWITCH):
            return
        if not is_exit and self._safety.is_breaker_open() and self._is_spared(CIRCUIT_BREAKER):
            return
        denied = self._ask_and_send(order, is_exit=is_exit)
        if denied is None:
            return
        smaller = _fitted(order, denied)
        if smaller is not None and self._ask_and_send(smaller, is_exit=is_exit) is None:
            self.tally.fitted += 1

    def _is_spared(self, layer: str) -> bool:
        """Whether this question is not worth asking: one was asked today although stopped."""
        if layer not in self._asked_though_stopped:
            self._asked_though_stopped.add(layer)
            return False
        self.tally.held_back[layer] += 1
        return True

    def _ask_and_send(self, order: Order, *, is_exit: bool) -> Denied | None:
        """Ask, send, tell. An order left by an exception after sending is told as FAILED."""
        self.tally.asked += 1
        try:
            with self._safety.order(order, is_exit=is_exit) as approval:
                approval.mark_sent()
                self.tally.approved += 1
                self._send(order)
        except Denied as denied:
            self._count(denied)
            return denied
        except VenueTimeoutError as error:
            self.tally.outcomes["timed out"] += 1
            self._unknown.append(order)
            self._safety.report_api_error("timeout", str(error))
        return None

    def _send(self, order: Order) -> None:
        try:
            reports = self._venue.submit(order, self._clock.now)
        except VenueApiError as error:
            self.tally.outcomes["api error"] += 1
            self._safety.report_not_taken(order, error.message)
            self._safety.report_api_error(error.code, error.message)
            return
        for report in reports:
            self._report(report)

    def _count(self, denied: Denied) -> None:
        self.tally.denied_by_layer[denied.layer] += 1
        for code in denied.codes:
            self.tally.denied_by_code[denied.layer, code] += 1
        if denied.layer in {KILL_SWITCH, CIRCUIT_BREAKER}:
            self._asked_though_stopped.add(denied.layer)

    def _report(self, report: VenueReport) -> None:
        self.tally.outcomes[report.kind.lower()] += 1
        self._safety.report(report)

    def _settle_unknown(self) -> None:
        """Ask the venue about every order that went unanswered, and tell what it says."""
        unanswered, self._unknown = self._unknown, []
        for order in unanswered:
            reports = self._venue.reports_of(order.order_id)
            if reports is None:
                self.tally.outcomes["never arrived"] += 1
                self._safety.report_never_arrived(order)
                continue
            for report in reports:
                self._report(report)

    def _snapshot(self) -> AccountSnapshot:
        return self._venue.snapshot(self._clock.now)


def _fitted(order: Order, denied: Denied) -> Order | None:
    """The same order at the whole shares that would pass, or None where there are none."""
    if denied.layer != POSITION_LIMITS:
        return None
    shares = denied.approvable_quantity.quantize(Decimal(1), rounding=ROUND_DOWN)
    if not 0 < shares < order.quantity:
        return None
    return Order(
        order_id=f"{order.order_id}-fit",
        strategy=order.strategy,
        symbol=order.symbol,
        side=order.side,
        quantity=shares,
        limit_price=order.limit_price,
    )
