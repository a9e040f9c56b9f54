"""The exporters of the OpenTelemetry SDK, as functions that send and give up.

Rules:
1. Imported only where something is exported (`exporting.py`): these libraries are large.
2. An exporter reads its own variables: endpoint, headers, certificates, compression, timeout.
3. What one says in its own log is kept for our one line about a failure, and written nowhere.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
    OTLPMetricExporter as GrpcMetrics,
)
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http.metric_exporter import (
    OTLPMetricExporter as HttpMetrics,
)
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from sidecar.telemetry.otlp import metrics_data, spans_of
from sidecar.telemetry.readings import Report
from sidecar.telemetry.tracing import Trace

REASON_LENGTH_MAX: Final = 200
_USER: Final = re.compile(r"[^\s/@'\"]+@")
_QUERY: Final = re.compile(r"\?[^\s'\")]+")
_HEARD: Final = threading.local()

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Sender(Generic[Item]):
    """`send` returns whether it worked; `shutdown`, from another thread, makes it give up."""

    send: Callable[[list[Item]], bool]
    shutdown: Callable[[], object]


def metrics_sender(protocol: str, resource: Resource) -> Sender[Report]:
    """Return what sends the newest of some reports."""
    exporter: MetricExporter = GrpcMetrics() if protocol == "grpc" else HttpMetrics()

    def send(reports: list[Report]) -> bool:
        result = exporter.export(metrics_data(reports[-1], resource))
        return result is MetricExportResult.SUCCESS

    return Sender(send, exporter.shutdown)


def traces_sender(protocol: str, resource: Resource) -> Sender[Trace]:
    """Return what sends the spans of some calls."""
    exporter: SpanExporter = GrpcSpans() if protocol == "grpc" else HttpSpans()

    def send(traces: list[Trace]) -> bool:
        spans = [span for trace in traces for span in spans_of(trace, resource)]
        return exporter.export(spans) is SpanExportResult.SUCCESS

    return Sender(send, exporter.shutdown)


class _Hearing(logging.Handler):
    """Keeps what an exporter says, for the thread in which it said it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line."""
        _HEARD.text = record.getMessage()


_HEARING: Final = _Hearing(logging.WARNING)


def hear_exporters() -> None:
    """Have the libraries write nothing of their own into the log, from here on (rule 3)."""
    theirs = logging.getLogger("opentelemetry")
    theirs.propagate = False
    theirs.handlers = [_HEARING]


def last_words() -> str:
    """Return what an exporter said last in this thread, fit for the log."""
    return shown(getattr(_HEARD, "text", ""))


def shown(text: str) -> str:
    """Return a reason cut, and without what may be secret in a URL: user, password, query."""
    return _QUERY.sub("?...", _USER.sub("", text))[:REASON_LENGTH_MAX]
