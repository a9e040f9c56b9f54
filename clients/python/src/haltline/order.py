"""An order before it is sent, in the bot's words, and the request it becomes."""

import dataclasses
from dataclasses import dataclass

from haltline.decimals import DecimalLike, decimal_text, name_text, optional_decimal_text
from haltline.times import Instant, timestamp
from haltline.v1 import order_pb2
from haltline.words import OrderType, Side, number


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order a bot wants to send. Quantities and prices are str, Decimal or int, never floats.

    `order_type` follows from the prices where it is not given: none is MARKET, a limit price LIMIT,
    a stop price STOP, both STOP_LIMIT. `order_id` and `strategy` are the guard's where empty; the
    order id must also be the client order id at the venue, where the venue has one.
    """

    symbol: str
    side: Side
    quantity: DecimalLike
    limit_price: DecimalLike | None = None
    stop_price: DecimalLike | None = None
    order_type: OrderType | None = None
    reference_price: DecimalLike | None = None
    reduce_only: bool = False
    good_till: Instant | None = None
    replaces_order_id: str | None = None
    one_cancels_other_group: str | None = None
    order_id: str = ""
    strategy: str = ""

    def named(self, order_id: str, strategy: str) -> "Order":
        """Return the order with id and strategy, its own where it has them."""
        return dataclasses.replace(
            self, order_id=self.order_id or order_id, strategy=self.strategy or strategy
        )

    def request(self, *, dry_run: bool = False) -> order_pb2.CheckOrderRequest:
        """Return what is asked of the sidecar.

        Raises:
            TypeError: a quantity or price is a float.
            ValueError: a field is outside the contract's grammar.
        """
        return order_pb2.CheckOrderRequest(
            order_id=name_text("order_id", self.order_id),
            strategy=name_text("strategy", self.strategy),
            symbol=name_text("symbol", self.symbol),
            side=number(Side(self.side)),
            order_type=number(self.order_type or self._order_type_of_prices()),
            quantity=decimal_text("quantity", self.quantity),
            limit_price=optional_decimal_text("limit_price", self.limit_price),
            stop_price=optional_decimal_text("stop_price", self.stop_price),
            reference_price=optional_decimal_text("reference_price", self.reference_price),
            reduce_only=self.reduce_only,
            dry_run=dry_run,
            good_till=timestamp("good_till", self.good_till),
            replaces_order_id=self.replaces_order_id,
            one_cancels_other_group=self.one_cancels_other_group,
        )

    def _order_type_of_prices(self) -> OrderType:
        if self.stop_price is not None:
            return OrderType.STOP if self.limit_price is None else OrderType.STOP_LIMIT
        return OrderType.MARKET if self.limit_price is None else OrderType.LIMIT
