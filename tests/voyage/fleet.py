"""The bots: they ask, send what was approved, report what became of it, and repeat themselves.

Rules:
1. A bot sends an approval once, before it expires on its own clock, and only while the sidecar it
   sees says the same stop epoch (S4.6, S15) - also a sidecar that was started anew meanwhile.
   A third of the orders are exits, so that what only reduces is asked for in every state.
2. A report is repeated under its id until it is acknowledged; the next one about the same order
   follows only then. What was acknowledged is now and then repeated all the same.
3. An order a bot gave up is never sent; it may say so with CANCELED.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from sidecar.core.answers import AccountAnswer, BatchResult, OrderDecision, TradeAnswer
from sidecar.core.commands import (
    BatchMode,
    CheckOrder,
    OrderType,
    ReportAccount,
    ReportApiError,
    ReportedMark,
    ReportKind,
    ReportTrade,
    Side,
)
from sidecar.core.denial import CallRefused
from sidecar.service import Service
from tests.voyage.calls import BOT, Call, state_of
from tests.voyage.sea import Sea
from tests.voyage.venue import EQUITY, PRICE, SYMBOLS, Venue

STRATEGIES: Final = ("momentum", "pairs")
QUANTITIES: Final = tuple(Decimal(q) for q in (10, 20, 50, 100, 150, 250))
EQUITIES: Final = (EQUITY, EQUITY, EQUITY, Decimal(97_000), Decimal(94_000))


@dataclass(slots=True)
class Wish:
    """An order a bot wants, and what it did about it."""

    order: CheckOrder
    is_sent: bool = False
    is_given_up: bool = False


@dataclass(slots=True)
class Held:
    """An approval not yet sent; `valid_until_ns` on the bot's own clock."""

    wish: Wish
    stop_epoch: int
    valid_until_ns: int


@dataclass(slots=True)
class Outbox:
    """The reports about one order, in the order they must be known."""

    reports: list[ReportTrade] = field(default_factory=list)
    acknowledged_count: int = 0


