"""What takes readings of a whole sidecar: the counts of every part under the names of the metrics.

Rule: a part keeps its counts as it likes; here, and nowhere else, each is given its name.
"""

from __future__ import annotations

from functools import partial

from sidecar.bridge import Bridge, BridgeParts
from sidecar.cli.logs import dropped_count
from sidecar.server import Server
from sidecar.service import Service
from sidecar.store.store import Store
from sidecar.telemetry import Signals
from sidecar.telemetry.readings import NAMES_ASKED_COUNT, Collector, histogram_points, one


def collector_of(service: Service, store: Store, server: Server) -> Collector:
    """Return the collector of a sidecar; `tell_bridge` adds what a bridge counts."""
    feed, meter = server.feed, store.sync_meter
    service.signals.elsewhere |= {
        "status_stream_readers": lambda: one(feed.readers_count),
        "status_frames_conflated_total": lambda: one(feed.conflated_count),
        "store_commit_records": lambda: histogram_points(meter.commit_records),
        "store_sync_duration_seconds": lambda: histogram_points(meter.sync_duration),
        "log_lines_dropped_total": lambda: one(dropped_count()),
        "webhook_digests": lambda: one(store.digests_count),
    }
    return Collector(service.signals, partial(service.status, NAMES_ASKED_COUNT))


def tell_bridge(signals: Signals, parts: BridgeParts) -> None:
    """Have what a bridge counts told with the rest."""
    signals.counts |= {
        "http_requests_total": parts.requests,
        "webhook_requests_total": parts.webhook_counts,
    }


def tell_readers(signals: Signals, server: Server, bridge: Bridge) -> None:
    """Have the page's readers counted with those of StreamStatus."""
    feed, events = server.feed, bridge.events
    signals.elsewhere |= {
        "status_stream_readers": lambda: one(feed.readers_count + events.readers_count),
        "status_frames_conflated_total": lambda: one(feed.conflated_count + events.conflated_count),
    }
