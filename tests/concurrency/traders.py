"""A bot of the traffic: asks about orders in every way there is and reports what became of them.

Rules:
- Everything is drawn from the bot's own seed; what it draws from depends on what it was answered.
- An order whose outcome is unknown is asked again under its id, reported, or forgotten.
- What has one of the two shapes of a batch is only ever asked again as the same batch.
"""

from dataclasses import dataclass, field
from typing import Final

from haltline.v1 import order_pb2, reports_pb2, reservations_pb2, status_pb2

from tests.concurrency.connection import Connection

STRATEGIES: Final = ("alpha", "beta", "gamma", "delta")
PRICES: Final = {
    "ACME": 100,
    "BOLT": 50,
    "CORE": 200,
    "DUNE": 20,
    "ECHO": 80,
    "FLUX": 10,
    "GRID": 40,
}
HELD_MAX: Final = 2
NOTIONALS: Final = (200, 500, 1_000, 2_000, 4_000, 9_000)
SIDES: Final = (order_pb2.SIDE_BUY, order_pb2.SIDE_SELL)
KINDS: Final = (
    *["FILLED"] * 8,
    *["CANCELED"] * 5,
    *["ACCEPTED"] * 3,
    "REJECTED",
    "EXPIRED",
    "FAILED",
)


@dataclass(slots=True, kw_only=True)
class Held:
    """An order that was approved, or may have been."""

    order: order_pb2.CheckOrderRequest
    left: int
    is_approved: bool
    reports: list[reports_pb2.ReportTradeRequest] = field(default_factory=list)


