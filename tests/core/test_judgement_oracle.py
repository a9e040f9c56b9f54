"""The core agrees with the page written down a second time, on random desks (S4.4 to S6)."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.harness import Desk, codes
from tests.core.oracle import book_exposures, counted_symbols, expected_codes
from tests.core.worlds import desks, orders


@settings(max_examples=200, suppress_health_check=(HealthCheck.too_slow,))
@given(desk=desks(steps=14, is_plain=True), data=st.data())
def test_every_violation_is_the_one_the_page_asks_for(desk: Desk, data: st.DataObject) -> None:
    """Not the verdict alone: every code, none missing, none too many, in order (S4.5)."""
    for _ in range(3):
        order = desk.order(**(data.draw(orders()) | {"group": None, "replaces": None}))
        expected = expected_codes(desk, order)
        assert codes(desk.ask(order)) == expected


@settings(max_examples=60, suppress_health_check=(HealthCheck.too_slow,))
@given(desk=desks(steps=14, is_plain=True))
def test_exposures_and_counts_are_those_of_the_page(desk: Desk) -> None:
    """The sums kept incrementally are the sums over all reservations (S6)."""
    exposures = book_exposures(desk)
    assert {(b.strategy, b.symbol): b.exposure for b in desk.state.book_list} == exposures
    assert desk.state.portfolio_exposure == sum(exposures.values())
    assert desk.state.position_count == len(counted_symbols(desk))
