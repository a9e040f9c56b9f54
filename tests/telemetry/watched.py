"""A real sidecar with its bridge and its metrics, and what a Prometheus server would read there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from sidecar.bridge import Bridge
from sidecar.cli.telling import collector_of, tell_bridge
from sidecar.telemetry import Counts
from sidecar.telemetry.exposition import Exposition
from sidecar.telemetry.readings import Collector
from tests.bridge.harness import ask, bridge_on, parts_of
from tests.server.harness import Sidecar, sidecar_on

Scraped = dict[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass(slots=True)
class Watched:
    """The sidecar, its bridge, what takes its readings."""

    sidecar: Sidecar
    bridge: Bridge
    collector: Collector

    async def scrape(self) -> Scraped:
        """Return every sample of /metrics by name, without the prefix, and labels."""
        reply = await ask(self.bridge, "GET", "/metrics")
        assert reply.status == 200
        return read(reply.body)


def read(page: bytes) -> Scraped:
    """Return the samples of a page, read by Prometheus' own parser."""
    found: Scraped = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            key = sample.name.removeprefix("haltline_"), frozenset(sample.labels.items())
            assert key not in found, f"twice: {key}"
            found[key] = sample.value
    return found


def of(scraped: Scraped, name: str, /, **labels: str) -> float | None:
    """Return one sample, None where there is none."""
    return scraped.get((name, frozenset(labels.items())))


def labelled(scraped: Scraped, name: str) -> dict[frozenset[tuple[str, str]], float]:
    """Return the samples of a metric by their labels."""
    return {labels: value for (each, labels), value in scraped.items() if each == name}


@asynccontextmanager
async def watched_on(
    directory: Path,
    bridge: dict[str, Any] | None = None,
    **options: Any,  # noqa: ANN401 - as sidecar_on
) -> AsyncIterator[Watched]:
    """Start one; `bridge` are parts of the bridge, `options` those of the sidecar."""
    async with sidecar_on(directory, **options) as sidecar:
        collector = collector_of(sidecar.service, sidecar.store, sidecar.server)
        # Each scrape of a test is a fresh one: the clock of the page runs a second a look.
        ticks = iter(range(1_000_000))
        exposition = Exposition(collector.collect, monotonic=lambda: float(next(ticks)))
        parts: dict[str, Any] = {
            "exposition": exposition,
            "requests": Counts("route", "status"),
            "webhook_counts": Counts("action", "scheme", "outcome"),
        }
        parts |= bridge or {}
        tell_bridge(sidecar.service.signals, parts_of(sidecar, **parts))
        async with bridge_on(sidecar, **parts) as served:
            yield Watched(sidecar, served, collector)
