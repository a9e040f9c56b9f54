"""The simulated venue: its fates, its books, its cash."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from examples.market import Order, Side
from examples.venue import (
    LEVERAGE_MAX,
    NO_FAULTS,
    ORDINARY_FAULTS,
    Fate,
    Faults,
    ReportKind,
    SimulatedVenue,
    VenueApiError,
    VenueReport,
    VenueTimeoutError,
)

MONDAY = datetime(2007, 1, 8, 20, 30, tzinfo=UTC)
PRICES = {"A": Decimal("10.00"), "B": Decimal("25.50")}
STARTING_CASH = Decimal(100000)


def only(fate: Fate) -> Faults:
    """A venue at which every order meets one fate."""
    return Faults(
        ordinary={fate: 1}, outage={}, refusing={}, outage_days_per_1000=0, refusing_days_per_1000=0
    )


def opened(faults: Faults, seed: int = 1, prices: Mapping[str, Decimal] = PRICES) -> SimulatedVenue:
    """A venue in session."""
    venue = SimulatedVenue(seed=seed, cash=STARTING_CASH, faults=faults)
    venue.open_session(MONDAY, prices)
    return venue


def order(order_id: str, side: Side = Side.BUY, quantity: int = 100, symbol: str = "A") -> Order:
    """An order by market."""
    return Order(
        order_id=order_id, strategy="s", symbol=symbol, side=side, quantity=Decimal(quantity)
    )


def traded(seed: int, days: int) -> tuple[SimulatedVenue, list[str], list[VenueReport]]:
    """A venue after `days` of orders of both sides: every exception by name, every report."""
    venue = SimulatedVenue(seed=seed, cash=STARTING_CASH, faults=ORDINARY_FAULTS)
    said: list[str] = []
    for day in range(days):
        now = MONDAY + timedelta(days=day)
        venue.open_session(now, {"A": Decimal(10) + day % 3, "B": Decimal(20) - day % 5})
        for number, symbol in enumerate(("A", "B", "A", "B")):
            side = Side.BUY if (day + number) % 3 else Side.SELL
            try:
                venue.submit(order(f"{day}-{number}", side, 10 + number, symbol), now)
            except (VenueApiError, VenueTimeoutError) as error:
                said.append(f"{day}-{number} {type(error).__name__}")
        venue.close_session(now)
    ids = [f"{day}-{number}" for day in range(days) for number in range(4)]
    reports = [report for order_id in ids for report in venue.reports_of(order_id) or ()]
    return venue, said, reports


def test_cash_and_positions_move_by_fills_and_nothing_else() -> None:
    """Over 400 days of faults, folding every fill and fee gives the venue's own cash and books."""
    venue, _said, reports = traded(seed=20, days=400)
    cash = STARTING_CASH
    positions: dict[str, Decimal] = {"A": Decimal(0), "B": Decimal(0)}
    for report in reports:
        signed = report.order.side.sign * report.quantity
        cash -= signed * report.price + report.fee
        positions[report.order.symbol] += signed
    assert venue.cash == cash
    assert {symbol: venue.position("s", symbol) for symbol in positions} == positions
    now = MONDAY + timedelta(days=400)
    assert {held.symbol: held.quantity for held in venue.snapshot(now).positions} == {
        symbol: quantity for symbol, quantity in positions.items() if quantity
    }


def test_same_seed_is_the_same_venue() -> None:
    """Two runs with one seed agree in every report and exception; another seed does not."""
    first, second, other = (traded(seed, 200) for seed in (3, 3, 4))
    assert first[1:] == second[1:]
    assert first[1:] != other[1:]


def test_every_fate_happens() -> None:
    """In 400 days the venue fills, partly fills, rejects, expires, times out and breaks."""
    _venue, said, reports = traded(seed=20, days=400)
    assert {report.kind for report in reports} == set(ReportKind)
    assert {line.split()[1] for line in said} == {"VenueApiError", "VenueTimeoutError"}


