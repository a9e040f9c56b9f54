"""One of each thing that the breaker counts, as small as it can be (S9)."""

from collections.abc import Callable
from typing import Final

from tests.core.harness import Desk


def lose(desk: Desk, symbol: str = "L") -> None:
    """Make one losing round trip, too small to be a drawdown."""
    desk.hold(1, 100, symbol=symbol)
    desk.hold(-1, 99, symbol=symbol)


def api_error(desk: Desk) -> None:
    """Report one failed venue call."""
    desk.api_error()


def reject(desk: Desk) -> None:
    """Report one order the venue refused; while the breaker is OPEN, a stranger."""
    desk.report("REJECTED", desk.check("BUY", 1, 1, symbol="R").order_id)


def fail(desk: Desk) -> None:
    """Report one order that came to nothing; while the breaker is OPEN, a stranger."""
    desk.report("FAILED", desk.check("BUY", 1, 1, symbol="R").order_id)


COUNTED: Final[list[tuple[str, int, Callable[[Desk], None]]]] = [
    ("CONSECUTIVE_LOSSES", 10, lose),
    ("API_ERRORS", 3, api_error),
    ("ORDER_FAILURES", 5, reject),
    ("FAILED_TRADES", 5, fail),
]
"""Each counted cause, its default threshold, and how to make it happen once."""
