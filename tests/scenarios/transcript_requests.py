"""From the words of a line to the request a bot or an operator would send, through the real wire.

Rules:
- Numbers stay text until `sidecar.wire` reads them: what it refuses shows as it would to a bot.
- A report about an order that was asked about need not repeat its book and side.
- Ids of reports are counted where a line gives none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from haltline.v1 import account_pb2, kill_switch_pb2, order_pb2, reports_pb2

from sidecar import wire
from sidecar.core.commands import (
    CheckOrder,
    Drawdown,
    KillScope,
    ReportAccount,
    ReportApiError,
    ReportTrade,
    ScopeKind,
    TriggerKill,
)
from sidecar.wire.tables import REPORT_KIND_NUMBERS, SIDE_NUMBERS
from tests.scenarios.transcript_words import Words

SIDES: Final = {side.value.lower(): number for side, number in SIDE_NUMBERS.items()}
KINDS: Final = {kind.value.lower(): number for kind, number in REPORT_KIND_NUMBERS.items()}
_SECOND_NS: Final = 1_000_000_000
_Sider = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Placed:
    """Whose an order is: what a report about it must name."""

    strategy: str
    symbol: str
    side: order_pb2.Side.ValueType


@dataclass(slots=True)
class Requests:
    """Makes requests; remembers orders asked about, and counts ids nobody gave."""

    instant_of: Callable[[str], int]
    """Reads a time of the current day, as nanoseconds."""
    sequence_now: Callable[[], int]
    orders: dict[str, Placed] = field(default_factory=dict)
    bookmarks: dict[str, int] = field(default_factory=dict)
    _reports_count: int = 0

    def order_message(self, words: Words) -> order_pb2.CheckOrderRequest:
        """`buy 10 AAPL limit 100 by momentum as A1 ...`."""
        request = order_pb2.CheckOrderRequest(
            side=SIDES[words.take("buy or sell")],
            quantity=words.take("a quantity"),
            symbol=words.take("a symbol"),
        )
        self._read_prices(request, words)
        words.expect("by")
        request.strategy = words.take("a strategy")
        words.expect("as")
        request.order_id = words.take("an order id")
        self._read_options(request, words)
        if not request.dry_run:
            placed = Placed(request.strategy, request.symbol, request.side)
            self.orders.setdefault(request.order_id, placed)
        return request

    def order(self, words: Words) -> CheckOrder:
        """As `order_message`; CallRefused where the wire refuses it."""
        return wire.read_order(self.order_message(words))

    def _read_prices(self, request: order_pb2.CheckOrderRequest, words: Words) -> None:
        is_market = words.skip("market")
        stop = words.after("stop")
        limit = words.after("limit")
        if stop is not None:
            request.stop_price = stop
        if limit is not None and limit != "none":
            request.limit_price = limit
        kinds = {
            (True, False): order_pb2.ORDER_TYPE_STOP,
            (True, True): order_pb2.ORDER_TYPE_STOP_LIMIT,
            (False, True): order_pb2.ORDER_TYPE_LIMIT,
        }
        request.order_type = (
            order_pb2.ORDER_TYPE_MARKET if is_market else kinds[stop is not None, limit is not None]
        )

    def _read_options(self, request: order_pb2.CheckOrderRequest, words: Words) -> None:
        while words:
            if (price := words.after("reference")) is not None:
                request.reference_price = price
            elif (old := words.after("replacing")) is not None:
                request.replaces_order_id = old
            elif (group := words.after("group")) is not None:
                request.one_cancels_other_group = group
            elif (till := words.after("good", "till")) is not None:
                request.good_till.CopyFrom(self._timestamp(till))
            elif words.skip("reduce", "only"):
                request.reduce_only = True
            elif words.skip("dry", "run"):
                request.dry_run = True
            else:
                words.finish()

    def trade(self, order_id: str, words: Words) -> ReportTrade:
        """`A1 filled 40 at 100 fee 1`, without the id at its front."""
        kind = words.take("what became of it")
        request = reports_pb2.ReportTradeRequest(order_id=order_id, kind=KINDS[kind])
        placed = self.orders.get(order_id)
        if kind == "filled":
            request.fill_quantity = words.take("a quantity")
            words.expect("at")
            request.fill_price = words.take("a price")
        elif (new := words.after("to")) is not None:
            request.new_quantity = new
            if (price := words.after("at")) is not None:
                request.new_limit_price = price
        while words:
            placed = self._read_trade_option(request, words) or placed
        if placed is None:
            raise words.fault(f"{order_id} was never asked about: say 'as buy AAPL by momentum'")
        request.strategy, request.symbol = placed.strategy, placed.symbol
        request.side = placed.side
        if not request.report_id:
            request.report_id = self._new_id()
        return wire.read_report_trade(request)

    def _read_trade_option(
        self, request: reports_pb2.ReportTradeRequest, words: Words
    ) -> Placed | None:
        if words.skip("as"):
            side = SIDES[words.take("buy or sell")]
            symbol = words.take("a symbol")
            words.expect("by")
            placed = Placed(words.take("a strategy"), symbol, side)
            self.orders.setdefault(request.order_id, placed)
            return placed
        if (fee := words.after("fee", "quantity")) is not None:
            request.fee_quantity = fee
        elif (fee := words.after("fee")) is not None:
            request.fee = fee
        elif (pnl := words.after("pnl")) is not None:
            request.realized_pnl = pnl
        elif (report_id := words.after("report")) is not None:
            request.report_id = report_id
        elif (at := words.after("venue", "time")) is not None:
            request.venue_time.CopyFrom(self._timestamp(at))
        elif words.skip("order", "done"):
            request.order_done = True
        else:
            words.finish()
        return None

    def api_error(self, words: Words) -> ReportApiError:
        """`api error [report E1]`, without its first words."""
        report_id = words.after("report") or self._new_id()
        words.finish()
        return wire.read_report_api_error(reports_pb2.ReportApiErrorRequest(report_id=report_id))

    def account(self, words: Words, parts: list[str]) -> ReportAccount:
        """`account ...`, without its first word; each part below it is one item more."""
        request = account_pb2.ReportAccountRequest()
        has_proof = words.last("with", "proof")
        self._read_account(request, words)
        for part in parts:
            self._read_account(request, Words(part))
        is_complete = request.positions_complete or request.open_orders_complete
        if is_complete and not request.HasField("as_of_sequence"):
            request.as_of_sequence = self.sequence_now()
        if request.positions_complete and not request.HasField("as_of_venue_time"):
            request.as_of_venue_time.CopyFrom(self._timestamp(""))
        if not request.report_id:
            request.report_id = self._new_id()
        return wire.read_report_account(request, has_operator_proof=has_proof)

    def _read_account(self, request: account_pb2.ReportAccountRequest, words: Words) -> None:
        readers: dict[str, Callable[[account_pb2.ReportAccountRequest, Words], None]] = {
            "mark": self._read_mark,
            "position": self._read_position,
            "order": self._read_open_order,
            "deposit": self._read_flow,
            "withdrawal": self._read_flow,
            "no": self._read_nothing,
            "as": self._read_as_of,
        }
        while words:
            if (equity := words.after("equity")) is not None:
                request.equity = equity
            elif (report_id := words.after("report")) is not None:
                request.report_id = report_id
            elif words.peek() in readers:
                readers[words.peek()](request, words)
            else:
                words.finish()

    def _read_mark(self, request: account_pb2.ReportAccountRequest, words: Words) -> None:
        words.expect("mark")
        mark = account_pb2.Mark(symbol=words.take("a symbol"), price=words.take("a price"))
        request.marks.append(mark)

    def _read_position(self, request: account_pb2.ReportAccountRequest, words: Words) -> None:
        words.expect("position")
        position = account_pb2.AccountPosition(
            strategy=words.take("a strategy"),
            symbol=words.take("a symbol"),
            quantity=words.take("a signed quantity"),
        )
        if (price := words.after("at")) is not None:
            position.average_price = price
        request.positions.append(position)
        request.positions_complete = True

    def _read_open_order(self, request: account_pb2.ReportAccountRequest, words: Words) -> None:
        words.expect("order")
        order_id = words.take("an order id")
        side = SIDES[words.take("buy or sell")]
        order = account_pb2.OpenOrder(
            order_id=order_id, side=side, remaining_quantity=words.take("what remains")
        )
        order.symbol = words.take("a symbol")
        if (price := words.after("limit")) is not None:
            order.limit_price = price
        words.expect("by")
        order.strategy = words.take("a strategy")
        order.cumulative_filled_quantity = words.after("filled") or "0"
        self.orders.setdefault(order_id, Placed(order.strategy, order.symbol, side))
        request.open_orders.append(order)
        request.open_orders_complete = True

    def _read_flow(self, request: account_pb2.ReportAccountRequest, words: Words) -> None:
        sign = "-" if words.take("deposit or withdrawal") == "withdrawal" else ""
        amount = sign + words.take("an amount")
        words.expect("as")
        flow = account_pb2.CashFlow(flow_id=words.take("a flow id"), amount=amount)
        request.cash_flows.append(flow)

    def _read_nothing(self, request: account_pb2.ReportAccountRequest, words: Words) -> None:
        if words.skip("no", "positions"):
            request.positions_complete = True
        else:
            words.expect("no", "orders")
            request.open_orders_complete = True

    def _read_as_of(self, request: account_pb2.ReportAccountRequest, words: Words) -> None:
        if (at := words.after("as", "of", "venue", "time")) is not None:
            request.as_of_venue_time.CopyFrom(self._timestamp(at))
        else:
            words.expect("as", "of")
            request.as_of_sequence = self.bookmarks[words.take("a bookmark")]

    def kill(self, words: Words) -> TriggerKill:
        """`kill symbol AAPL reduce only by alice "fat finger"`, without its first word."""
        request = kill_switch_pb2.TriggerKillRequest()
        if (name := words.after("strategy")) is not None:
            request.scope.strategy = name
        elif (name := words.after("symbol")) is not None:
            request.scope.symbol = name
        if words.skip("reduce", "only"):
            request.mode = kill_switch_pb2.KILL_MODE_REDUCE_ONLY
        elif words.skip("halt"):
            request.mode = kill_switch_pb2.KILL_MODE_HALT
        if words.skip("and", "flatten"):
            request.requested_action = kill_switch_pb2.REQUESTED_ACTION_FLATTEN
        elif words.skip("and", "cancel", "orders"):
            request.requested_action = kill_switch_pb2.REQUESTED_ACTION_CANCEL_OPEN_ORDERS
        if (name := words.after("by")) is not None:
            request.triggered_by = name
            request.reason = _take_reason(words)
        words.finish()
        return wire.read_trigger_kill(request.SerializeToString())

    def _new_id(self) -> str:
        self._reports_count += 1
        return f"report-{self._reports_count}"

    def _timestamp(self, text: str) -> Timestamp:
        seconds, nanos = divmod(self.instant_of(text), _SECOND_NS)
        return Timestamp(seconds=seconds, nanos=nanos)


def _take_reason(words: Words) -> str:
    """Read a reason in quotes, `with a reason of 600 letters`, or nothing."""
    if (count := words.after("with", "a", "reason", "of")) is not None:
        words.expect("letters")
        return "x" * int(count)
    return words.take("a reason in quotes") if words else ""


def take_scope(words: Words) -> KillScope | None:
    """Read `strategy X`, `symbol Y` or `everything`; None where no scope is named."""
    if (name := words.after("strategy")) is not None:
        return KillScope(ScopeKind.STRATEGY, name)
    if (name := words.after("symbol")) is not None:
        return KillScope(ScopeKind.SYMBOL, name)
    return KillScope() if words.skip("everything") else None


def take_rebase(words: Words) -> tuple[Drawdown, ...]:
    """Read `rebase daily,weekly`, as the command line takes it."""
    named = words.after("rebase")
    return tuple(Drawdown(name.upper()) for name in named.split(",")) if named else ()
