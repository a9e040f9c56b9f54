"""Takes time and tells it as percentiles; what is compared is measured in turns.

Rules:
1. What stands in a ratio is measured in alternating blocks of one run, so that both meet the same
   machine; the ratio is the median of the blocks' ratios, which one disturbed block does not move.
2. The garbage collector stays on, as it is in the sidecar; what was built before the first round
   is set aside from it, because it belongs to the setting and not to the round.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

BLOCKS = 5
WARM = 200

Percentile = Callable[["Sample"], float]


@dataclass(frozen=True, slots=True)
class Sample:
    """Microseconds of one thing measured many times in one block, sorted."""

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


@dataclass(frozen=True, slots=True)
class Blocks:
    """One thing measured in several blocks, between which something else had its turn."""

    samples: tuple[Sample, ...]

    @property
    def p50(self) -> float:
        """Return the median of the blocks' medians."""
        return median(sample.p50 for sample in self.samples)

    @property
    def p99(self) -> float:
        """Return the median of the blocks' 99th percentiles."""
        return median(sample.p99 for sample in self.samples)

    @property
    def best_p50(self) -> float:
        """Return the median of the least disturbed block."""
        return min(sample.p50 for sample in self.samples)


def p50(sample: Sample) -> float:
    """Return the median of a sample."""
    return sample.p50


def p99(sample: Sample) -> float:
    """Return the 99th percentile of a sample."""
    return sample.p99


def ratio(ours: Blocks, theirs: Blocks, of: Percentile = p50) -> float:
    """Return how many times theirs ours is: the median over pairs of neighbouring blocks."""
    pairs = zip(ours.samples, theirs.samples, strict=True)
    return median(of(one) / of(other) for one, other in pairs)


def sample_of(nanoseconds: Sequence[int]) -> Sample:
    """Return measured nanoseconds as a sample."""
    return Sample(tuple(sorted(value / 1_000 for value in nanoseconds)))


def measure(
    action: Callable[[int], object],
    *,
    rounds: int,
    after: Callable[[int], object] | None = None,
    warm: int = WARM,
) -> Sample:
    """Time `action(i)` for each round; `after(i)` runs untimed between two rounds."""
    taken: list[int] = []
    for at in range(rounds + warm):
        begun = time.perf_counter_ns()
        action(at)
        ended = time.perf_counter_ns()
        if at >= warm:
            taken.append(ended - begun)
        if after is not None:
            after(at)
    return sample_of(taken)


def in_turns(measures: Sequence[Callable[[], Sample]], blocks: int = BLOCKS) -> list[Blocks]:
    """Return each thing's blocks, measured in alternation; the first block only warms."""
    for take in measures:
        take()
    gc.collect()
    gc.freeze()
    try:
        turns = [[take() for take in measures] for _ in range(blocks)]
    finally:
        gc.unfreeze()
    return [Blocks(samples) for samples in zip(*turns, strict=True)]
