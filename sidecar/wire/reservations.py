"""Writes a page of the orders that hold a reservation."""

from collections.abc import Iterable

from haltline.v1 import order_pb2, reports_pb2, reservations_pb2

from sidecar.core.answers import OpenOrder
from sidecar.core.commands import ReportKind, Side
from sidecar.core.numbers import format_decimal
from sidecar.wire.pieces import duration, optional_decimal, optional_timestamp, timestamp
from sidecar.wire.tables import REPORT_KIND_NUMBERS, SIDE_NUMBERS

_REPORT_KIND_BY_NAME = {kind.value: REPORT_KIND_NUMBERS[kind] for kind in ReportKind}
_SIDE_BY_NAME = {side.value: SIDE_NUMBERS[side] for side in Side}


def orders_answer(
    orders: Iterable[OpenOrder], *, next_page_token: str, store_id: str
) -> reservations_pb2.ListOrdersResponse:
    """Return one page."""
    return reservations_pb2.ListOrdersResponse(
        orders=[_reservation(order) for order in orders],
        next_page_token=next_page_token,
        store_id=store_id,
    )


def _reservation(order: OpenOrder) -> reservations_pb2.Reservation:
    return reservations_pb2.Reservation(
        order_id=order.order_id,
        strategy=order.strategy,
        symbol=order.symbol,
        side=_SIDE_BY_NAME.get(order.side, order_pb2.SIDE_UNSPECIFIED),
        quantity=format_decimal(order.quantity),
        filled_quantity=format_decimal(order.filled_quantity),
        remaining_quantity=format_decimal(order.remaining_quantity),
        remaining_notional=format_decimal(order.remaining_notional),
        limit_price=optional_decimal(order.limit_price),
        approved_at=timestamp(order.approved_at),
        age=duration(order.age_ns),
        expires_at=optional_timestamp(order.expires_at),
        last_report_kind=_REPORT_KIND_BY_NAME.get(
            order.last_report_kind, reports_pb2.TRADE_REPORT_KIND_UNSPECIFIED
        ),
        last_report_at=optional_timestamp(order.last_report_at),
        unsolicited=order.unsolicited,
    )
