"""What is derived is what a rebuild makes of the rest (S3)."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings

from sidecar.core import derive, invariants
from sidecar.core.numbers import exact
from sidecar.core.state import from_plain, to_plain
from sidecar.core.thresholds import SymbolRules
from tests.core.harness import Desk
from tests.core.worlds import desks, exit_desks


@settings(max_examples=60, suppress_health_check=(HealthCheck.too_slow,))
@given(desk=desks(steps=20) | exit_desks())
def test_a_rebuild_of_the_living_state_changes_nothing(desk: Desk) -> None:
    """Sums kept by events are the sums rebuilt: exposure, counts, holdings, schedules (S3)."""
    live = [
        (book.symbol, book.exposure, book.buy_quantity, book.sell_notional, book.is_counted)
        for book in desk.state.book_list
    ]
    totals = (desk.state.portfolio_exposure, desk.state.position_count)
    due = sorted(desk.state.release_heap)
    derive.rebuild(desk.state)
    assert live == [
        (book.symbol, book.exposure, book.buy_quantity, book.sell_notional, book.is_counted)
        for book in desk.state.book_list
    ]
    assert totals == (desk.state.portfolio_exposure, desk.state.position_count)
    assert set(desk.state.release_heap) <= set(due)
    assert invariants.find_broken(desk.state) == []


def test_new_rules_revalue_every_book_at_once() -> None:
    """A new multiplier or dust changes exposure and counts with the configuration (S6)."""
    desk = Desk(marks={"X": 100})
    desk.hold(10, 100)
    desk.approve("BUY", 1, 100)
    rules = {"X": SymbolRules(multiplier=Decimal(10))}
    desk.configure(replace(desk.state.thresholds, symbols=rules))
    assert desk.book().exposure == 11_000
    account = replace(desk.state.thresholds.account, dust_notional=Decimal(20_000))
    desk.configure(replace(desk.state.thresholds, account=account))
    assert desk.state.position_count == 1, "the reservation could open one"
    desk.assert_replays()


def test_a_snapshot_without_its_rebuild_has_no_sums() -> None:
    """Derived fields are never stored: `rebuild` completes what a snapshot holds (S3)."""
    desk = Desk(marks={"X": 100})
    desk.hold(10, 100)
    copy = from_plain(to_plain(desk.state))
    assert copy.portfolio_exposure == 0
    derive.rebuild(copy)
    assert copy.portfolio_exposure == 1000


@pytest.mark.parametrize("digits", [5, 28])
def test_a_rebuild_is_exact_whatever_the_caller_counts_in(digits: int) -> None:
    """The caller's decimal context does not leak into the sums (S2.1)."""
    desk = Desk(marks={"X": "99.123456789012345678"})
    desk.approve("BUY", "1.12345678", "99.999999999999999999")
    expected = desk.state.portfolio_exposure
    derive.rebuild(desk.state)
    assert desk.state.portfolio_exposure == expected
    assert exact(lambda: expected)() == expected
    assert len(expected.as_tuple().digits) > digits
