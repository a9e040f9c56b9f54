"""A counter with labels counts, and stays bounded."""

from __future__ import annotations

from sidecar.telemetry.counts import LABEL_SETS_COUNT_MAX, OTHER, Counts


def test_it_counts_by_its_labels() -> None:
    """Each set of label values has a count of its own."""
    counts = Counts("route", "status")
    counts.add("/healthz", "200")
    counts.add("/healthz", "200")
    counts.add("/healthz", "404", by=3)
    assert counts.values == {("/healthz", "200"): 2, ("/healthz", "404"): 3}


def test_beyond_the_bound_everything_is_other() -> None:
    """A million names cost no more than the bound, and none is lost from the total."""
    counts = Counts("route", "status")
    for number in range(LABEL_SETS_COUNT_MAX + 50):
        counts.add(f"/{number}", "404")
    counts.add("/0", "404")
    assert len(counts.values) == LABEL_SETS_COUNT_MAX + 1
    assert counts.values[(OTHER, OTHER)] == 50
    assert counts.values[("/0", "404")] == 2
    assert counts.folded == 50
