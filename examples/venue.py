"""A simulated venue: it fills, rejects, partly fills, times out, drops, and its API breaks.

Rules:
- What becomes of an order is drawn from the seed, the day and the order's id: the same order meets
  the same fate whatever else was sent, so two runs that differ in one order differ in that order.
- A fate moves cash and positions here at once, whether or not the answer reaches the bot. After
  `VenueTimeoutError` only `reports_of` tells what became of the order.
- Cash and positions move by fills and their fees, and by nothing else.
- A day order left working ends at the close: filled, or expired.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from enum import Enum, StrEnum, auto
from typing import Final

from examples.market import Order, Side

CENT: Final = Decimal("0.01")
PRICE_STEP: Final = Decimal("0.0001")
COMMISSION_PER_SHARE: Final = Decimal("0.005")
COMMISSION_MINIMUM: Final = Decimal(1)
SLIPPAGE_RATIO: Final = Decimal("0.0005")
LEVERAGE_MAX: Final = Decimal(2)  # a margin account: positions up to twice the equity


class VenueApiError(Exception):
    """The API raised before it took the order: the order is not at the venue."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class VenueTimeoutError(Exception):
    """No answer came: the order may be at the venue, filled even, or never have arrived."""


class ReportKind(StrEnum):
    """What the venue says of an order."""

    ACCEPTED = "ACCEPTED"
    FILLED = "FILLED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueReport:
    """One statement about one order; quantity, price and fee are those of a fill."""

    report_id: str
    order: Order
    kind: ReportKind
    venue_time: datetime
    quantity: Decimal = Decimal(0)
    price: Decimal = Decimal(0)
    fee: Decimal = Decimal(0)
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldPosition:
    """A signed position in one strategy's sub-account, and what it cost on average."""

    strategy: str
    symbol: str
    quantity: Decimal
    average_price: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingOrder:
    """An order not yet ended: how much of it is left, and how much was filled."""

    order: Order
    remaining_quantity: Decimal
    filled_quantity: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSnapshot:
    """Everything the account holds at `venue_time`: complete, nothing left out."""

    equity: Decimal
    cash: Decimal
    positions: tuple[HeldPosition, ...]
    working_orders: tuple[WorkingOrder, ...]
    venue_time: datetime


