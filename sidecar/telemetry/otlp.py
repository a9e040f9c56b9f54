"""Readings and traces as OTLP: the data of the OpenTelemetry SDK, handed to its exporters.

Rules:
1. Names are `haltline.*`, so that a collector that writes Prometheus names comes to those of
   /metrics; calls go by the semantic conventions for RPC besides (`rpc.server.call.duration`).
2. Everything here runs in the threads that send, but for making the exporters.
3. No process-wide provider is set: two sidecars in one process would share it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Final

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from sidecar import __version__
from sidecar.telemetry.environment import SERVICE_NAME_DEFAULT
from sidecar.telemetry.histogram import HistogramReading
from sidecar.telemetry.readings import Labels, Reading, Report, Value
from sidecar.telemetry.signals import rpc_attributes
from sidecar.telemetry.tracing import Trace

RPC_DURATION: Final = "rpc.server.call.duration"
SCOPE: Final = InstrumentationScope("haltline", __version__)
_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


def make_resource(*, service_name: str, instance_id: str) -> Resource:
    """Return what every export says of its sender; what the environment says comes first."""
    said = OTELResourceDetector().detect().attributes
    ours = {
        "service.name": service_name or SERVICE_NAME_DEFAULT,
        "service.version": __version__,
        "service.instance.id": instance_id,
    }
    missing = {key: value for key, value in ours.items() if key not in said}
    return Resource.create().merge(Resource(missing))


def metrics_data(report: Report, resource: Resource) -> MetricsData:
    """Return a report in the terms of the SDK, cumulative since the process started."""
    metrics = [_metric(reading, report) for reading in report.readings if reading.points]
    if report.rpc:
        metrics.append(_rpc_metric(report))
    scope = ScopeMetrics(scope=SCOPE, metrics=metrics, schema_url="")
    one = ResourceMetrics(resource=resource, scope_metrics=[scope], schema_url="")
    return MetricsData(resource_metrics=[one])


def _metric(reading: Reading, report: Report) -> Metric:
    metric = reading.metric
    data: Sum | Gauge | Histogram
    if metric.kind == "histogram":
        points = [
            _histogram_point(dict(zip(metric.labels, labels, strict=True)), value, report)
            for labels, value in reading.points
            if isinstance(value, HistogramReading)
        ]
        data = Histogram(data_points=points, aggregation_temporality=_CUMULATIVE)
    elif metric.kind == "counter":
        data = Sum(
            data_points=list(_numbers(metric.labels, reading.points, report)),
            aggregation_temporality=_CUMULATIVE,
            is_monotonic=True,
        )
    else:
        data = Gauge(data_points=list(_numbers(metric.labels, reading.points, report)))
    return Metric(name=metric.otlp_name, description=metric.help, unit=metric.unit, data=data)


def _numbers(
    names: Labels, points: Sequence[tuple[Labels, Value]], report: Report
) -> Iterator[NumberDataPoint]:
    for labels, value in points:
        if not isinstance(value, HistogramReading):
            yield NumberDataPoint(
                attributes=dict(zip(names, labels, strict=True)),
                start_time_unix_nano=report.started_at,
                time_unix_nano=report.taken_at,
                value=value,
            )


def _histogram_point(
    attributes: dict[str, str], value: HistogramReading, report: Report
) -> HistogramDataPoint:
    return HistogramDataPoint(
        attributes=attributes,
        start_time_unix_nano=report.started_at,
        time_unix_nano=report.taken_at,
        count=value.count,
        sum=value.total,
        bucket_counts=value.counts,
        explicit_bounds=value.bounds,
        min=None,  # type: ignore[arg-type] # not known, and optional in OTLP itself
        max=None,  # type: ignore[arg-type] # as `min`
    )


def _rpc_metric(report: Report) -> Metric:
    points = []
    for name, code, value in report.rpc:
        attributes = rpc_attributes(name, code)
        points.append(_histogram_point(attributes, value, report))
    return Metric(
        name=RPC_DURATION,
        description="Measures the duration of an incoming Remote Procedure Call (RPC).",
        unit="s",
        data=Histogram(data_points=points, aggregation_temporality=_CUMULATIVE),
    )


def spans_of(trace: Trace, resource: Resource) -> Iterator[ReadableSpan]:
    """Yield the span of a call and those of its parts, each ended."""
    own = SpanContext(trace.trace_id, trace.span_id, is_remote=False, trace_flags=_SAMPLED)
    parent = None
    if trace.parent is not None:
        named = trace.parent
        flags = TraceFlags(TraceFlags.SAMPLED if named.is_sampled else TraceFlags.DEFAULT)
        parent = SpanContext(named.trace_id, named.span_id, is_remote=True, trace_flags=flags)
    yield ReadableSpan(
        name=trace.name,
        context=own,
        parent=parent,
        resource=resource,
        attributes=trace.attributes,
        kind=SpanKind.SERVER,
        status=Status(StatusCode.ERROR if trace.is_error else StatusCode.UNSET),
        start_time=trace.epoch_ns + trace.begun,
        end_time=trace.epoch_ns + trace.ended,
        instrumentation_scope=SCOPE,
    )
    for name, begun, ended in trace.children:
        yield ReadableSpan(
            name=name,
            context=SpanContext(
                trace.trace_id,
                random.getrandbits(64) or 1,
                is_remote=False,
                trace_flags=_SAMPLED,
            ),
            parent=own,
            resource=resource,
            kind=SpanKind.INTERNAL,
            start_time=trace.epoch_ns + begun,
            end_time=trace.epoch_ns + ended,
            instrumentation_scope=SCOPE,
        )
