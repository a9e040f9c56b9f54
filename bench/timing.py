"""Takes time and tells it as percentiles; all figures are microseconds of one run."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """Microseconds of one thing measured many times, sorted."""

    microseconds: tuple[float, ...]

    def percentile(self, share: float) -> float:
        """Return the value below which `share` of the measurements lie."""
        last = len(self.microseconds) - 1
        return self.microseconds[min(last, int(share * len(self.microseconds)))]

    @property
    def p50(self) -> float:
        """Return the median."""
        return self.percentile(0.50)

    @property
    def p99(self) -> float:
        """Return the 99th percentile."""
        return self.percentile(0.99)


def sample_of(nanoseconds: list[int]) -> Sample:
    """Return measured nanoseconds as a sample."""
    return Sample(tuple(sorted(value / 1_000 for value in nanoseconds)))


def measure(
    action: Callable[[int], object],
    *,
    rounds: int,
    after: Callable[[int], object] | None = None,
    warm: int = 200,
) -> Sample:
    """Time `action(i)` for each round; `after(i)` runs untimed between two rounds."""
    taken: list[int] = []
    gc.collect()
    gc.disable()
    try:
        for at in range(rounds + warm):
            begun = time.perf_counter_ns()
            action(at)
            ended = time.perf_counter_ns()
            if at >= warm:
                taken.append(ended - begun)
            if after is not None:
                after(at)
    finally:
        gc.enable()
    return sample_of(taken)
