"""An order in the bot's words becomes the contract's request."""

from datetime import datetime
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from haltline import Order, OrderType, Side
from haltline.v1 import order_pb2

from tests.client.conftest import UTC


def order(**fields: Any) -> Order:
    """Return an order with these fields."""
    named: dict[str, Any] = {
        "order_id": "o-1",
        "strategy": "momentum",
        "symbol": "AAPL",
        "side": Side.BUY,
    }
    return Order(**(named | {"quantity": "10"} | fields))


@pytest.mark.parametrize(
    ("prices", "order_type"),
    [
        ({}, order_pb2.ORDER_TYPE_MARKET),
        ({"limit_price": "1"}, order_pb2.ORDER_TYPE_LIMIT),
        ({"stop_price": "1"}, order_pb2.ORDER_TYPE_STOP),
        ({"limit_price": "1", "stop_price": "1"}, order_pb2.ORDER_TYPE_STOP_LIMIT),
        ({"limit_price": "1", "order_type": OrderType.MARKET}, order_pb2.ORDER_TYPE_MARKET),
    ],
)
def test_the_order_type_follows_from_the_prices(prices: Any, order_type: int) -> None:
    """The prices given say the type, unless the bot does."""
    assert order(**prices).request().order_type == order_type


def test_absent_fields_are_absent_on_the_wire() -> None:
    """An order that says nothing of prices, times and groups sends none."""
    request: Any = order().request()
    absent = ("limit_price", "stop_price", "reference_price", "good_till", "replaces_order_id")
    assert not any(request.HasField(field) for field in (*absent, "one_cancels_other_group"))
    assert not request.dry_run


def test_every_field_arrives() -> None:
    """What the bot says is what is asked."""
    request = order(
        side=Side.SELL,
        limit_price="99.5",
        reference_price=100,
        reduce_only=True,
        good_till=datetime(2030, 1, 2, tzinfo=UTC),
        replaces_order_id="o-0",
        one_cancels_other_group="exit",
    ).request(dry_run=True)
    assert request == order_pb2.CheckOrderRequest(
        order_id="o-1",
        strategy="momentum",
        symbol="AAPL",
        side=order_pb2.SIDE_SELL,
        order_type=order_pb2.ORDER_TYPE_LIMIT,
        quantity="10",
        limit_price="99.5",
        reference_price="100",
        reduce_only=True,
        dry_run=True,
        good_till=Timestamp(seconds=1_893_542_400),
        replaces_order_id="o-0",
        one_cancels_other_group="exit",
    )


def test_a_side_that_is_none_is_refused() -> None:
    """A number that is no side is a ValueError, not a guess."""
    with pytest.raises(ValueError, match="not a valid Side"):
        order(side=0).request()
