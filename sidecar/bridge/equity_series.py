"""Equity over time for the page's chart, in bounded memory: the older, the coarser.

Rules:
1. A level holds LEVEL_POINTS_COUNT points; two that fall off it become one on the next, which is
   twice as coarse. Sampled once a second, sixteen levels reach back a month.
2. Of two points the one with the lower equity is kept: a trough never thins away.
3. What stopped or started trading is a mark of its own, and never thins: the oldest mark goes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

LEVELS_COUNT: Final = 16
LEVEL_POINTS_COUNT: Final = 48
POINTS_COUNT_MAX: Final = LEVELS_COUNT * LEVEL_POINTS_COUNT
MARKS_COUNT_MAX: Final = 64

MarkKind = Literal["kill", "trip", "reset"]


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """Equity at one time (ns, the sidecar's clock), and how far below its highest value it was."""

    at: int
    equity: Decimal
    drawdown: Decimal | None = None


@dataclass(frozen=True, slots=True)
class EquityMark:
    """What happened to trading at one time (ns, the sidecar's clock)."""

    at: int
    kind: MarkKind


class EquitySeries:
    """The points, oldest first, and the marks. `points_count` counts every point ever added."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._levels: list[deque[EquityPoint]] = [deque() for _ in range(LEVELS_COUNT)]
        self._marks: deque[EquityMark] = deque(maxlen=MARKS_COUNT_MAX)
        self._last_at = -1
        self.points_count = 0

    def add(self, point: EquityPoint) -> bool:
        """Add the newest point; False where time has not moved on, and it is left out."""
        if point.at <= self._last_at:
            return False
        self._last_at = point.at
        self.points_count += 1
        self._push(0, point)
        return True

    def mark(self, mark: EquityMark) -> bool:
        """Add a mark; False where it is there already."""
        if mark in self._marks:
            return False
        self._marks.append(mark)
        return True

    def points(self) -> Iterator[EquityPoint]:
        """Yield the points, oldest first."""
        for level in reversed(self._levels):
            yield from level

    def marks(self) -> list[EquityMark]:
        """Return the marks in the order of their times."""
        return sorted(self._marks, key=lambda mark: mark.at)

    def _push(self, number: int, point: EquityPoint) -> None:
        """Put a point on a level; what falls off it goes to the next, two as one."""
        while number < LEVELS_COUNT:
            level = self._levels[number]
            level.append(point)
            if len(level) <= LEVEL_POINTS_COUNT:
                return
            first, second = level.popleft(), level.popleft()
            point = min(first, second, key=lambda each: each.equity)
            number += 1
