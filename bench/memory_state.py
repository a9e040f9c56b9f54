"""What the core's state weighs, measured in a process of its own.

Usage: python -m bench.memory_state BOOKS OPEN_ORDERS ENDED_IDS (prints JSON)
"""

from __future__ import annotations

import gc
import json
import sys

from bench.decision import SECOND_NS, Desk
from bench.servers import resident_bytes
from sidecar.core.engine import REMEMBERED_IDS_MIN, REMEMBERED_NS_MIN


def weigh(books: int, open_orders: int, ended_ids: int) -> dict[str, int]:
    """Return resident bytes before and after each; `beyond_bound` after a tenth more ids."""
    small = 10
    at_start = _resident()
    ending = Desk(books=small, open_orders=0)
    for at in range(ended_ids):
        ending.end_one(f"ended-order-{at:010d}", at)
    with_ids = _resident()
    book_desk = Desk(books=books, open_orders=0)
    with_books = _resident()
    open_desk = Desk(books=small, open_orders=open_orders)
    with_open = _resident()
    weighed = {
        "at_start": at_start,
        "ids": with_ids - at_start,
        "books": with_books - with_ids,
        "open": with_open - with_books,
        "whole": with_open,
    }
    if ended_ids >= REMEMBERED_IDS_MIN:
        ending.now += REMEMBERED_NS_MIN + SECOND_NS
        for at in range(ended_ids // 10):
            ending.end_one(f"later-order-{at:010d}", at)
        weighed["beyond_bound"] = _resident() - with_open
        weighed["remembered"] = len(ending.state.orders)
    held = (book_desk.state.book_list, open_desk.state.open_orders)
    if [len(part) for part in held] != [books, open_orders]:
        raise RuntimeError(f"expected {books} books and {open_orders} open reservations")
    return weighed


def _resident() -> int:
    gc.collect()
    return resident_bytes()


if __name__ == "__main__":
    print(json.dumps(weigh(*(int(text) for text in sys.argv[1:4]))))