def test_fate_of_an_order_is_its_own() -> None:
    """Leaving out one order changes what becomes of no other: two runs stay comparable."""
    outcomes = []
    for left_out in (None, "17"):
        venue = opened(ORDINARY_FAULTS, seed=5)
        ids = [str(number) for number in range(60) if str(number) != left_out]
        for order_id in ids:
            try:
                venue.submit(order(order_id, quantity=1), MONDAY)
            except (VenueApiError, VenueTimeoutError):
                continue
        outcomes.append({order_id: venue.reports_of(order_id) for order_id in ids})
    everything, without = outcomes
    everything.pop("17")
    assert everything == without


def test_timeout_hides_a_fill_until_asked() -> None:
    """After a timeout the order may be filled: cash has moved, and `reports_of` says so."""
    venue = opened(only(Fate.TIMEOUT_FILLED))
    with pytest.raises(VenueTimeoutError):
        venue.submit(order("late"), MONDAY)
    reports = venue.reports_of("late")
    assert reports is not None
    assert [report.kind for report in reports] == [ReportKind.ACCEPTED, ReportKind.FILLED]
    assert venue.position("s", "A") == 100


def test_dropped_order_never_arrived() -> None:
    """A drop looks like a timeout; the venue has never heard of the order and nothing moved."""
    venue = opened(only(Fate.DROP))
    with pytest.raises(VenueTimeoutError):
        venue.submit(order("dropped"), MONDAY)
    assert venue.reports_of("dropped") is None
    assert venue.cash == STARTING_CASH
    assert venue.position("s", "A") == 0


def test_api_error_takes_nothing() -> None:
    """An API exception means the order is not at the venue."""
    venue = opened(only(Fate.API_ERROR))
    with pytest.raises(VenueApiError, match="503"):
        venue.submit(order("broken"), MONDAY)
    assert venue.reports_of("broken") is None
    assert venue.cash == STARTING_CASH


def test_partly_filled_order_ends_at_the_close() -> None:
    """What is left of a part fill works until the close, then fills or expires."""
    ends = set()
    for number in range(20):
        venue = opened(only(Fate.PARTIAL))
        reports = venue.submit(order(f"part-{number}"), MONDAY)
        filled = reports[-1].quantity
        (working,) = venue.snapshot(MONDAY).working_orders
        assert 0 < filled < 100
        assert working.remaining_quantity + working.filled_quantity == 100
        (end,) = venue.close_session(MONDAY)
        assert venue.position("s", "A") == (100 if end.kind is ReportKind.FILLED else filled)
        assert venue.snapshot(MONDAY).working_orders == ()
        ends.add(end.kind)
    assert ends == {ReportKind.FILLED, ReportKind.EXPIRED}


def test_margin_is_refused_beyond_twice_the_equity() -> None:
    """What would take positions beyond the margin is rejected; leaving a position never is."""
    venue = opened(NO_FAULTS)
    most = int(LEVERAGE_MAX * STARTING_CASH / PRICES["A"])
    (refused,) = venue.submit(order("above", quantity=most + 1), MONDAY)
    assert (refused.kind, refused.note) == (ReportKind.REJECTED, "insufficient margin")
    assert venue.submit(order("at", quantity=most), MONDAY)[-1].kind is ReportKind.FILLED
    venue.open_session(MONDAY, PRICES | {"A": Decimal("5.00")})
    left = venue.submit(order("exit", Side.SELL, most), MONDAY)
    assert left[-1].kind is ReportKind.FILLED


def test_fill_costs_slippage_and_commission() -> None:
    """100 at 10.00 are bought at 10.005 with the minimum fee, never above a limit."""
    venue = opened(NO_FAULTS)
    fill = venue.submit(order("fee"), MONDAY)[-1]
    assert (fill.price, fill.fee) == (Decimal("10.0050"), Decimal("1.00"))
    assert venue.cash == STARTING_CASH - Decimal("1001.50")
    assert venue.equity == STARTING_CASH - Decimal("1.50")


def test_order_id_is_used_once() -> None:
    """A second order under an id is refused by name."""
    venue = opened(NO_FAULTS)
    venue.submit(order("same"), MONDAY)
    with pytest.raises(ValueError, match="same was used before"):
        venue.submit(order("same"), MONDAY)
