"""Signals for people's own tools: what is counted and timed, and how it is told.

Rules:
1. What the path of an order touches is plain integers (`signals.py`, `counts.py`, `histogram.py`);
   everything that formats, samples or sends happens beside it.
2. Only those are named here: every floor imports them, and the libraries that tell them are large.
"""

from sidecar.telemetry.counts import Counts
from sidecar.telemetry.histogram import Histogram
from sidecar.telemetry.signals import Signals, SyncMeter

__all__ = ["Counts", "Histogram", "Signals", "SyncMeter"]
