"""Chance that knows where the corners are: small worlds, coarse grids, commands in every order.

Rules:
- Everything comes from one seed; nothing else is random.
- Prices and quantities lie on grids so that limits and thresholds are hit exactly.
- What the model remembers tells the generator which orders, books and sums are worth naming.
"""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Final

from sidecar.core import commands
from sidecar.core.commands import (
    CheckOrder,
    OrderType,
    ReportAccount,
    ReportApiError,
    ReportKind,
    ReportTrade,
    Side,
)
from tests.simulation import model_account
from tests.simulation.coverage import STATES, state_of
from tests.simulation.model import AssumeFlat, CheckTogether, NoteClockJump, Reconfigure
from tests.simulation.model_facts import Below, Held, Memory, all_positions, equity
from tests.simulation.worlds import SECOND, World, draw_thresholds

STRATEGIES: Final = ("alpha", "beta")
SYMBOLS: Final = ("X", "Y", "Z")
PRICES: Final = ("8", "9", "10", "10", "10", "11", "12", "12.5", "14", "20", "5")
QUANTITIES: Final = ("0.5", "1", "2", "5", "10", "10", "15", "20", "30", "31", "60")
MOVED_TO: Final = ("UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")
STEPS_NS: Final = (
    *(0,) * 12,
    *(SECOND // 4, SECOND, SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 20 * SECOND),
    *(60 * SECOND, 61 * SECOND, 3600 * SECOND),
)


class Generator:
    """Draws the next moment and the next command."""

    def __init__(self, world: World, memory: Callable[[], Memory]) -> None:
        """Draw from the world's seed; `memory` returns what the model remembers now."""
        self.chance = Random(world.seed + 1)
        self._world = world
        self._memory = memory
        self._ids = 0
        self._asked: list[CheckOrder] = []
        self._reports: list[ReportTrade] = []
        self._other_reports: list[ReportApiError | ReportAccount] = []

    def next_now(self, now: int) -> int:
        """Let some time pass, at times to the edge of a day or of what is due."""
        if self._world.remembered_min is not None:
            # Which of two ids of one instant is forgotten first is nobody's rule.
            now += 1
        draw, memory = self.chance.random(), self._memory()
        if draw < 0.01:
            return model_account.day_ends_at(memory)
        if draw < 0.02:
            forgets = self._world.remembered_min is not None
            days = self.chance.choice([1, 7, 8] if forgets else [1, 1, 7])
            return now + days * 86_400 * SECOND
        if draw < 0.06:
            edges = [
                edge
                for order in memory.orders
                for edge in (order.expires_at, order.good_till)
                if edge is not None and edge > now
            ]
            if edges:
                return self.chance.choice(edges) - self.chance.choice([0, 0, 1])
        return now + self.chance.choice(STEPS_NS)

    def next_below(self) -> Below:
        """Draw how the world below is: mostly well."""
        chance = self.chance
        return Below(
            store_problem=chance.random() < 0.02,
            store_low=chance.random() < 0.02,
            is_damaged=chance.random() < 0.01,
        )

    def next_command(self, now: int) -> object:
        """Draw a command; a stop is eased or ended before long. A tuple is a batch."""
        memory, chance = self._memory(), self.chance
        self._now = now
        if (memory.is_open or memory.kills) and chance.random() < 0.2:
            return self._start()
        draw = chance.random()
        for share, make in (
            (0.46, self._check),
            (0.80, self._trade),
            (0.90, self._account),
            (0.93, self._api_error),
            (0.945, self._kill),
            (0.955, self._start),
            (0.97, self._release),
            (0.98, self._batch),
            (0.988, self._reconfigure),
            (0.992, self._clock),
        ):
            if draw < share:
                return make()
        if draw < 0.993:
            return AssumeFlat()
        return commands.AcceptRecovery(accepted_by="ann", reason="checked")

    def _batch(self) -> object:
        orders = {order.order_id: order for order in (self._check() for _ in range(3))}
        batch = tuple(replace(order, dry_run=False) for order in orders.values())
        return batch if self.chance.random() < 0.3 else CheckTogether(batch)

    def _reconfigure(self) -> Reconfigure:
        """Draw other rules; windows keep their length, for what left them is not remembered."""
        zone = self._memory().thresholds.account.zone
        if self.chance.random() < 0.3:
            zone = self.chance.choice(MOVED_TO)
        other = draw_thresholds(self.chance, zone)
        breaker = replace(other.circuit_breaker, warning_ratio=Decimal("0.8"))
        return Reconfigure(replace(other, circuit_breaker=breaker))

    def _clock(self) -> object:
        chance = self.chance
        jump = chance.choice([-3600, -61, 90, 86_400, -86_400, 0]) * SECOND
        if chance.random() < 0.4:
            return NoteClockJump(jump)
        return commands.AcceptClock(accepted_by="ann", reason="checked", wall=self._now + jump)

    def _new_id(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}{self._ids}"

    def _check(self) -> CheckOrder:
        chance = self.chance
        sent = {order.order_id for order in self._memory().orders if not order.reports}
        unsent = [order for order in self._asked if order.order_id in sent]
        if unsent and chance.random() < 0.12:
            return chance.choice(unsent)
        if self._asked and chance.random() < 0.22:
            again = chance.choice(self._asked[-8:])
            draw = chance.random()
            if draw < 0.15:
                return replace(again, quantity=again.quantity + 1)
            return replace(again, order_id=self._new_id("o")) if draw < 0.4 else again
        order = self._new_order()
        self._asked.append(order)
        return order

    def _new_order(self) -> CheckOrder:
        chance, memory = self.chance, self._memory()
        positions = [item for item in all_positions(memory).items() if item[1] != 0]
        strategy, symbol = chance.choice(STRATEGIES), chance.choice(SYMBOLS)
        side, quantity = chance.choice(list(Side)), Decimal(chance.choice(QUANTITIES))
        group = None
        if positions and chance.random() < 0.4:
            (strategy, symbol), held = chance.choice(positions)
            side = Side.SELL if held > 0 else Side.BUY
            whole = decimal_of(abs(held))
            quantity = chance.choice([whole, whole, whole / 2, whole + 1, whole * 2, quantity])
            group = chance.choice([None, None, "g1", "g2"])
        kind = chance.choice([OrderType.LIMIT] * 5 + list(OrderType))
        replaces = None
        open_ids = [order for order in memory.orders if order.remaining > 0]
        if open_ids and chance.random() < 0.12:
            old = chance.choice(open_ids)
            strategy, symbol, side, replaces = old.strategy, old.symbol, old.side, old.order_id
            if chance.random() < 0.1:
                symbol = chance.choice(SYMBOLS)
        return CheckOrder(
            order_id=self._new_id("o"),
            strategy=strategy,
            symbol=symbol,
            side=side,
            order_type=kind,
            quantity=quantity,
            limit_price=self._price() if "LIMIT" in kind else None,
            stop_price=self._price() if "STOP" in kind else None,
            reference_price=self._price() if chance.random() < 0.15 else None,
            dry_run=chance.random() < 0.07,
            good_till=memory.now + 15 * SECOND if chance.random() < 0.15 else None,
            replaces_order_id=replaces,
            one_cancels_other_group=group,
        )

    def _price(self) -> Decimal:
        return Decimal(self.chance.choice(PRICES))

    def _trade(self) -> ReportTrade:
        chance, memory = self.chance, self._memory()
        if self._reports and chance.random() < 0.08:
            again = chance.choice(self._reports[-10:])
            return (
                replace(again, order_done=not again.order_done) if chance.random() < 0.25 else again
            )
        orders = memory.orders[-12:]
        live = [order for order in memory.orders if order.remaining > 0]
        pool = live if live and chance.random() < 0.7 else orders
        if chance.random() < 0.3:
            state = chance.choice(STATES)
            pool = [order for order in memory.orders if state_of(order) == state]
        if not pool or chance.random() < 0.05:
            report = self._strange_report()
        else:
            report = self._report_on(chance.choice(pool))
        self._reports.append(report)
        return report

    def _strange_report(self) -> ReportTrade:
        chance = self.chance
        denied = chance.choice(self._asked).order_id if self._asked else "s"
        kind = chance.choice(list(ReportKind))
        return self._report(
            kind,
            chance.choice([self._new_id("s"), denied]),
            (chance.choice(STRATEGIES), chance.choice(SYMBOLS)),
            chance.choice(list(Side)),
            Decimal(chance.choice(QUANTITIES[:6])),
        )

    def _report_on(self, order: Held) -> ReportTrade:
        chance = self.chance
        kinds = [ReportKind.FILLED] * 8 + [ReportKind.ACCEPTED] * 2 + list(ReportKind)
        left = decimal_of(order.remaining) or Decimal(1)
        quantity = chance.choice([left, left, left, left / 2, left / 2, left + 1])
        strategy, symbol, side = order.strategy, order.symbol, order.side
        if chance.random() < 0.04:
            strategy, symbol = chance.choice(STRATEGIES), chance.choice(SYMBOLS)
        if chance.random() < 0.02:
            side = chance.choice(list(Side))
        kind = chance.choice(kinds if chance.random() < 0.7 else list(ReportKind))
        if kind is ReportKind.REPLACED:
            quantity = decimal_of(order.quantity) + chance.choice([-3, -1, 0, 1, 5])
            quantity = max(quantity, Decimal(1))
        return self._report(kind, order.order_id, (strategy, symbol), side, quantity)

    def _report(
        self,
        kind: ReportKind,
        order_id: str,
        book: tuple[str, str],
        side: Side,
        quantity: Decimal,
    ) -> ReportTrade:
        chance, now = self.chance, self._memory().now
        report = ReportTrade(
            report_id=self._new_id("r"),
            order_id=order_id,
            strategy=book[0],
            symbol=book[1],
            side=side,
            kind=kind,
        )
        if chance.random() < (0.8 if kind is ReportKind.REPLACED else 0.4):
            report.venue_time = now - chance.choice([0, SECOND, 10 * SECOND, 8 * 86_400 * SECOND])
        if kind is ReportKind.FILLED:
            report.fill_quantity, report.fill_price = quantity, self._fill_price(book[1])
            report.fee = chance.choice([None, None, Decimal(0), Decimal("0.5"), Decimal(3)])
            if chance.random() < 0.05:
                report.fee_quantity = quantity / 4
            if chance.random() < 0.2:
                report.realized_pnl = Decimal(chance.choice(["-2", "0", "3"]))
        elif kind in (ReportKind.ACCEPTED, ReportKind.REPLACED):
            report.new_quantity = quantity if chance.random() < 0.8 else None
            report.new_limit_price = self._price() if chance.random() < 0.6 else None
        report.order_done = chance.random() < 0.08
        return report

    def _fill_price(self, symbol: str) -> Decimal:
        mark = self._memory().marks.get(symbol)
        if mark is None or self.chance.random() < 0.3:
            return self._price()
        return decimal_of(mark.price) + self.chance.choice([0, 0, 1, -1]) or Decimal(1)

    def _api_error(self) -> ReportApiError:
        known = [item for item in self._other_reports if isinstance(item, ReportApiError)]
        if known and self.chance.random() < 0.15:
            again = self.chance.choice(known)
            return again if self.chance.random() < 0.6 else replace(again, message="other")
        report = ReportApiError(report_id=self._new_id("e"), api="orders")
        self._other_reports.append(report)
        return report

    def _account(self) -> ReportAccount:
        chance = self.chance
        known = [item for item in self._other_reports if isinstance(item, ReportAccount)]
        if known and chance.random() < 0.08:
            again = chance.choice(known)
            return again if chance.random() < 0.6 else replace(again, as_of_sequence=1)
        draw = chance.random()
        memory = self._memory()
        report = ReportAccount(
            report_id=self._new_id("a"),
            equity=self._equity() if draw < 0.5 or equity(memory) is None else None,
            marks=self._marks(),
            cash_flows=self._flows() if chance.random() < 0.25 else (),
            has_operator_proof=chance.random() < 0.1,
        )
        if chance.random() < 0.4:
            report = self._complete(report)
        if chance.random() < 0.02:
            report = self._faulty(report)
        self._other_reports.append(report)
        return report

    def _faulty(self, report: ReportAccount) -> ReportAccount:
        """Take from a report what it cannot be without."""
        last = max(self._memory().times, default=1)
        return self.chance.choice(
            [
                replace(report, as_of_sequence=None),
                replace(report, as_of_sequence=last + 5),
                replace(report, as_of_venue_time=None),
                replace(report, marks=report.marks * 2),
                replace(report, cash_flows=report.cash_flows * 2),
            ]
        )

    def _equity(self) -> Decimal:
        worth = equity(self._memory())
        if worth is None or worth <= 0 or self.chance.random() < 0.1:
            return Decimal(self.chance.choice(["1000", "1000", "900", "2000", "-5", "0"]))
        whole = decimal_of(Fraction(round(worth)))
        factors = ["1", "1", "1", "0.95", "0.97", "0.8", "1.05", "1.6", "0.5"]
        return whole * Decimal(self.chance.choice(factors))

    def _marks(self) -> tuple[commands.ReportedMark, ...]:
        named = self.chance.sample(SYMBOLS, self.chance.choice([0, 1, 1, 2, 3]))
        return tuple(commands.ReportedMark(symbol=name, price=self._price()) for name in named)

    def _flows(self) -> tuple[commands.CashFlow, ...]:
        chance, known = self.chance, self._memory().flows
        if known and chance.random() < 0.2:
            flow_id = chance.choice(list(known))
            amount = decimal_of(known[flow_id]) + chance.choice([0, 0, 1])
            return (commands.CashFlow(flow_id=flow_id, amount=amount),)
        amounts = ["100", "-100", "250", "-600", "3000", "-3000"]
        return tuple(
            commands.CashFlow(flow_id=self._new_id("f"), amount=Decimal(chance.choice(amounts)))
            for _ in range(chance.choice([1, 1, 2]))
        )

    def _complete(self, report: ReportAccount) -> ReportAccount:
        chance, memory = self.chance, self._memory()
        last = max(memory.times, default=1)
        draw = chance.random()
        positions = tuple(
            commands.ReportedPosition(
                strategy=book[0],
                symbol=book[1],
                quantity=decimal_of(held) + chance.choice([0, 0, 0, 1, -2]),
                average_price=self._price() if chance.random() < 0.7 else None,
            )
            for book, held in sorted(all_positions(memory).items())
            if chance.random() < 0.8
        )
        if chance.random() < 0.15 and not positions:
            positions = (
                commands.ReportedPosition(
                    strategy="alpha",
                    symbol=chance.choice(SYMBOLS),
                    quantity=Decimal(5),
                    average_price=self._price() if chance.random() < 0.7 else None,
                ),
            )
        has_positions, has_orders = draw < 0.75, draw > 0.25
        return replace(
            report,
            positions=positions if has_positions else (),
            positions_complete=has_positions,
            open_orders=self._open_orders() if has_orders else (),
            open_orders_complete=has_orders,
            as_of_sequence=max(0, last - chance.choice([0, 0, 0, 1, 3])),
            as_of_venue_time=memory.now - chance.choice([0, 5 * SECOND]),
        )

    def _open_orders(self) -> tuple[commands.ReportedOrder, ...]:
        chance, memory = self.chance, self._memory()
        listed = []
        for order in memory.orders[-10:]:
            left = order.remaining
            if left <= 0 and (order.was_released or not order.is_reserved):
                left = max(Fraction(1), order.quantity - order.filled)
            elif left <= 0 and chance.random() < 0.9:
                continue
            if chance.random() < 0.25:
                continue
            ahead = chance.choice([Fraction(0)] * 3 + [left / 2])
            listed.append(
                commands.ReportedOrder(
                    order_id=order.order_id,
                    strategy=order.strategy,
                    symbol=order.symbol,
                    side=order.side,
                    remaining_quantity=decimal_of(left - ahead),
                    cumulative_filled_quantity=decimal_of(order.filled + ahead),
                    limit_price=self._price() if chance.random() < 0.7 else None,
                )
            )
        if chance.random() < 0.1:
            listed.append(
                commands.ReportedOrder(
                    order_id=self._new_id("v"),
                    strategy=chance.choice(STRATEGIES),
                    symbol=chance.choice(SYMBOLS),
                    side=chance.choice(list(Side)),
                    remaining_quantity=Decimal(4),
                    cumulative_filled_quantity=Decimal(chance.choice([0, 2])),
                    limit_price=self._price(),
                )
            )
        return tuple(listed)

    def _scope(self) -> commands.KillScope | None:
        kinds = [kill.scope for kill in self._memory().kills]
        return self.chance.choice([None, None, commands.KillScope(), *kinds])

    def _kill(self) -> commands.TriggerKill:
        chance = self.chance
        kind, name = chance.choice(
            [("", ""), ("ALL", ""), ("STRATEGY", "alpha"), ("SYMBOL", "X"), ("SYMBOL", "new")]
        )
        return commands.TriggerKill(
            reason="test",
            triggered_by="ann",
            mode=chance.choice(["", "HALT", "REDUCE_ONLY", "REDUCE_ONLY"]),
            scope_kind=kind,
            scope_name=name,
            requested_action=chance.choice(["", "NONE", "FLATTEN", "CANCEL_OPEN_ORDERS"]),
        )

    def _start(self) -> object:
        chance, memory = self.chance, self._memory()
        epochs = [None, None, None, *(kill.epoch for kill in memory.kills)]
        stands = [commands.Drawdown(name) for name in sorted(model_account.standing(memory))]
        if chance.random() < 0.1:
            stands = chance.sample(list(commands.Drawdown), chance.choice([0, 1, 2]))
        kind = chance.choice(["kill", "kill", "ease", "breaker", "breaker", "breaker", "all"])
        if kind == "breaker":
            return commands.ResetBreaker(reset_by="ann", reason="over", rebase=tuple(stands))
        if kind == "all":
            return commands.ResetAll(
                reset_by="ann",
                reason="over",
                scope=self._scope(),
                expected_epoch=chance.choice(epochs),
                rebase=tuple(stands),
            )
        make = commands.ResetKill if kind == "kill" else commands.EaseKill
        return make(
            reset_by="ann",
            reason="over",
            scope=self._scope(),
            expected_epoch=chance.choice(epochs),
        )

    def _release(self) -> commands.ReleaseOrder:
        orders = [order.order_id for order in self._memory().orders[-10:]]
        order_id = self.chance.choice([*orders, "unknown"])
        return commands.ReleaseOrder(order_id=order_id, released_by="ann", reason="gone")


def decimal_of(value: Fraction) -> Decimal:
    """Return the decimal of a fraction, cut to a grid of 1/10000."""
    return Decimal(value.numerator * 10_000 // value.denominator) / 10_000
