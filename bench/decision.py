"""The decision alone: from decimal strings through all three layers to a reservation, no I/O."""

from __future__ import annotations

from decimal import Decimal

from bench.timing import Sample, measure
from sidecar.core import engine
from sidecar.core.commands import (
    CheckOrder,
    OrderType,
    ReportAccount,
    ReportedMark,
    ReportKind,
    ReportTrade,
    Side,
)
from sidecar.core.forms import Form
from sidecar.core.judgement import Conditions
from sidecar.core.state import State
from sidecar.core.thresholds import OrderRules, Thresholds
from sidecar.core.turn import Outcome

NOW = 1_700_000_000_000_000_000
PLENTY = Decimal(10) ** 15


class Desk:
    """A state with equity, marks, and as many books and open reservations as asked."""

    def __init__(self, *, books: int, open_orders: int, events: int = 0) -> None:
        """Fill the state; limits are wide, so that every order is judged by every rule."""
        self.state = State()
        self.conditions = Conditions()
        rules = OrderRules(max_order_notional=PLENTY, max_orders_per_window=10**9)
        self._begin()
        engine.configure(self.state, Thresholds(order_rules=rules), "bench", self.conditions)
        self.symbols = [f"S{at}" for at in range(books)]
        for at in range(0, books, 1_000):
            part = self.symbols[at : at + 1_000]
            marks = tuple(ReportedMark(symbol=name, price=Decimal(100)) for name in part)
            self.run(ReportAccount(report_id=f"marks{at}", equity=PLENTY, marks=marks))
        for at in range(open_orders):
            self.run(self.order(f"open{at}", at))
        for at in range(events):
            self.run(self.order(f"past{at}", at))
            self.cancel(f"past{at}", at)

    def _begin(self) -> None:
        engine.begin(self.state, self.state.last_sequence + 1, NOW)

    def run(self, command: object) -> Outcome:
        """Give one command to the core under the next sequence."""
        self._begin()
        return engine.execute(self.state, command, self.conditions)

    def order(self, order_id: str, at: int) -> CheckOrder:
        """Read an order from text, as the wire does."""
        form = Form()
        order = CheckOrder(
            order_id=form.name("order_id", order_id),
            strategy=form.name("strategy", "momentum"),
            symbol=form.name("symbol", self.symbols[at % min(10, len(self.symbols))]),
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            quantity=form.positive("quantity", "12.5"),
            limit_price=form.positive("limit_price", "100.25"),
        )
        form.finish()
        return order

    def cancel(self, order_id: str, at: int) -> None:
        """End an order, so that the next round meets the same state."""
        self.run(
            ReportTrade(
                report_id="end",
                order_id=order_id,
                strategy="momentum",
                symbol=self.symbols[at % min(10, len(self.symbols))],
                side=Side.BUY,
                kind=ReportKind.CANCELED,
            )
        )

    def measure(self, rounds: int) -> Sample:
        """Time checks that are approved; each is cancelled untimed."""

        def check(at: int) -> None:
            answer = self.run(self.order(f"timed{at}", at)).answer
            if not answer.is_approved:
                raise RuntimeError(f"the bench expects an approval: {answer.violations}")

        return measure(check, rounds=rounds, after=lambda at: self.cancel(f"timed{at}", at))
