"""Signals for people's own tools: what is counted and timed, and how it is told.

Rule: what the path of an order touches is plain integers (`counts.py`); everything that formats,
samples or sends happens beside it.
"""

from sidecar.telemetry.counts import Counts

__all__ = ["Counts"]
