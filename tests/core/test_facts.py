"""What is known about one asked order: reducing, raising, and what it adds to (S4, S6)."""

from decimal import Decimal

import pytest

from sidecar.core.facts import Facts
from sidecar.core.state import to_plain
from sidecar.core.thresholds import AccountRules
from tests.core.harness import SECOND, Desk


def facts_of(desk: Desk, side: str, quantity: int | str, price: int | None = 100) -> Facts:
    """Return the facts of an order of alpha in X, as a check gathers them."""
    return Facts(desk.state, desk.order(side, quantity, price), None)


# position, working sells, asked side and quantity -> reducing, raising
ORDERS = [
    (0, 0, "BUY", 1, False, True),
    (0, 0, "SELL", 1, False, True),
    (10, 0, "SELL", 10, True, False),
    (10, 0, "SELL", "10.00000001", False, False),
    (10, 0, "SELL", 20, False, False),
    (10, 0, "SELL", "20.00000001", False, True),
    (10, 0, "BUY", 1, False, True),
    (10, 4, "SELL", 6, True, False),
    (10, 4, "SELL", 7, False, False),
    (10, 10, "SELL", "0.00000001", False, False),
    (12, 0, "SELL", 23, False, False),
    (12, 0, "SELL", 25, False, True),
    (1, 0, "SELL", 100, False, True),
    (-10, 0, "BUY", 10, True, False),
    (-10, 0, "BUY", 11, False, False),
    (-10, 0, "SELL", 1, False, True),
]


@pytest.mark.parametrize(("position", "working", "side", "quantity", "reduces", "raises"), ORDERS)
def test_reducing_and_raising_are_computed(
    position: int, working: int, side: str, quantity: int | str, reduces: bool, raises: bool
) -> None:
    """Opposite, and with what works already it does not cross zero; raising is worst case (S4)."""
    desk = Desk(marks={"X": 100})
    if position:
        desk.hold(position, 100)
    if working:
        desk.approve("SELL", working, 100)
    facts = facts_of(desk, side, quantity)
    assert facts.is_reducing is reduces
    assert facts.is_raising is raises


def test_gathering_changes_nothing() -> None:
    """An unknown symbol or strategy stays unknown (S4.8)."""
    desk = Desk()
    before = to_plain(desk.state)
    facts = facts_of(desk, "BUY", 1, None)
    assert facts.growth is None
    assert facts.is_raising, "unknown counts as raising"
    assert to_plain(desk.state) == before


def test_exposure_before_and_after_are_the_worst_cases() -> None:
    """With 10 held and 5 working, 3 more bring 15 x 100 to 18 x 100 (S6)."""
    desk = Desk(marks={"X": 100})
    desk.hold(10, 100)
    desk.approve("BUY", 5, 100)
    facts = facts_of(desk, "BUY", 3)
    assert [facts.exposure_before, facts.growth] == [Decimal(1500), Decimal(300)]
    assert [facts.base.quantity, facts.base.notional] == [Decimal(5), Decimal(500)]
    assert facts.unit_notional == 100


def test_an_own_reservation_is_set_aside() -> None:
    """Judged anew, an order adds to what the others hold (S4.1)."""
    desk = Desk(marks={"X": 100})
    desk.approve("BUY", 5, 100, order_id="own")
    desk.approve("BUY", 2, 100)
    order = desk.order("BUY", 5, 100, order_id="own")
    facts = Facts(desk.state, order, desk.record("own"))
    assert facts.base.quantity == 2
    assert [facts.exposure_before, facts.growth] == [Decimal(200), Decimal(500)]


def test_an_exit_joins_its_group_and_an_entry_does_not() -> None:
    """A group counts once only where the order reduces (S4.10)."""
    desk = Desk(marks={"X": 100})
    desk.hold(10, 100)
    desk.approve("SELL", 10, 120, group="g")
    exits = Facts(desk.state, desk.order("SELL", 10, 90, group="g"), None)
    assert exits.is_reducing
    assert exits.base.cluster == "oco:SELL:g"
    assert exits.base.quantity == 0
    flips = Facts(desk.state, desk.order("SELL", 11, 90, group="g"), None)
    assert not flips.is_reducing
    assert flips.base.cluster is None
    assert flips.base.quantity == 10


def test_a_mark_is_stale_or_unconfirmed_only_where_there_is_one() -> None:
    """No mark is neither: the order's own code says it is missing (S6)."""
    desk = Desk(account=AccountRules(mark_age_ns_max=SECOND))
    assert not facts_of(desk, "BUY", 1).is_mark_stale
    desk.mark(X=100)
    desk.state.now += SECOND + 1
    assert facts_of(desk, "BUY", 1).is_mark_stale
    assert not facts_of(desk, "BUY", 1).is_mark_unconfirmed
    desk.mark(X=200)
    assert facts_of(desk, "BUY", 1).is_mark_unconfirmed
