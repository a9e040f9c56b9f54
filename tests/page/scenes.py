"""What a sidecar is told so that its page shows something: orders, fills, marks, losses.

Rule: every scene is made over the real socket, by the calls a bot makes.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import grpc
from haltline.v1 import account_pb2, kill_switch_pb2, order_pb2, reports_pb2
from haltline.v1.safety_service_pb2_grpc import SafetyServiceStub

CALL_SECONDS_MAX: Final = 20
PRICES: Final = {"BTC-USD": "97000", "ETH-USD": "3400", "ES-FUT": "5900", "AAPL": "230"}
ORDERS: Final = (
    ("trend", "BTC-USD", "0.25"),
    ("trend", "ES-FUT", "4"),
    ("carry", "ETH-USD", "6"),
    ("pairs", "AAPL", "60"),
)


class Bot:
    """Calls one sidecar as a bot does."""

    def __init__(self, stub: SafetyServiceStub) -> None:
        """Use `bot_at`."""
        self._stub = stub
        self._ids = itertools.count(time.time_ns() // 1_000)

    def _id(self, kind: str) -> str:
        return f"{kind}-{next(self._ids)}"

    def marks(self, prices: dict[str, str]) -> None:
        """Report prices."""
        self.account(marks=[account_pb2.Mark(symbol=s, price=p) for s, p in prices.items()])

    def equity(self, equity: str) -> None:
        """Report equity."""
        self.account(equity=equity)

    def account(self, **fields: object) -> None:
        """Report the account."""
        request = account_pb2.ReportAccountRequest(report_id=self._id("account"), **fields)  # type: ignore[arg-type]  # fields of the message
        self._stub.ReportAccount(request, timeout=CALL_SECONDS_MAX)

    def ask(
        self, strategy: str, symbol: str, quantity: str, *, price: str = "", side: str = "BUY"
    ) -> order_pb2.CheckOrderResponse:
        """Ask about an order; the answer says whether it was approved."""
        request = order_pb2.CheckOrderRequest(
            order_id=self._id("o"),
            strategy=strategy,
            symbol=symbol,
            side=order_pb2.Side.Value(f"SIDE_{side}"),
            order_type=order_pb2.ORDER_TYPE_LIMIT,
            quantity=quantity,
            limit_price=price or PRICES.get(symbol, "100"),
        )
        return self._stub.CheckOrder(request, timeout=CALL_SECONDS_MAX)

    def report(self, order_id: str, strategy: str, symbol: str, kind: str, **fields: str) -> None:
        """Report what became of an order."""
        request = reports_pb2.ReportTradeRequest(
            report_id=self._id("r"),
            order_id=order_id,
            strategy=strategy,
            symbol=symbol,
            side=order_pb2.Side.Value(f"SIDE_{fields.pop('side', 'BUY')}"),
            kind=reports_pb2.TradeReportKind.Value(f"TRADE_REPORT_KIND_{kind}"),
            **fields,  # type: ignore[arg-type]  # fields of the message
        )
        self._stub.ReportTrade(request, timeout=CALL_SECONDS_MAX)

    def fill(self, strategy: str, symbol: str, quantity: str) -> None:
        """Ask for an order and have it filled at its price."""
        answer = self.ask(strategy, symbol, quantity)
        assert answer.verdict == order_pb2.VERDICT_APPROVED, answer
        self.report(
            answer.order_id,
            strategy,
            symbol,
            "FILLED",
            fill_quantity=quantity,
            fill_price=PRICES.get(symbol, "100"),
        )

    def api_error(self) -> None:
        """Report an error of the venue's."""
        self._stub.ReportApiError(
            reports_pb2.ReportApiErrorRequest(
                report_id=self._id("e"), api="orders", code="503", message="unavailable"
            ),
            timeout=CALL_SECONDS_MAX,
        )

    def kill(self, reason: str, by: str, *, mode: str = "HALT", **scope: str) -> None:
        """Stop trading, everything unless a scope says otherwise."""
        request = kill_switch_pb2.TriggerKillRequest(
            reason=reason,
            triggered_by=by,
            mode=kill_switch_pb2.KillMode.Value(f"KILL_MODE_{mode}"),
            scope=kill_switch_pb2.KillScope(**scope) if scope else None,  # type: ignore[arg-type]  # strategy or symbol
        )
        self._stub.TriggerKill(request, timeout=CALL_SECONDS_MAX)


@contextmanager
def bot_at(directory: Path) -> Iterator[Bot]:
    """Connect to the sidecar of a data directory."""
    with grpc.insecure_channel(f"unix:{directory}/run/haltline.sock") as channel:
        yield Bot(SafetyServiceStub(channel))


def trade(bot: Bot) -> None:
    """Fill some orders, leave two open, have two denied."""
    bot.marks(PRICES)
    for strategy, symbol, quantity in ORDERS:
        bot.fill(strategy, symbol, quantity)
    waiting = bot.ask("pairs", "AAPL", "5")
    bot.report(waiting.order_id, "pairs", "AAPL", "ACCEPTED")
    bot.ask("carry", "ETH-USD", "0.5")
    bot.ask("trend", "BTC-USD", "0.2")
    bot.ask("trend", "ES-FUT", "9")