class Fate(Enum):
    """What becomes of one submission."""

    FILL = auto()
    PARTIAL = auto()
    REJECT = auto()
    TIMEOUT_FILLED = auto()
    DROP = auto()
    API_ERROR = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How often things go wrong: weights of the fates in parts of 1,000, on three kinds of day.

    A day is bad (`outage`: the API breaks, `refusing`: the venue's own risk desk says no) with
    the given chance in 1,000; the fate of each order is then drawn from that day's weights.
    """

    ordinary: Mapping[Fate, int]
    outage: Mapping[Fate, int]
    refusing: Mapping[Fate, int]
    outage_days_per_1000: int
    refusing_days_per_1000: int


ORDINARY_FAULTS: Final = Faults(
    ordinary={
        Fate.FILL: 915,
        Fate.PARTIAL: 45,
        Fate.REJECT: 15,
        Fate.TIMEOUT_FILLED: 8,
        Fate.DROP: 7,
        Fate.API_ERROR: 10,
    },
    outage={Fate.API_ERROR: 800, Fate.DROP: 100, Fate.TIMEOUT_FILLED: 100},
    refusing={Fate.REJECT: 900, Fate.FILL: 100},
    outage_days_per_1000=8,
    refusing_days_per_1000=5,
)
NO_FAULTS: Final = Faults(
    ordinary={Fate.FILL: 1000},
    outage={},
    refusing={},
    outage_days_per_1000=0,
    refusing_days_per_1000=0,
)


class SimulatedVenue:
    """One margin account with a sub-account per strategy; `seed` decides every fate."""

    def __init__(self, *, seed: int, cash: Decimal, faults: Faults = ORDINARY_FAULTS) -> None:
        self.cash = cash
        self._seed = seed
        self._faults = faults
        self._marks: dict[str, Decimal] = {}
        self._books: dict[tuple[str, str], HeldPosition] = {}
        self._reports: dict[str, list[VenueReport]] = {}
        self._working: dict[str, WorkingOrder] = {}
        self._weights: Mapping[Fate, int] = faults.ordinary
        self._day = ""

    @property
    def equity(self) -> Decimal:
        """Cash and every position at today's price."""
        return self.cash + sum(
            (held.quantity * self._marks[held.symbol] for held in self._books.values()), Decimal(0)
        )

    def position(self, strategy: str, symbol: str) -> Decimal:
        """The signed position of one sub-account in one symbol; flat is 0."""
        held = self._books.get((strategy, symbol))
        return held.quantity if held else Decimal(0)

    def positions_of(self, strategy: str) -> dict[str, Decimal]:
        """Every position of one sub-account that is not flat."""
        return {
            held.symbol: held.quantity for held in self._books.values() if held.strategy == strategy
        }

    def open_session(self, now: datetime, prices: Mapping[str, Decimal]) -> None:
        """A trading day begins: today's prices are in force and today's kind of day is drawn."""
        self._marks = dict(prices)
        self._day = now.date().isoformat()
        chance = random.Random(f"{self._seed}|{self._day}").randrange(1000)
        if chance < self._faults.outage_days_per_1000:
            self._weights = self._faults.outage
        elif chance < self._faults.outage_days_per_1000 + self._faults.refusing_days_per_1000:
            self._weights = self._faults.refusing
        else:
            self._weights = self._faults.ordinary

    def submit(self, order: Order, now: datetime) -> tuple[VenueReport, ...]:
        """Take an order and answer what became of it at once.

        Raises:
            VenueApiError: the order was not taken.
            VenueTimeoutError: no answer; ask `reports_of` later.
            ValueError: the id was used before.
        """
        if order.order_id in self._reports:
            raise ValueError(f"venue: order id {order.order_id} was used before")
        chance = random.Random(f"{self._seed}|{self._day}|{order.order_id}")
        fate = chance.choices(tuple(self._weights), weights=tuple(self._weights.values()))[0]
        if fate is Fate.API_ERROR:
            raise VenueApiError("503", "the order gateway is overloaded")
        if fate is Fate.DROP:
            raise VenueTimeoutError(f"no answer for {order.order_id} in 5 s")
        self._reports[order.order_id] = []
        self._take(order, fate, chance, now)
        if fate is Fate.TIMEOUT_FILLED:
            raise VenueTimeoutError(f"no answer for {order.order_id} in 5 s")
        return tuple(self._reports[order.order_id])

    def reports_of(self, order_id: str) -> tuple[VenueReport, ...] | None:
        """Everything said of an order so far, or None: no such order ever arrived here."""
        reports = self._reports.get(order_id)
        return None if reports is None else tuple(reports)

    def close_session(self, now: datetime) -> tuple[VenueReport, ...]:
        """The day ends: each order still working is filled or expires; answers those reports."""
        ended = []
        for order_id, working in list(self._working.items()):
            chance = random.Random(f"{self._seed}|{self._day}|{order_id}|close")
            if chance.randrange(2):
                ended.append(self._fill(working.order, working.remaining_quantity, now))
            else:
                ended.append(self._say(working.order, ReportKind.EXPIRED, now, "end of day"))
            del self._working[order_id]
        return tuple(ended)

    def snapshot(self, now: datetime) -> AccountSnapshot:
        """The complete account: what a bot reports so that the sidecar can reconcile."""
        return AccountSnapshot(
            equity=self.equity,
            cash=self.cash,
            positions=tuple(self._books.values()),
            working_orders=tuple(self._working.values()),
            venue_time=now,
        )

    def _take(self, order: Order, fate: Fate, chance: random.Random, now: datetime) -> None:
        if fate is Fate.REJECT:
            self._say(order, ReportKind.REJECTED, now, "refused by the venue's risk desk")
            return
        if self._exceeds_margin(order):
            self._say(order, ReportKind.REJECTED, now, "insufficient margin")
            return
        self._say(order, ReportKind.ACCEPTED, now)
        if fate is not Fate.PARTIAL or order.quantity == 1:
            self._fill(order, order.quantity, now)
            return
        filled = max(Decimal(1), order.quantity * chance.randint(30, 70) // 100)
        self._fill(order, filled, now)
        if order.quantity > filled:
            self._working[order.order_id] = WorkingOrder(
                order=order, remaining_quantity=order.quantity - filled, filled_quantity=filled
            )

    def _exceeds_margin(self, order: Order) -> bool:
        held = self.position(order.strategy, order.symbol)
        after = held + order.side.sign * order.quantity
        if abs(after) <= abs(held):
            return False
        gross = sum(
            (abs(book.quantity) * self._marks[book.symbol] for book in self._books.values()),
            Decimal(0),
        )
        gross += (abs(after) - abs(held)) * self._marks[order.symbol]
        return gross > LEVERAGE_MAX * self.equity

    def _fill(self, order: Order, quantity: Decimal, now: datetime) -> VenueReport:
        price = self._fill_price(order)
        fee = max(COMMISSION_MINIMUM, quantity * COMMISSION_PER_SHARE)
        fee = fee.quantize(CENT, rounding=ROUND_HALF_EVEN)
        self.cash -= order.side.sign * quantity * price + fee
        self._move(order, quantity, price)
        return self._say(order, ReportKind.FILLED, now, quantity=quantity, price=price, fee=fee)

    def _fill_price(self, order: Order) -> Decimal:
        mark = self._marks[order.symbol]
        price = mark * (1 + order.side.sign * SLIPPAGE_RATIO)
        price = price.quantize(PRICE_STEP, rounding=ROUND_HALF_EVEN)
        if order.limit_price is None:
            return price
        better = min if order.side is Side.BUY else max
        return better(price, order.limit_price)

    def _move(self, order: Order, quantity: Decimal, price: Decimal) -> None:
        key = (order.strategy, order.symbol)
        held = self._books.pop(key, None)
        before = held.quantity if held else Decimal(0)
        after = before + order.side.sign * quantity
        if after == 0:
            return
        average = held.average_price if held else price
        if abs(after) > abs(before) and held:
            cost = abs(before) * average + quantity * price
            average = (cost / abs(after)).quantize(PRICE_STEP, rounding=ROUND_HALF_EVEN)
        elif before * after < 0:
            average = price
        self._books[key] = HeldPosition(
            strategy=order.strategy, symbol=order.symbol, quantity=after, average_price=average
        )

    def _say(
        self,
        order: Order,
        kind: ReportKind,
        now: datetime,
        note: str = "",
        *,
        quantity: Decimal = Decimal(0),
        price: Decimal = Decimal(0),
        fee: Decimal = Decimal(0),
    ) -> VenueReport:
        said = self._reports[order.order_id]
        report = VenueReport(
            report_id=f"{order.order_id}/{len(said) + 1}",
            order=order,
            kind=kind,
            venue_time=now,
            quantity=quantity,
            price=price,
            fee=fee,
            note=note,
        )
        said.append(report)
        return report
