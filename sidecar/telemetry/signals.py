"""What the sidecar counts and times while it works, all in one place.

Rules:
1. Whoever decides or answers touches whole numbers here and nothing else: no lock, no format, no
   clock beyond the two readings of a duration. One event loop owns them.
2. Counted since the process started, and for this process alone; nothing here decides anything.
3. The names of labels come from the contract, the core's enums or the program: never from a caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from sidecar.core.answers import APPROVED, OrderDecision
from sidecar.core.denial import CODES_IN_ORDER, LAYER_OF_CODE, DenialCode, Layer
from sidecar.telemetry.counts import Counts
from sidecar.telemetry.histogram import RECORD_COUNTS, Histogram, HistogramReading, durations
from sidecar.telemetry.tracing import Tracing

NO_LAYER: Final = "none"
OK: Final = "OK"
Points: TypeAlias = Iterable[tuple[tuple[str, ...], float | HistogramReading]]


class SyncMeter:
    """What the disk syncs of one store carried and how long they took."""

    __slots__ = ("commit_records", "sync_duration")

    def __init__(self) -> None:
        """Nothing was synced yet."""
        self.commit_records = Histogram(RECORD_COUNTS)
        self.sync_duration = durations()

    def synced(self, records_count: int, took_ns: int) -> None:
        """Note a sync that made so many more records power-durable."""
        self.sync_duration.record(took_ns)
        if records_count > 0:
            self.commit_records.record(records_count)


class Signals:
    """The numbers of one sidecar."""

    def __init__(self) -> None:
        """Nothing happened yet."""
        self.approved = 0
        # Each from the start, so that the first denial by a code is an increase to whoever watches.
        self.denied: dict[tuple[Layer | None, DenialCode], int] = {
            (LAYER_OF_CODE[code], code): 0 for code in CODES_IN_ORDER
        }
        self.violated: dict[DenialCode, int] = dict.fromkeys(CODES_IN_ORDER, 0)
        self.decide_duration = durations()
        self.durable_duration = durations()
        self.rpc_duration: dict[tuple[str, str], Histogram] = {}
        """By `SERVICE/METHOD` of the contract and the status it ended with."""
        self.rpc_errors = Counts("method", "code")
        self.tracing: Tracing | None = None
        self.kills_triggered = 0
        self.trips = Counts("cause")
        self.exports = Counts("signal", "outcome")
        self.labels_folded = 0
        self.counts: dict[str, Counts] = {
            "rpc_errors_total": self.rpc_errors,
            "telemetry_exports_total": self.exports,
        }
        """Labelled counts by the name of the metric; other parts add theirs."""
        self.elsewhere: dict[str, Callable[[], Points]] = {}
        """What else other parts tell of themselves, by the name of the metric; asked each time."""

    def rpc(self, name: str, code: str) -> Histogram:
        """Return how long calls of this `SERVICE/METHOD` took that ended with `code`."""
        key = (name, code)
        histogram = self.rpc_duration.get(key)
        if histogram is None:
            histogram = self.rpc_duration[key] = durations()
        return histogram

    def decided(self, decision: OrderDecision) -> None:
        """Count one decision as it is given out; a dry run is none."""
        if decision.verdict is APPROVED:
            self.approved += 1
            return
        denied, violated, violations = self.denied, self.violated, decision.violations
        key = (decision.layer, violations[0].code)
        denied[key] = denied.get(key, 0) + 1
        for violation in violations:
            violated[violation.code] += 1


def rpc_attributes(name: str, code: str) -> dict[str, str]:
    """Return what the semantic conventions say of a call and its status."""
    attributes = {
        "rpc.system.name": "grpc",
        "rpc.method": name,
        "rpc.response.status_code": code,
    }
    if code != OK:
        attributes["error.type"] = code
    return attributes
