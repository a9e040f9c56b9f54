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
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from sidecar.telemetry.environment import OtlpSettings
from sidecar.telemetry.outlet import Outlet
from sidecar.telemetry.readings import Collector, Report
from sidecar.telemetry.signals import Signals
from sidecar.telemetry.tracing import Trace, Tracing

if TYPE_CHECKING:
    from sidecar.telemetry.exporters import Sender

LOG: Final = logging.getLogger(__name__)
TRACES_WAITING_COUNT_MAX: Final = 2_048
TRACES_SENT_AT_ONCE_MAX: Final = 256
TRACES_LINGER_SECONDS: Final = 1.0

Item = TypeVar("Item")


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
            # The words of the error may hold a header or a URL with a password: its kind must do.
            LOG.warning(
                "OTLP: an exporter could not be made (%s), so not everything is exported; "
                "look at the variables OTEL_EXPORTER_OTLP_*",
                type(error).__name__,
            )

    def _begin(self, settings: OtlpSettings) -> None:
        # Imported here, because only some sidecars export and the libraries are large (rule 3).
        from sidecar.telemetry import exporters, otlp  # noqa: PLC0415 - the line above says why

        resource = otlp.make_resource(
            service_name=settings.service_name, instance_id=self._instance_id
        )
        exporters.hear_exporters()
        why = exporters.last_words
        if settings.metrics is not None:
            of_metrics = exporters.metrics_sender(settings.metrics, resource)
            self._metrics = self._outlet("metrics", of_metrics, why, count_max=1)
            self._metrics.start()
            self._task = asyncio.get_running_loop().create_task(self._report(), name="OTLP metrics")
        if settings.traces is not None:
            of_traces = exporters.traces_sender(settings.traces, resource)
            self._traces = self._outlet(
                "traces", of_traces, why, TRACES_LINGER_SECONDS, count_max=TRACES_WAITING_COUNT_MAX
            )
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

    def _outlet(
        self,
        signal: str,
        sender: Sender[Item],
        why: Callable[[], str],
        linger_seconds: float = 0.0,
        *,
        count_max: int,
    ) -> Outlet[Item]:
        return Outlet(
            signal=signal,
            send=sender.send,
            shutdown=sender.shutdown,
            why=why,
            exports=self._signals.exports,
            count_max=count_max,
            batch_count_max=TRACES_SENT_AT_ONCE_MAX,
            linger_seconds=linger_seconds,
        )
