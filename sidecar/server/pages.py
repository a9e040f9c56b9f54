"""Pages of open orders: a token says after which order the next page begins.

Rules:
1. A token is good for one process and one pair of filters; any other is INVALID_ARGUMENT.
2. It names an order, not a place: orders that end between two pages shift nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable

from sidecar.core.answers import OpenOrder
from sidecar.core.denial import CallRefused, FieldFault, malformed
from sidecar.wire import OrdersPage


def cut_page(
    orders: Iterable[OpenOrder], page: OrdersPage, instance_id: str
) -> tuple[list[OpenOrder], str]:
    """Return the orders of `page`, oldest approval first, and the next token ('' on the last)."""
    ordered = sorted(orders, key=_key)
    if page.page_token:
        after = _read_token(page, instance_id)
        ordered = [order for order in ordered if _key(order) > after]
    shown = ordered[: page.page_size]
    is_last = len(shown) == len(ordered)
    return shown, "" if is_last else _write_token(page, instance_id, _key(shown[-1]))


def _key(order: OpenOrder) -> tuple[int, str]:
    return order.approved_at, order.order_id


def _owner(page: OrdersPage, instance_id: str) -> str:
    text = json.dumps([instance_id, page.strategy, page.symbol])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _write_token(page: OrdersPage, instance_id: str, after: tuple[int, str]) -> str:
    text = json.dumps([_owner(page, instance_id), *after])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_token(page: OrdersPage, instance_id: str) -> tuple[int, str]:
    try:
        owner, approved_at, order_id = json.loads(base64.urlsafe_b64decode(page.page_token))
    except (ValueError, TypeError, binascii.Error, RecursionError) as error:
        raise _unknown_token() from error
    if owner != _owner(page, instance_id):
        raise _unknown_token()
    if not isinstance(approved_at, int) or not isinstance(order_id, str):
        raise _unknown_token()
    return approved_at, order_id


def _unknown_token() -> CallRefused:
    fault = FieldFault(
        "page_token",
        "is not of this process and these filters: ask for the first page anew, with none",
    )
    return malformed([fault])
