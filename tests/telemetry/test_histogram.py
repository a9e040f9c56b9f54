"""What took how long, in whole numbers."""

from __future__ import annotations

import pytest

from sidecar.telemetry.histogram import (
    DURATIONS_NS,
    MICROSECOND_NS,
    SECOND_NS,
    Histogram,
    added,
    durations,
)


@pytest.mark.parametrize(("value", "bucket"), [(0, 0), (10, 0), (11, 1), (20, 1), (21, 2)])
def test_a_bound_belongs_to_its_bucket(value: int, bucket: int) -> None:
    """A value at a bound is counted up to it, as Prometheus' `le` says; above all is the last."""
    histogram = Histogram((10, 20))
    histogram.record(value)
    assert [at for at, count in enumerate(histogram.counts) if count] == [bucket]


def test_a_reading_is_in_seconds_and_keeps_still() -> None:
    """Nanoseconds are told as seconds, and what is recorded later does not change a reading."""
    histogram = durations()
    histogram.record(50 * MICROSECOND_NS, times=3)
    reading = histogram.read()
    histogram.record(SECOND_NS)
    assert reading.count == 3
    assert reading.total == pytest.approx(150e-6)
    assert reading.bounds[0] == pytest.approx(10e-6)
    assert histogram.read().count == 4


def test_bounds_rise() -> None:
    """Each bound is above the one before, so that a search finds the bucket."""
    assert list(DURATIONS_NS) == sorted(set(DURATIONS_NS))


def test_readings_add_up_bucket_by_bucket() -> None:
    """What several recorded is what one would have."""
    one, other, both = durations(), durations(), durations()
    for value in (1, 30_000, 7 * SECOND_NS):
        one.record(value)
        both.record(value)
    other.record(40_000)
    both.record(40_000)
    assert added([one.read(), other.read()]) == both.read()
