"""What a Prometheus server scrapes: the readings as text, format 0.0.4 or OpenMetrics.

Rules:
1. Written at most once a second for each format, however many ask; who asks meanwhile waits for it.
2. Written a few metrics at a time, and the loop turns in between: a scrape must not hold up orders.
3. Nothing of the process-wide registry of the library is used.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from prometheus_client import exposition as text_format
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics_format

from sidecar.telemetry.histogram import HistogramReading
from sidecar.telemetry.readings import Reading

AGE_SECONDS_MAX: Final = 1.0
METRICS_AT_A_TIME: Final = 8
_OPENMETRICS: Final = "application/openmetrics-text"
_END: Final = b"# EOF\n"


class Exposition:
    """Writes the readings when asked, and keeps them for a moment."""

    def __init__(
        self,
        collect: Callable[[], list[Reading]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing was written yet."""
        self._collect = collect
        self._monotonic = monotonic
        self._kept: dict[bool, tuple[float, bytes]] = {}
        self._writing = asyncio.Lock()

    async def text(self, accept: str) -> tuple[bytes, str]:
        """Return the page and its content type, as the `Accept` header asks."""
        is_openmetrics = _OPENMETRICS in accept
        encoder = openmetrics_format if is_openmetrics else text_format
        async with self._writing:
            kept = self._kept.get(is_openmetrics)
            now = self._monotonic()
            if kept is None or now - kept[0] >= AGE_SECONDS_MAX:
                kept = self._kept[is_openmetrics] = now, await self._write(encoder)
        return kept[1], CONTENT_TYPES[is_openmetrics]

    async def _write(self, encoder: Any) -> bytes:  # noqa: ANN401 - one of two modules of the library
        families = [family_of(reading) for reading in self._collect()]
        pieces: list[bytes] = []
        for at in range(0, len(families), METRICS_AT_A_TIME):
            few = _Few(families[at : at + METRICS_AT_A_TIME])
            written: bytes = encoder.generate_latest(few)
            pieces.append(written.removesuffix(_END))
            await asyncio.sleep(0)
        if encoder is openmetrics_format:
            pieces.append(_END)
        return b"".join(pieces)


CONTENT_TYPES: Final = {
    False: "text/plain; version=0.0.4; charset=utf-8",
    True: "application/openmetrics-text; version=1.0.0; charset=utf-8",
}


class _Few:
    """A few families, as the library asks a registry for them."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        yield from self._families


def family_of(reading: Reading) -> Metric:
    """Return the reading in the library's terms."""
    metric = reading.metric
    name, labels = metric.full_name, metric.labels
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(name, metric.help, labels=labels)
        for values, value in reading.points:
            if isinstance(value, HistogramReading):
                histogram.add_metric(values, _buckets(value), value.total)
        return histogram
    family: CounterMetricFamily | GaugeMetricFamily
    if metric.kind == "counter":
        family = CounterMetricFamily(name, metric.help, labels=labels)
    else:
        family = GaugeMetricFamily(name, metric.help, labels=labels)
    for values, value in reading.points:
        if not isinstance(value, HistogramReading):
            family.add_metric(values, value)
    return family


def _buckets(reading: HistogramReading) -> list[tuple[str, float]]:
    """Return the counts up to each bound, as the format adds them up."""
    bounds = [*(repr(bound) for bound in reading.bounds), "+Inf"]
    total, buckets = 0, []
    for bound, count in zip(bounds, reading.counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets
