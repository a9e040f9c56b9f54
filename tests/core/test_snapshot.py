"""A snapshot is the state, bit for bit, and a changed one is refused (S12.5)."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings

from sidecar.core import snapshot
from sidecar.core.numbers import exact
from sidecar.core.snapshot import Part, from_parts, to_parts, witness
from sidecar.core.state import State, Timed, to_plain
from tests.core.harness import Desk
from tests.core.lives import Step, live, lives
from tests.core.worlds import desks, exit_desks


def read_back(state: State) -> State:
    """Return the state through the bytes of a snapshot."""
    lines = [orjson.dumps(part) for part in to_parts(state)]
    return from_parts(orjson.loads(line) for line in lines)


def plain_parts(state: State) -> list[Part]:
    """Return the parts as they are read from bytes."""
    parts: list[Part] = orjson.loads(orjson.dumps(list(to_parts(state))))
    return parts


@settings(max_examples=60, suppress_health_check=(HealthCheck.too_slow,))
@given(desk=desks(steps=20) | exit_desks())
def test_what_is_read_back_is_the_state_with_every_sum(desk: Desk) -> None:
    """All that is remembered and all that is derived, down to the zeros behind a point (S12.5)."""
    found = read_back(desk.state)
    assert list(to_parts(found)) == list(to_parts(desk.state))
    assert list(found.open_orders) == list(desk.state.open_orders)
    assert list(found.unreported) == list(desk.state.unreported)
    assert list(found.expiries.items()) == list(desk.state.expiries.items())
    for one, other in zip(found.book_list, desk.state.book_list, strict=True):
        assert repr(one) == repr(other)


@settings(max_examples=40, deadline=None)
@given(lives)
def test_any_life_is_read_back_bit_for_bit(life: list[Step]) -> None:
    """Every command of the core, in any order (S3, S12.5)."""
    desk = Desk(equity=100_000, marks={"X": 100, "Y": 100})
    live(desk, life)
    found = read_back(desk.state)
    assert list(to_parts(found)) == list(to_parts(desk.state))
    assert witness(found) == witness(desk.state)


def test_a_sum_keeps_the_zeros_it_has() -> None:
    """482.50 given back leaves 0.00 in the sum; a restart answered 0 where the replay said 0.00."""
    desk = Desk(equity=100_000, marks={"X": 100})
    desk.report("CANCELED", desk.approve("BUY", "5.00", "96.50"))
    assert str(desk.book().buy_notional) == "0.00"
    assert str(read_back(desk.state).book_list[0].buy_notional) == "0.00"
    assert str(desk.replayed().book_list[0].buy_notional) == "0.00"


def test_many_rows_come_in_parts_of_a_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither side ever holds the whole in plain form; the order of the rows stays."""
    monkeypatch.setattr(snapshot, "ROWS_OF_A_PART_MAX", 3)
    desk = Desk(equity=100_000, marks={"X": 100})
    for number in range(8):
        desk.report("CANCELED", desk.approve("BUY", 1, 100, order_id=f"o{number}"))
    sizes = [len(keys) for name, keys, *_ in to_parts(desk.state) if name == "orders"]
    assert sizes == [3, 3, 2]
    found = read_back(desk.state)
    assert list(found.orders) == list(desk.state.orders)
    assert to_plain(found) == to_plain(desk.state)


def _without_end(parts: list[Part]) -> None:
    del parts[-1]


def _longer(parts: list[Part]) -> None:
    parts.append(["orders", [], []])


def _headless(parts: list[Part]) -> None:
    del parts[0]


def _unknown(parts: list[Part]) -> None:
    parts.insert(1, ["inventions", 1])


def _other_sum(parts: list[Part]) -> None:
    parts[-1][1][0] = "17"


def _other_group(parts: list[Part]) -> None:
    parts[-1][2] = {"0": {"g": ["nobody"]}}


def _no_text(parts: list[Part]) -> None:
    parts[-1][1][0] = "much"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_without_end, "ends before its sums"),
        (_longer, "goes on behind its end"),
        (_headless, "begins with 'orders'"),
        (_unknown, "'inventions', which this version does not know"),
        (_other_sum, "the portfolio's exposure is 500 rebuilt, 17 as written"),
        (_other_group, "the groups of alpha:X are not those of its orders"),
        (_no_text, "ConversionSyntax"),
    ],
)
def test_what_is_not_the_snapshot_of_a_state_is_refused(
    change: Callable[[list[Any]], None], why: str
) -> None:
    """The one before it, or the journal, serves instead (S12.5)."""
    desk = Desk(equity=100_000, marks={"X": 100})
    desk.approve("BUY", 5, 100)
    parts = plain_parts(desk.state)
    change(parts)
    with pytest.raises((ValueError, ArithmeticError), match=why):
        from_parts(parts)


def _more_cash(state: State) -> None:
    state.account.cash += Decimal("0.01")


def _one_less_order(state: State) -> None:
    state.orders.popitem()


def _another_sum(state: State) -> None:
    state.portfolio_exposure += 1


def _another_epoch(state: State) -> None:
    state.stop_epoch += 1


def _an_end(state: State) -> None:
    state.ended.append(Timed(1, "x"))


@pytest.mark.parametrize(
    "change", [_more_cash, _one_less_order, _another_sum, _another_epoch, _an_end]
)
def test_a_state_that_decided_otherwise_has_another_witness(
    change: Callable[[State], None],
) -> None:
    """A cent, an order, an epoch: the living state is compared with its replay (S12.5)."""
    desk = Desk(equity=100_000, marks={"X": 100})
    desk.approve("BUY", 5, 100)
    other = read_back(desk.state)
    assert witness(other) == witness(desk.state)
    exact(change)(other)
    assert witness(other) != witness(desk.state)
