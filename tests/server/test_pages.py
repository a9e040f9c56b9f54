"""Pages of open orders name an order, not a place (contract.md, ListOrders)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sidecar.core.answers import OpenOrder
from sidecar.core.denial import CallRefused
from sidecar.server.pages import cut_page
from sidecar.wire import OrdersPage


def an_order(at: int) -> OpenOrder:
    """Return the open order number `at`; two share each instant."""
    return OpenOrder(
        order_id=f"o-{at:03}",
        strategy="s",
        symbol="A",
        side="BUY",
        quantity=Decimal(1),
        remaining_quantity=Decimal(1),
        remaining_notional=Decimal(1),
        filled_quantity=Decimal(0),
        approved_at=at // 2,
        age_ns=0,
        expires_at=None,
        last_report_kind="",
        last_report_at=None,
        unsolicited=False,
    )


def a_page(token: str = "", **changes: str) -> OrdersPage:
    """Return a page of ten."""
    fields = {"strategy": "", "symbol": "", "page_token": token, **changes}
    return OrdersPage(page_size=10, **fields)


def test_pages_list_every_order_once() -> None:
    """Following the tokens lists each order once, oldest approval first."""
    orders = [an_order(at) for at in range(25)]
    listed: list[str] = []
    token = ""
    while True:
        shown, token = cut_page(reversed(orders), a_page(token), "i")
        listed += [order.order_id for order in shown]
        if not token:
            break
    assert listed == [order.order_id for order in orders]


def test_orders_that_end_between_pages_shift_nothing() -> None:
    """Orders that end between two pages make no other order come twice or go missing."""
    orders = [an_order(at) for at in range(25)]
    shown, token = cut_page(orders, a_page(), "i")
    rest, _ = cut_page(orders[8:], a_page(token), "i")
    assert [order.order_id for order in (*shown, *rest)] == [f"o-{at:03}" for at in range(20)]


@pytest.mark.parametrize("token", ["x", "e30=", "WzFd", "\u00e4", "W10=", "bnVsbA=="])
def test_a_token_of_nobody_is_refused(token: str) -> None:
    """What is no token is INVALID_ARGUMENT naming it."""
    with pytest.raises(CallRefused) as caught:
        cut_page([], a_page(token), "i")
    assert caught.value.field_faults[0].field == "page_token"


def test_a_token_is_good_for_one_process_and_one_filter() -> None:
    """A token of another process or other filters is refused: its page would mean nothing."""
    _, token = cut_page([an_order(at) for at in range(25)], a_page(), "i")
    with pytest.raises(CallRefused):
        cut_page([], a_page(token), "another")
    with pytest.raises(CallRefused):
        cut_page([], a_page(token, symbol="A"), "i")