class Trader:
    """One bot on one connection."""

    def __init__(self, connection: Connection, symbols: tuple[str, ...]) -> None:
        """Trade some symbols for one strategy after the other."""
        self.line = connection
        self.chance = connection.chance
        self._symbols = symbols
        self._ids = 0
        self._report_ids = 0
        self._held: list[Held] = []
        self._done: list[Held] = []
        self._batches: list[order_pb2.CheckOrdersRequest] = []

    async def run(self, steps: int) -> None:
        """Take so many steps, then leave half of what is held behind."""
        ways = (
            (30, self._check),
            (26, self._check_on_stream),
            (9, self._check_each),
            (9, self._check_all_or_none),
            (8, self._check_again),
            (2, self._check_dry),
            (2, self._check_other_content),
            (2, self._list_orders),
            (2, self._get_status),
            (25, self._report),
            (6, self._report_several),
            (3, self._report_again),
        )
        weights = [weight for weight, _ in ways]
        for _ in range(steps):
            if len(self._held) > HELD_MAX:
                await self._report()
            _, way = self.chance.choices(ways, weights)[0]
            await way()
        for held in self._held[::2]:
            await self._tell([self._draw_report(held, "CANCELED")])
        await self.line.close()

    # Asking.

    def _order(self, suffix: str = "") -> order_pb2.CheckOrderRequest:
        chance = self.chance
        self._ids += 1
        symbol = chance.choice(self._symbols)
        price = PRICES[symbol]
        order = order_pb2.CheckOrderRequest(
            order_id=f"{self.line.name}-{self._ids}{suffix}",
            strategy=chance.choice(STRATEGIES),
            symbol=symbol,
            side=chance.choice(SIDES),
            order_type=order_pb2.ORDER_TYPE_LIMIT,
            quantity=str(max(1, chance.choice(NOTIONALS) // price)),
        )
        if chance.random() < 0.2:
            order.order_type = order_pb2.ORDER_TYPE_MARKET
        else:
            order.limit_price = _around(price, chance.randrange(-80, 81))
        return order

    def _learn(
        self,
        order: order_pb2.CheckOrderRequest,
        decision: order_pb2.CheckOrderResponse | None,
    ) -> None:
        is_approved = decision is not None and decision.verdict == order_pb2.VERDICT_APPROVED
        if decision is not None and not is_approved:
            return
        known = next((held for held in self._held if held.order.order_id == order.order_id), None)
        if known is not None:
            known.is_approved |= is_approved
        else:
            left = int(order.quantity)
            self._held.append(Held(order=order, left=left, is_approved=is_approved))

    async def _check(self) -> None:
        order = self._order()
        self._learn(order, await self.line.ask("CheckOrder", order))

    async def _check_on_stream(self) -> None:
        orders = [self._order() for _ in range(self.chance.choice((1, 1, 1, 3)))]
        decisions = await self.line.ask_on_stream(orders)
        for order, decision in zip(orders, decisions, strict=True):
            self._learn(order, decision)

    async def _check_each(self) -> None:
        orders = [self._order() for _ in range(self.chance.choice((2, 3, 5)))]
        await self._check_batch(
            order_pb2.CheckOrdersRequest(orders=orders, mode=order_pb2.BATCH_MODE_INDEPENDENT)
        )

    async def _check_all_or_none(self) -> None:
        if self._batches and self.chance.random() < 0.5:
            await self._check_batch(self._batches.pop())
            return
        orders = [self._order("-all") for _ in range(self.chance.choice((2, 3)))]
        mode = order_pb2.BATCH_MODE_ALL_OR_NONE
        await self._check_batch(order_pb2.CheckOrdersRequest(orders=orders, mode=mode))

    async def _check_batch(self, batch: order_pb2.CheckOrdersRequest) -> None:
        answer = await self.line.ask("CheckOrders", batch)
        results = [None] * len(batch.orders) if answer is None else answer.results
        if batch.mode == order_pb2.BATCH_MODE_ALL_OR_NONE and (
            answer is None or self.chance.random() < 0.2
        ):
            self._batches.append(batch)
        for order, result in zip(batch.orders, results, strict=True):
            has_decision = result is not None and result.HasField("decision")
            self._learn(order, result.decision if has_decision else None)

    async def _check_again(self) -> None:
        """Repeat an order that may be known: an approval, an unknown outcome, or an ended one."""
        pool = [held for held in self._held + self._done[-2:] if "-all" not in held.order.order_id]
        if not pool:
            return
        order = self.chance.choice(pool).order
        if self.chance.random() < 0.3:
            await self.line.ask_on_stream([order])
        else:
            await self.line.ask("CheckOrder", order)

    async def _check_dry(self) -> None:
        order = self._order()
        order.dry_run = True
        await self.line.ask("CheckOrder", order, calm=True)

    async def _check_other_content(self) -> None:
        approved = [held for held in self._held if held.is_approved]
        if not approved:
            return
        order = order_pb2.CheckOrderRequest()
        order.CopyFrom(self.chance.choice(approved).order)
        order.quantity = str(int(order.quantity) + 1)
        await self.line.ask("CheckOrder", order)

    async def _list_orders(self) -> None:
        request = reservations_pb2.ListOrdersRequest(page_size=1_000)
        await self.line.ask("ListOrders", request, calm=True)

    async def _get_status(self) -> None:
        await self.line.ask("GetStatus", status_pb2.GetStatusRequest(subscriber=self.line.name))

    # Reporting.

    async def _report(self) -> None:
        if self._held:
            await self._tell([self._draw_report(self.chance.choice(self._held))])

    async def _report_several(self) -> None:
        count = min(len(self._held), self.chance.choice((2, 3)))
        several = self.chance.sample(self._held, count)
        if several:
            await self._tell([self._draw_report(held) for held in several], in_one_call=True)

    async def _report_again(self) -> None:
        reported = [held for held in self._held + self._done[-5:] if held.reports]
        if not reported:
            return
        report = reports_pb2.ReportTradeRequest()
        report.CopyFrom(self.chance.choice(self.chance.choice(reported).reports))
        is_ending = report.kind != reports_pb2.TRADE_REPORT_KIND_ACCEPTED
        if is_ending and self.chance.random() < 0.3:
            report.order_done = not report.order_done
        await self.line.ask("ReportTrade", report)

    def _draw_report(self, held: Held, kind: str = "") -> reports_pb2.ReportTradeRequest:
        chance, order = self.chance, held.order
        kind = kind or chance.choice(KINDS)
        # An ended order whose batch is asked again may be held anew: its ids go on.
        self._report_ids += 1
        if not held.is_approved:
            kind = "CANCELED"  # it may be reserved, and was never sent
        report = reports_pb2.ReportTradeRequest(
            report_id=f"r{self._report_ids}",
            order_id=order.order_id,
            strategy=order.strategy,
            symbol=order.symbol,
            side=order.side,
            kind=reports_pb2.TradeReportKind.Value(f"TRADE_REPORT_KIND_{kind}"),
        )
        if kind == "FILLED":
            quantity = held.left if chance.random() < 0.7 else chance.randint(1, held.left)
            report.fill_quantity = str(quantity)
            report.fill_price = _around(PRICES[order.symbol], chance.randrange(-30, 31))
            report.fee = chance.choice(("0", "0.25", "1"))
            held.left -= quantity
        held.reports.append(report)
        if held.left == 0 or kind in ("CANCELED", "REJECTED", "EXPIRED"):
            self._held = [other for other in self._held if other is not held]
            self._done.append(held)
        return report

    async def _tell(
        self, reports: list[reports_pb2.ReportTradeRequest], *, in_one_call: bool = False
    ) -> None:
        """Send reports until they are acknowledged: a venue's word is not forgotten."""
        answer = None
        while answer is None:
            if in_one_call:
                request = reports_pb2.ReportTradesRequest(trades=reports)
                answer = await self.line.ask("ReportTrades", request)
            else:
                answer = await self.line.ask("ReportTrade", reports[0])
            assert answer is not None or not self.line.was_refused, reports


def _around(price: int, basis_points: int) -> str:
    """Return a price so far from another, in whole cents."""
    cents = price * (10_000 + basis_points) // 100
    return f"{cents // 100}.{cents % 100:02d}"
