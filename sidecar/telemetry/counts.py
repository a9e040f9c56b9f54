"""A counter with labels, bounded: a caller who invents names cannot fill memory with them."""

from __future__ import annotations

from typing import Final

LABEL_SETS_COUNT_MAX: Final = 256
OTHER: Final = "other"


class Counts:
    """Counts by label values, in the order of `labels`; beyond the bound all count as `other`."""

    __slots__ = ("folded", "labels", "values")

    def __init__(self, *labels: str) -> None:
        """Nothing was counted yet. `labels` are the names of what `add` is given."""
        self.labels = labels
        self.values: dict[tuple[str, ...], int] = {}
        self.folded = 0
        """How much was counted as `other` for want of room."""

    def add(self, *values: str, by: int = 1) -> None:
        """Count `by` more under these label values, one for each label."""
        counted = self.values
        if values not in counted and len(counted) >= LABEL_SETS_COUNT_MAX:
            values = (OTHER,) * len(self.labels)
            self.folded += by
        counted[values] = counted.get(values, 0) + by
