"""Equity curves: how far each fell, from what it was told day by day.

Rules: money is Decimal throughout; a drawdown is a positive ratio below the highest value so far.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

EquityByDay = Sequence[tuple[date, Decimal]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fall:
    """The deepest drawdown of a curve, and the day it was reached."""

    ratio: Decimal
    reached_on: date | None


def drawdowns(equity_by_day: EquityByDay, start: Decimal) -> list[Decimal]:
    """Each day's ratio below the high-water mark, which begins at `start`."""
    highest = start
    ratios = []
    for _day, equity in equity_by_day:
        highest = max(highest, equity)
        ratios.append(1 - equity / highest)
    return ratios


def deepest_fall(equity_by_day: EquityByDay, start: Decimal) -> Fall:
    """The largest of those ratios; the first day of several."""
    deepest = Fall(ratio=Decimal(0), reached_on=None)
    for (day, _equity), ratio in zip(equity_by_day, drawdowns(equity_by_day, start), strict=True):
        if ratio > deepest.ratio:
            deepest = Fall(ratio=ratio, reached_on=day)
    return deepest
