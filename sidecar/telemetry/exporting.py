"""Sends metrics and traces by OTLP while the sidecar runs, where the environment asks for it.

Rules:
1. Readings are taken on the loop, at most one each second; everything else is done in threads.
2. Nothing here keeps a sidecar from starting, deciding or stopping: what fails is told and counted.
3. The libraries are imported only where something is exported: they are large.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from sidecar.telemetry.environment import OtlpSettings
from sidecar.telemetry.outlet import Outlet
from sidecar.telemetry.readings import Collector, Report
from sidecar.telemetry.signals import Signals
from sidecar.telemetry.tracing import Trace, Tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import SpanExporter

LOG: Final = logging.getLogger(__name__)
Item = TypeVar("Item")
TRACES_WAITING_COUNT_MAX: Final = 2_048
TRACES_SENT_AT_ONCE_MAX: Final = 256
TRACES_LINGER_SECONDS: Final = 1.0
REASON_LENGTH_MAX: Final = 200
_USER: Final = re.compile(r"[^\s/@'\"]+@")


class Exporting:
    """Sends what `signals` and `collector` tell, from `start` to `stop`."""

    def __init__(
        self, settings: OtlpSettings, signals: Signals, collector: Collector, *, instance_id: str
    ) -> None:
        """Nothing is sent yet."""
        self._settings = settings
        self._signals = signals
        self._collector = collector
        self._instance_id = instance_id
        self._metrics: Outlet[Report] | None = None
        self._traces: Outlet[Trace] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Send from here on what is asked for; without an exporter nothing is done."""
        settings = self._settings
        for note in settings.notes:
            LOG.warning("%s", note)
        if settings.metrics is None and settings.traces is None:
            return
        try:
            self._begin(settings)
        except Exception as error:  # noqa: BLE001 - a collector is never a reason not to start
            LOG.warning(
                "OTLP: nothing is exported, because the exporter could not be made (%s: %s); "
                "look at the variables OTEL_EXPORTER_OTLP_*",
                type(error).__name__,
                _shown(str(error)),
            )

    def _begin(self, settings: OtlpSettings) -> None:
        from sidecar.telemetry.otlp import make_resource  # noqa: PLC0415 - rule 3

        resource = make_resource(service_name=settings.service_name, instance_id=self._instance_id)
        hear_exporters()
        if settings.metrics is not None:
            self._metrics = self._metrics_outlet(settings.metrics, resource)
            self._metrics.start()
            self._task = asyncio.get_running_loop().create_task(self._report(), name="OTLP metrics")
        if settings.traces is not None:
            self._traces = self._traces_outlet(settings.traces, resource)
            self._traces.start()
            self._signals.tracing = Tracing(settings.sampling, self._traces)

    async def stop(self) -> None:
        """Send the last of it, within two seconds, and end."""
        self._signals.tracing = None
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._metrics is not None:
            self._offer(self._metrics)
        outlets = [each for each in (self._metrics, self._traces) if each is not None]
        self._metrics = self._traces = None
        await asyncio.gather(*(asyncio.to_thread(each.stop) for each in outlets))

    async def _report(self) -> None:
        while self._metrics is not None:
            await asyncio.sleep(self._settings.interval_seconds)
            self._offer(self._metrics)

    def _offer(self, outlet: Outlet[Report]) -> None:
        try:
            report = self._collector.report()
        except Exception:
            LOG.exception("a reading of the metrics failed")
            return
        if not outlet.put(report):
            self._signals.exports.add("metrics", "skipped")

    def _metrics_outlet(self, protocol: str, resource: Resource) -> Outlet[Report]:
        from opentelemetry.sdk.metrics.export import MetricExportResult  # noqa: PLC0415 - rule 3

        from sidecar.telemetry.otlp import metrics_data  # noqa: PLC0415 - rule 3

        exporter = _metric_exporter(protocol)

        def send(reports: list[Report]) -> bool:
            result = exporter.export(metrics_data(reports[-1], resource))
            return result is MetricExportResult.SUCCESS

        return self._outlet("metrics", send, exporter.shutdown, count_max=1, linger_seconds=0.0)

    def _traces_outlet(self, protocol: str, resource: Resource) -> Outlet[Trace]:
        from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415 - rule 3

        from sidecar.telemetry.otlp import spans_of  # noqa: PLC0415 - rule 3

        exporter = _span_exporter(protocol)

        def send(traces: list[Trace]) -> bool:
            spans = [span for trace in traces for span in spans_of(trace, resource)]
            return exporter.export(spans) is SpanExportResult.SUCCESS

        return self._outlet(
            "traces",
            send,
            exporter.shutdown,
            count_max=TRACES_WAITING_COUNT_MAX,
            linger_seconds=TRACES_LINGER_SECONDS,
        )

    def _outlet(
        self,
        signal: str,
        send: Callable[[list[Item]], bool],
        shutdown: Callable[[], object],
        *,
        count_max: int,
        linger_seconds: float,
    ) -> Outlet[Item]:
        return Outlet(
            signal=signal,
            send=send,
            shutdown=shutdown,
            why=lambda: _shown(getattr(_HEARD, "text", "")),
            exports=self._signals.exports,
            count_max=count_max,
            batch_count_max=TRACES_SENT_AT_ONCE_MAX,
            linger_seconds=linger_seconds,
        )


def _metric_exporter(protocol: str) -> MetricExporter:
    """Return the exporter, which reads its own variables."""
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (  # noqa: PLC0415 - rule 3
            OTLPMetricExporter as GrpcExporter,
        )

        return GrpcExporter()
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - rule 3
        OTLPMetricExporter,
    )

    return OTLPMetricExporter()


def _span_exporter(protocol: str) -> SpanExporter:
    """Return the exporter, which reads its own variables."""
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415 - rule 3
            OTLPSpanExporter as GrpcExporter,
        )

        return GrpcExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - rule 3
        OTLPSpanExporter,
    )

    return OTLPSpanExporter()


_HEARD: Final = threading.local()
"""What an exporter said last in this thread: it tells a failure to its log, and nobody else."""


class _Hearing(logging.Handler):
    """Keeps what the exporters say instead of writing it: we say it once (`outlet.py`)."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line."""
        _HEARD.text = record.getMessage()


_HEARING: Final = _Hearing(logging.WARNING)


def hear_exporters() -> None:
    """Have the libraries say nothing of their own in the log, from here on."""
    theirs = logging.getLogger("opentelemetry")
    theirs.propagate = False
    theirs.handlers = [_HEARING]


def _shown(text: str) -> str:
    """Return the reason cut, and without a user or password that a URL in it may hold."""
    return _USER.sub("", text)[:REASON_LENGTH_MAX]