class Fleet:
    """All bots of the venue's one account."""

    def __init__(self, sea: Sea, venue: Venue) -> None:
        """Want nothing yet."""
        self._sea = sea
        self._venue = venue
        self._wishes: dict[str, Wish] = {}
        self._held: list[Held] = []
        self._outboxes: dict[str, Outbox] = {}
        self._numbers = 0

    # What bots do without asking.

    def move(self, service: Service) -> None:
        """Let one thing happen between a bot and the venue."""
        sea, venue = self._sea, self._venue
        if self._held and sea.happens(0.6):
            self._use(self._held.pop(sea.chance.randrange(len(self._held))), service)
            return
        strategy = sea.chance.choice(STRATEGIES)
        order_ids = venue.open_ids(strategy)
        if not order_ids:
            return
        order_id = sea.chance.choice(order_ids)
        known = venue.orders[order_id]
        draw = sea.chance.random()
        if draw < 0.35:
            report = venue.fill(order_id, known.remaining)
        elif draw < 0.6 and known.remaining > 1:
            report = venue.fill(order_id, known.remaining // 2)
        elif draw < 0.85:
            kinds = (ReportKind.CANCELED, ReportKind.EXPIRED, ReportKind.REJECTED)
            report = venue.end(order_id, sea.chance.choice(kinds))
        else:
            report = venue.report(known.order, ReportKind.ACCEPTED)
        self._tell(report)

    def drop_approvals(self) -> None:
        """Give up every approval not yet sent: the end of the voyage."""
        self._held.clear()

    def _use(self, held: Held, service: Service) -> None:
        sea, wish = self._sea, held.wish
        if wish.is_sent or wish.is_given_up:
            return
        if sea.now_ns >= held.valid_until_ns or service.stop_epoch != held.stop_epoch:
            sea.met["approvals a bot let lapse"] += 1
            self._perhaps_give_up(wish)
            return
        wish.is_sent = True
        self._venue.send(wish.order)
        sea.say(f"the bot sends {wish.order.order_id}")
        excess = self._venue.find_excess()
        sea.require("S6 limits hold at the venue", excess, holds=not excess)
        sea.met["orders sent"] += 1
        if sea.happens(0.5):
            self._tell(self._venue.report(wish.order, ReportKind.ACCEPTED))

    def _perhaps_give_up(self, wish: Wish) -> None:
        if self._sea.happens(0.5):
            wish.is_given_up = True
            if self._sea.happens(0.7):
                self._tell(self._venue.report(wish.order, ReportKind.CANCELED))

    def _tell(self, report: ReportTrade) -> None:
        self._sea.say(f"the venue: {report.report_id} {report.order_id} {report.kind.value}")
        self._outboxes.setdefault(report.order_id, Outbox()).reports.append(report)

    # What bots ask.

    def draw_call(self, service: Service) -> Call:
        """Return the next call of some bot."""
        makers: tuple[tuple[Callable[[], Call], int], ...] = (
            (self.check, 10),
            (self._check_many, 3),
            (lambda: self.report() or self.check(), 10),
            (self._report_many, 2),
            (self._report_api_error, 1),
            (self._report_equity, 1),
            (lambda: self.state(service), 2),
        )
        chosen, weights = zip(*makers, strict=True)
        maker: Callable[[], Call] = self._sea.chance.choices(chosen, weights)[0]
        return maker()

    def _next(self, what: str) -> str:
        self._numbers += 1
        return f"{what}-{self._numbers}"

    def _order(self) -> CheckOrder:
        chance = self._sea.chance
        again = [wish for wish in self._wishes.values() if not wish.is_given_up]
        if again and chance.random() < 0.35:
            return chance.choice(again[-6:]).order
        strategy, symbol = chance.choice(STRATEGIES), chance.choice(SYMBOLS)
        side, quantity = chance.choice(list(Side)), chance.choice(QUANTITIES)
        held = [(book, position) for book, position in self._venue.positions.items() if position]
        if held and chance.random() < 0.3:
            (strategy, symbol), position = chance.choice(held)
            side = Side.SELL if position > 0 else Side.BUY
            quantity = abs(position) if chance.random() < 0.5 else Decimal(1)
        order = CheckOrder(
            order_id=self._next("order"),
            strategy=strategy,
            symbol=symbol,
            side=side,
            order_type=OrderType.LIMIT,
            quantity=quantity,
            limit_price=PRICE,
        )
        self._wishes[order.order_id] = Wish(order)
        return order

    def check(self) -> Call:
        """Return a question about one order."""
        order = self._order()
        call = Call("CheckOrder", order, lambda service: service.check_order(order, BOT))
        call.then = lambda decision: self._decided(call, decision)
        return call

    def _check_many(self) -> Call:
        orders = list({o.order_id: o for o in (self._order() for _ in range(3))}.values())
        mode = self._sea.chance.choice(list(BatchMode))
        call = Call(
            f"CheckOrders {mode.value}",
            tuple(orders),
            lambda service: service.check_orders(orders, mode, BOT),
        )
        call.then = lambda results: self._decided_many(call, results)
        return call

    def _decided_many(self, call: Call, results: list[BatchResult]) -> None:
        for result in results:
            if result.decision is not None:
                self._decided(call, result.decision)

    def _decided(self, call: Call, decision: OrderDecision) -> None:
        if not decision.is_approved:
            return
        wish = self._wishes[decision.order_id]
        held = Held(wish, decision.stop_epoch, call.sent_ns + decision.valid_for_ns)
        self._held.append(held)

    # What bots report.

    @property
    def has_reports(self) -> bool:
        """Say whether something is not acknowledged yet."""
        return bool(self._due())

    def _due(self) -> list[Outbox]:
        return [box for box in self._outboxes.values() if box.acknowledged_count < len(box.reports)]

    def report(self) -> Call | None:
        """Return the next report of some order, or a repetition; None where nothing is to say."""
        chance = self._sea.chance
        due = self._due()
        known = [box for box in self._outboxes.values() if box.acknowledged_count]
        if known and (not due or chance.random() < 0.15):
            box = chance.choice(known)
            return self._report(box, chance.randrange(box.acknowledged_count))
        if not due:
            return None
        box = chance.choice(due)
        return self._report(box, box.acknowledged_count)

    def next_due(self) -> Call | None:
        """Return a report that is not acknowledged yet."""
        due = self._due()
        return self._report(due[0], due[0].acknowledged_count) if due else None

    def _report(self, box: Outbox, at: int) -> Call:
        report = box.reports[at]
        call = Call("ReportTrade", report, lambda service: service.report_trade(report, BOT))
        call.then = lambda _: self._acknowledge(box, at)
        return call

    def _acknowledge(self, box: Outbox, at: int) -> None:
        box.acknowledged_count = max(box.acknowledged_count, at + 1)

    def _report_many(self) -> Call:
        boxes = self._due()[:3]
        if not boxes:
            return self.check()
        places = [(box, box.acknowledged_count) for box in boxes]
        reports = [box.reports[at] for box, at in places]
        call = Call(
            "ReportTrades", tuple(reports), lambda service: service.report_trades(reports, BOT)
        )

        def take(answers: list[TradeAnswer | CallRefused]) -> None:
            for (box, at), answer in zip(places, answers, strict=True):
                if isinstance(answer, TradeAnswer):
                    self._acknowledge(box, at)

        call.then = take
        return call

    def _report_api_error(self) -> Call:
        error = ReportApiError(report_id=self._next("api-error"), api="orders", error_code="500")
        return Call("ReportApiError", error, lambda service: service.report_api_error(error, BOT))

    def _report_equity(self) -> Call:
        return self.account(
            ReportAccount(
                report_id=self._next("equity"),
                equity=self._sea.chance.choice(EQUITIES),
                marks=tuple(ReportedMark(symbol=symbol, price=PRICE) for symbol in SYMBOLS),
            )
        )

    def state(self, service: Service) -> Call:
        """Return a complete report of what the venue holds: what ends a recovery (S12.4)."""
        as_of_sequence = state_of(service).last_sequence
        statement = self._venue.statement(self._next("statement"), as_of_sequence)
        return self.account(statement)

    def account(self, report: ReportAccount) -> Call:
        """Return the call of an account report; never repeated late, for it ages."""
        call = Call(
            "ReportAccount complete" if report.positions_complete else "ReportAccount",
            report,
            lambda service: service.report_account(report, BOT),
        )
        call.then = self._stated
        return call

    def _stated(self, answer: AccountAnswer) -> None:
        if answer.skipped_books:
            self._sea.met["books a statement skipped"] += 1
