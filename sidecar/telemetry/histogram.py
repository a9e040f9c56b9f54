"""How often something took how long, or was how large: whole numbers in fixed buckets.

Rule: recording is one search and two additions; nothing is allocated, nothing grows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MICROSECOND_NS: Final = 1_000
SECOND_NS: Final = 1_000_000_000
DURATIONS_NS: Final = tuple(
    step * decade
    for decade in (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
    for step in (1, 2, 5)
)
"""Bounds for durations: 10 us, 20 us, 50 us, and so on up to 5 s."""
RECORD_COUNTS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
"""Bounds for how many records one sync carried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramReading:
    """A histogram at one instant: `counts` has one more than `bounds`, what lies above them all."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    @property
    def count(self) -> int:
        """How many values were recorded."""
        return sum(self.counts)


class Histogram:
    """Counts of values up to each bound, the bound itself included."""

    __slots__ = ("bounds", "counts", "scale", "total")

    def __init__(self, bounds: Sequence[int], *, scale: int = 1) -> None:
        """Nothing was recorded yet. A value is told divided by `scale`: SECOND_NS for durations."""
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0
        self.scale = scale

    def record(self, value: int, times: int = 1) -> None:
        """Count `value` as often as `times`."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times

    def read(self) -> HistogramReading:
        """Return what was recorded, in the unit people are told."""
        return HistogramReading(
            bounds=tuple(bound / self.scale for bound in self.bounds),
            counts=tuple(self.counts),
            total=self.total / self.scale,
        )


def durations() -> Histogram:
    """Return a histogram of nanoseconds, told in seconds."""
    return Histogram(DURATIONS_NS, scale=SECOND_NS)


def added(readings: Sequence[HistogramReading]) -> HistogramReading:
    """Return one reading of several with the same bounds; there is at least one."""
    return HistogramReading(
        bounds=readings[0].bounds,
        counts=tuple(map(sum, zip(*(reading.counts for reading in readings), strict=True))),
        total=sum(reading.total for reading in readings),
    )
