"""Logs for machines: one JSON object a line, with the ids of the trace they belong to.

Rules:
1. A line is ASCII and has no control character, whatever a message quotes: nothing in it can break
   the line or speak to a terminal.
2. A member that is not known is left out: `exception` without one, the ids outside a sampled call.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass

from sidecar.cli.log_rate import is_summary
from sidecar.clock import format_rfc3339
from sidecar.telemetry.tracing import CURRENT

MILLISECOND_NS = 1_000_000


@dataclass(slots=True, kw_only=True)
class Speaker:
    """Who writes the log; `instance` is known once the sidecar is put together."""

    service: str
    name: str
    instance: str = ""


class JsonFormatter(logging.Formatter):
    """One record, one object."""

    def __init__(self, speaker: Speaker) -> None:
        """Tell `speaker` in every line, as it is by then."""
        super().__init__()
        self._speaker = speaker

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        speaker, trace = self._speaker, CURRENT.get()
        moment_ns = int(record.created * 1_000) * MILLISECOND_NS
        told = {
            "time": format_rfc3339(moment_ns),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "exception": self.formatException(record.exc_info) if record.exc_info else "",
            "service": speaker.service,
            "name": speaker.name,
            "instance": speaker.instance,
        }
        if trace is not None and not trace.ended and not is_summary(record):
            told["trace_id"] = f"{trace.trace_id:032x}"
            told["span_id"] = f"{trace.span_id:016x}"
        return json.dumps({key: value for key, value in told.items() if value})
