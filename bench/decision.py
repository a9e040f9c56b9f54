"""The decision alone: from decimal strings through all three layers to a reservation, no I/O.

Rules:
1. Limits are set and wide: every order is judged by every rule and approved.
2. Each timed order is cancelled untimed, so that every round meets the same state.
3. Past events pass at one order a second: days begin, windows slide, ids are forgotten at their
   bound, as in months of trading.
"""

from __future__ import annotations

from decimal import Decimal
from functools import partial

from bench.figures import Figure, judged
from bench.timing import Sample, in_turns, measure, ratio
from sidecar.core import configuration, engine
from sidecar.core.commands import (
    CheckOrder,
    OrderType,
    ReportAccount,
    ReportedMark,
    ReportKind,
    ReportTrade,
    Side,
    Tick,
)
from sidecar.core.forms import Form
from sidecar.core.judgement import Conditions
from sidecar.core.state import State
from sidecar.core.thresholds import OrderRules, Thresholds
from sidecar.core.turn import Outcome

NOW = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000
MILLISECOND_NS = 1_000_000
PLENTY = Decimal(10) ** 15
EVENTS_OF_AN_ORDER = 2
GROWTH_MAX = 1.2
DECISION_MICROSECONDS_MAX = 5.0


class Desk:
    """A state with equity, marks, and as many books and open reservations as asked."""

    def __init__(self, *, books: int, open_orders: int, events: int = 0) -> None:
        """Fill the state. `events` are past ones: each order approved and cancelled is two."""
        self.state = State()
        self.conditions = Conditions()
        self.now = NOW
        rules = OrderRules(
            max_order_notional=PLENTY,
            max_orders_per_window=10**9,
            price_collar_ratio=Decimal("0.5"),
        )
        engine.begin(self.state, 1, self.now)
        configuration.configure(self.state, Thresholds(order_rules=rules), "bench", self.conditions)
        self.symbols = [f"S{at}" for at in range(books)]
        for at in range(0, books, 1_000):
            part = self.symbols[at : at + 1_000]
            marks = tuple(ReportedMark(symbol=name, price=Decimal(100)) for name in part)
            self.run(ReportAccount(report_id=f"marks{at}", equity=PLENTY, marks=marks))
        self._hold_books()
        for at in range(open_orders):
            self.run(self.order(f"open{at}", at))
        for at in range(events // EVENTS_OF_AN_ORDER):
            self.end_one(f"past{at}", at)
            self.now += SECOND_NS

    def _hold_books(self) -> None:
        """Make the book of every symbol: an order that was asked about and cancelled."""
        for at in range(len(self.symbols)):
            self.run(self.order(f"book{at}", at, among=len(self.symbols)))
            self.cancel(f"book{at}", at, among=len(self.symbols))

    def run(self, command: object) -> Outcome:
        """Give one command to the core under the next sequence, as the service does."""
        state = self.state
        self.now += MILLISECOND_NS
        if engine.next_due(state) <= self.now:
            engine.begin(state, state.last_sequence + 1, self.now)
            engine.execute(state, Tick(), self.conditions)
        engine.begin(state, state.last_sequence + 1, self.now)
        return engine.execute(state, command, self.conditions)

    def order(self, order_id: str, at: int, *, among: int = 10) -> CheckOrder:
        """Read an order from text, as the wire does."""
        form = Form()
        order = CheckOrder(
            form.name("order_id", order_id),
            form.name("strategy", "momentum"),
            form.name("symbol", self.symbols[at % min(among, len(self.symbols))]),
            Side.BUY,
            OrderType.LIMIT,
            form.positive("quantity", "12.5"),
            form.positive("limit_price", "100.25"),
        )
        form.finish()
        return order

    def cancel(self, order_id: str, at: int, *, among: int = 10) -> None:
        """End an order, so that the next round meets the same state."""
        self.run(
            ReportTrade(
                report_id="end",
                order_id=order_id,
                strategy="momentum",
                symbol=self.symbols[at % min(among, len(self.symbols))],
                side=Side.BUY,
                kind=ReportKind.CANCELED,
            )
        )

    def end_one(self, order_id: str, at: int) -> None:
        """Approve one order and cancel it: two events."""
        self.run(self.order(order_id, at))
        self.cancel(order_id, at)

    def measure(self, rounds: int) -> Sample:
        """Time checks that are approved; each is cancelled untimed."""
        name = f"timed{self.state.last_sequence}-"

        def check(at: int) -> None:
            answer = self.run(self.order(f"{name}{at}", at)).answer
            if not answer.is_approved:
                raise RuntimeError(f"the bench expects an approval: {answer.violations}")

        return measure(check, rounds=rounds, after=lambda at: self.cancel(f"{name}{at}", at))


def decision_figures(
    *, rounds: int, blocks: int, events: int, books: int, open_orders: int
) -> list[Figure]:
    """Measure one decision, and how it grows with books, reservations and the past."""
    desks = [
        Desk(books=10, open_orders=10),
        Desk(books=books, open_orders=10),
        Desk(books=10, open_orders=open_orders),
        Desk(books=10, open_orders=10, events=events),
    ]
    small, *large = in_turns([partial(desk.measure, rounds) for desk in desks], blocks)
    names = (
        f"the same with {books:,} books instead of 10",
        f"the same with {open_orders:,} open reservations instead of 10",
        f"the same after {events:,} past events",
    )
    goals = ("<= 1.2x at 10,000", "<= 1.2x at 100,000", "<= 1.2x after 10,000,000")
    figures = [
        judged(
            "decision with reservation, from decimal strings, three layers",
            "<= 5 p50",
            small.p50,
            DECISION_MICROSECONDS_MAX,
            figure=f"p50 {small.p50:.1f} (best block {small.best_p50:.1f}), p99 {small.p99:.1f}",
        )
    ]
    for name, goal, grown in zip(names, goals, large, strict=True):
        times = ratio(grown, small)
        shown = f"p50 {grown.p50:.1f}, p99 {grown.p99:.1f}"
        figures.append(
            judged(name, goal, times, GROWTH_MAX, figure=shown, ratio=f"{times:.2f}x at p50")
        )
    return figures
