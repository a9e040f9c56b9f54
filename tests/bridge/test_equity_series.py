"""Equity over time in bounded memory (the page's chart)."""

from __future__ import annotations

from decimal import Decimal

from sidecar.bridge.equity_series import (
    LEVEL_POINTS_COUNT,
    MARKS_COUNT_MAX,
    POINTS_COUNT_MAX,
    EquityMark,
    EquityPoint,
    EquitySeries,
)


def series_of(equities: list[int]) -> EquitySeries:
    """Return a series with one point a second."""
    series = EquitySeries()
    for at, equity in enumerate(equities):
        series.add(EquityPoint(at, Decimal(equity)))
    return series


def test_a_million_points_stay_bounded_and_in_order() -> None:
    """However long it runs: at most POINTS_COUNT_MAX, times rising, the newest second by second."""
    series = series_of(list(range(1_000_000)))
    times = [point.at for point in series.points()]
    assert len(times) <= POINTS_COUNT_MAX
    assert times == sorted(set(times))
    assert times[-LEVEL_POINTS_COUNT:] == list(range(1_000_000 - LEVEL_POINTS_COUNT, 1_000_000))
    assert series.points_count == 1_000_000


def test_a_trough_never_thins_away() -> None:
    """The one second in which half was lost is still there a day later."""
    equities = [100] * 86_400
    equities[1_000] = 50
    assert min(point.equity for point in series_of(equities).points()) == 50


def test_time_that_stands_still_adds_nothing() -> None:
    """A driven clock between two calls: one point, not one a second."""
    series = EquitySeries()
    assert series.add(EquityPoint(5, Decimal(1)))
    assert not series.add(EquityPoint(5, Decimal(2)))
    assert not series.add(EquityPoint(4, Decimal(3)))
    assert [point.equity for point in series.points()] == [1]


def test_marks_are_bounded_told_once_and_in_order() -> None:
    """The same stop is one mark; beyond the bound the oldest goes."""
    series = EquitySeries()
    assert series.mark(EquityMark(9, "kill"))
    assert not series.mark(EquityMark(9, "kill"))
    assert series.mark(EquityMark(7, "trip"))
    assert [mark.at for mark in series.marks()] == [7, 9]
    for at in range(100, 100 + MARKS_COUNT_MAX):
        series.mark(EquityMark(at, "reset"))
    assert len(series.marks()) == MARKS_COUNT_MAX
    assert series.marks()[0].at == 100
