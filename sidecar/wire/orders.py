"""Reads what a bot asks before sending: one order, a batch, a page of open orders.

Rules:
1. An order read here obeys the grammar of S2.1 and its order type; otherwise every fault is named.
2. A malformed order of a batch is a fault in its place; an id twice is a fault of the whole batch.
"""

from dataclasses import dataclass
from typing import Final

from haltline.v1 import order_pb2, reservations_pb2

from sidecar.core.commands import BatchMode, CheckOrder
from sidecar.core.denial import CallRefused, FieldFault, malformed
from sidecar.core.forms import Form, check_order_prices
from sidecar.wire.pieces import read_time, read_word
from sidecar.wire.tables import BATCH_MODES, ORDER_TYPES, SIDES

BATCH_COUNT_MAX: Final = 256
PAGE_SIZE_DEFAULT: Final = 100
PAGE_SIZE_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OrdersPage:
    """Which open orders are asked for: an empty name matches all, an empty token starts anew."""

    strategy: str
    symbol: str
    page_size: int
    page_token: str


def read_order(message: order_pb2.CheckOrderRequest) -> CheckOrder:
    """Return the order asked about; CallRefused naming every faulty field (S4.1)."""
    form = Form()
    has, name, positive = message.HasField, form.name, form.positive
    order_type = ORDER_TYPES.get(message.order_type)
    has_limit, has_stop = has("limit_price"), has("stop_price")
    # By place: every order is read here, and names for eight values cost as much as reading them.
    order = CheckOrder(
        name("order_id", message.order_id),
        name("strategy", message.strategy),
        name("symbol", message.symbol),
        SIDES.get(message.side) or read_word(form, "side", message.side, SIDES),
        order_type or read_word(form, "order_type", message.order_type, ORDER_TYPES),
        positive("quantity", message.quantity),
        positive("limit_price", message.limit_price) if has_limit else None,
        positive("stop_price", message.stop_price) if has_stop else None,
    )
    if order_type is not None:
        check_order_prices(form, order_type, has_limit=has_limit, has_stop=has_stop)
    if message.reduce_only:
        order.reduce_only = True
    if message.dry_run:
        order.dry_run = True
    if has("reference_price"):
        order.reference_price = positive("reference_price", message.reference_price)
    if has("good_till"):
        order.good_till = read_time(form, "good_till", message.good_till)
    if has("replaces_order_id"):
        order.replaces_order_id = name("replaces_order_id", message.replaces_order_id)
    if has("one_cancels_other_group"):
        group = name("one_cancels_other_group", message.one_cancels_other_group)
        order.one_cancels_other_group = group
    if form.faults:
        form.finish()
    return order


def read_stream_order(message: order_pb2.CheckOrderStreamRequest) -> CheckOrder:
    """Return the order of one message on a stream; its absence is a fault like any other."""
    if not message.HasField("order"):
        raise malformed([FieldFault("order", "must be given")])
    return read_order(message.order)


def read_orders(
    message: order_pb2.CheckOrdersRequest,
) -> tuple[list[CheckOrder | CallRefused], BatchMode]:
    """Return each order or its refusal, and the mode; CallRefused for a faulty batch."""
    form = Form()
    mode = read_word(form, "mode", message.mode, BATCH_MODES)
    count = len(message.orders)
    if not 1 <= count <= BATCH_COUNT_MAX:
        form.fault("orders", f"must be 1 to {BATCH_COUNT_MAX} orders, was {count}")
        form.finish()
    first_at: dict[str, int] = {}
    for at, order in enumerate(message.orders):
        seen = first_at.setdefault(order.order_id, at)
        if order.order_id and seen != at:
            form.fault(f"orders[{at}].order_id", f"is the order_id of orders[{seen}] already")
    form.finish()
    return [_order_or_refusal(order) for order in message.orders], mode


def _order_or_refusal(message: order_pb2.CheckOrderRequest) -> CheckOrder | CallRefused:
    try:
        return read_order(message)
    except CallRefused as refused:
        return refused


def read_list_orders(message: reservations_pb2.ListOrdersRequest) -> OrdersPage:
    """Return which page of open orders is asked for; a larger page is cut to the largest."""
    form = Form()
    page = OrdersPage(
        strategy=form.name("strategy", message.strategy) if message.HasField("strategy") else "",
        symbol=form.name("symbol", message.symbol) if message.HasField("symbol") else "",
        page_size=min(message.page_size or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX),
        page_token=message.page_token,
    )
    form.finish()
    return page
