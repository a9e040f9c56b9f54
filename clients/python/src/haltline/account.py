"""What a bot says about its account, and the request it becomes (S8.2)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from haltline.decimals import DecimalLike, decimal_text, name_text, optional_decimal_text
from haltline.times import Instant, timestamp
from haltline.v1 import account_pb2
from haltline.words import Side, number


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """What one strategy holds of one symbol: signed, long is positive."""

    strategy: str
    symbol: str
    quantity: DecimalLike
    average_price: DecimalLike | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOrder:
    """One order that lives at the venue, with what it has filled so far."""

    order_id: str
    strategy: str
    symbol: str
    side: Side
    remaining_quantity: DecimalLike
    cumulative_filled_quantity: DecimalLike = "0"
    limit_price: DecimalLike | None = None


def account_request(
    *,
    report_id: str,
    equity: DecimalLike | None,
    positions: Iterable[Position] | None,
    open_orders: Iterable[OpenOrder] | None,
    as_of_sequence: int | None,
    as_of_venue_time: Instant | None,
    cash_flows: Mapping[str, DecimalLike],
    marks: Mapping[str, DecimalLike],
) -> account_pb2.ReportAccountRequest:
    """Return the report. A list that is given is complete; None says nothing about it.

    Raises:
        ValueError: a complete list without `as_of_sequence`, or positions without
            `as_of_venue_time`: nobody could tell which fills they already contain.
    """
    is_complete = positions is not None or open_orders is not None
    if is_complete and as_of_sequence is None:
        raise ValueError(
            "as_of_sequence: complete positions and open orders need guard.last_sequence, "
            "read before the venue was asked"
        )
    if positions is not None and as_of_venue_time is None:
        raise ValueError("as_of_venue_time: complete positions need the venue's time of its answer")
    return account_pb2.ReportAccountRequest(
        report_id=name_text("report_id", report_id),
        equity=optional_decimal_text("equity", equity),
        positions=[_position(position) for position in positions or ()],
        positions_complete=positions is not None,
        open_orders=[_open_order(order) for order in open_orders or ()],
        open_orders_complete=open_orders is not None,
        as_of_sequence=as_of_sequence,
        as_of_venue_time=timestamp("as_of_venue_time", as_of_venue_time),
        cash_flows=[
            account_pb2.CashFlow(
                flow_id=name_text("flow_id", flow_id), amount=_amount(flow_id, amount)
            )
            for flow_id, amount in cash_flows.items()
        ],
        marks=[
            account_pb2.Mark(symbol=name_text("symbol", symbol), price=_mark(symbol, price))
            for symbol, price in marks.items()
        ],
    )


def _amount(flow_id: str, amount: DecimalLike) -> str:
    return decimal_text(f"cash_flows[{flow_id!r}]", amount)


def _mark(symbol: str, price: DecimalLike) -> str:
    return decimal_text(f"marks[{symbol!r}]", price)


def _position(position: Position) -> account_pb2.AccountPosition:
    return account_pb2.AccountPosition(
        strategy=name_text("strategy", position.strategy),
        symbol=name_text("symbol", position.symbol),
        quantity=decimal_text("quantity", position.quantity),
        average_price=optional_decimal_text("average_price", position.average_price),
    )


def _open_order(order: OpenOrder) -> account_pb2.OpenOrder:
    return account_pb2.OpenOrder(
        order_id=name_text("order_id", order.order_id),
        strategy=name_text("strategy", order.strategy),
        symbol=name_text("symbol", order.symbol),
        side=number(Side(order.side)),
        remaining_quantity=decimal_text("remaining_quantity", order.remaining_quantity),
        cumulative_filled_quantity=decimal_text(
            "cumulative_filled_quantity", order.cumulative_filled_quantity
        ),
        limit_price=optional_decimal_text("limit_price", order.limit_price),
    )
