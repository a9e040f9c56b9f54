"""A broken invariant is found and named by its number (core/DESIGN.md, I1 to I8)."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from sidecar.core.invariants import find_broken
from sidecar.core.state import State
from tests.core.harness import Desk


def traded() -> Desk:
    """Return a desk with a position, a reservation, a kill and an open breaker."""
    desk = Desk(marks={"X": 100})
    desk.hold(10, 100)
    desk.approve("BUY", 5, 100, order_id="a")
    desk.kill(scope_kind="SYMBOL", scope_name="Y")
    for _ in range(3):
        desk.api_error()
    return desk


def set_value(path: str, value: object) -> Callable[[State], None]:
    """Return what sets one field of a state: `orders.a.filled`."""

    def change(state: State) -> None:
        *way, last = path.split(".")
        target: object = state
        for name in way:
            target = target[name] if isinstance(target, dict) else getattr(target, name)
        setattr(target, last, value)

    return change


BREAKS = [
    ("I1", "portfolio_exposure", Decimal(1)),
    ("I1", "symbols.X.exposure", Decimal(1)),
    ("I1", "symbols.X.net_position", Decimal(1)),
    ("I1", "strategies.alpha.exposure", Decimal(1)),
    ("I2", "position_count", 7),
    ("I3", "orders.a.is_open", False),
    ("I3", "orders.a.was_ended", True),
    ("I4", "orders.a.filled", Decimal(-1)),
    ("I4", "orders.a.remaining", Decimal(-1)),
    ("I4", "symbols.X.books.alpha.buy_notional", Decimal(-1)),
    ("I5", "breaker.is_open", False),
    ("I5", "breaker.causes", []),
    ("I6", "stop_epoch", 0),
    ("I7", "account.units", Decimal(0)),
    ("I8", "symbols.X.books.alpha.buy_notional", Decimal(9)),
]


@pytest.mark.parametrize(
    ("number", "path", "value"), BREAKS, ids=[f"{b[0]} {b[1]}" for b in BREAKS]
)
def test_a_broken_invariant_is_named(number: str, path: str, value: object) -> None:
    """One changed field is found by the invariant that forbids it."""
    desk = traded()
    assert find_broken(desk.state) == []
    set_value(path, value)(desk.state)
    assert any(line.startswith(f"{number} ") for line in find_broken(desk.state))


def test_an_empty_state_breaks_nothing() -> None:
    """A store that was never used is whole."""
    assert find_broken(State()) == []
