"""A thread that sends what it is handed, and a bounded queue before it.

Rules:
1. Handing something over never waits and never fails: where there is no room it says so.
2. However slow, dead or broken the other side is, only this thread knows: a failure is told once
   in the log until it works again, and counted each time.
3. The end is bounded: what cannot be sent by then is left.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from sidecar.telemetry.counts import Counts

LOG: Final = logging.getLogger(__name__)
STOP_SECONDS_MAX: Final = 1.0
"""How long a stop waits for the last of it to be sent."""

Item = TypeVar("Item")


class Outlet(Generic[Item]):
    """Sends items in batches, in a thread of its own."""

    def __init__(  # the queue and how it is emptied, each by its name
        self,
        *,
        signal: str,
        send: Callable[[list[Item]], bool],
        shutdown: Callable[[], object],
        why: Callable[[], str],
        exports: Counts,
        count_max: int,
        batch_count_max: int,
        linger_seconds: float,
    ) -> None:
        """`send` returns whether it worked, and `why` says why not; `shutdown` makes it give up.

        `count_max` items wait at most, and the first of them `linger_seconds` for others.
        """
        self._signal = signal
        self._send = send
        self._shutdown = shutdown
        self._why = why
        self._exports = exports
        self._count_max = count_max
        self._batch_count_max = batch_count_max
        self._linger_seconds = linger_seconds
        self._waiting: deque[Item] = deque()
        self._has_some = threading.Event()
        self._is_stopping = threading.Event()
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name=f"otlp-{signal}", daemon=True)

    def start(self) -> None:
        """Send from here on."""
        self._thread.start()

    def put(self, item: Item) -> bool:
        """Take it; False where the queue is full."""
        if len(self._waiting) >= self._count_max:
            return False
        self._waiting.append(item)
        self._has_some.set()
        return True

    def stop(self) -> None:
        """Send what is waiting, within STOP_SECONDS_MAX; blocks, so not on a loop that serves."""
        self._is_stopping.set()
        self._has_some.set()
        self._thread.join(STOP_SECONDS_MAX)
        # Whether it is idle by now or stuck: the exporter gives up what it is waiting for.
        self._shutdown()
        self._thread.join(STOP_SECONDS_MAX)

    def _run(self) -> None:
        while True:
            self._has_some.wait()
            # Others may come meanwhile, and go with it.
            self._is_stopping.wait(self._linger_seconds)
            self._has_some.clear()
            while self._waiting:
                count = min(len(self._waiting), self._batch_count_max)
                self._deliver([self._waiting.popleft() for _ in range(count)])
                if self._is_stopping.is_set() and self._is_failing:
                    return
            if self._is_stopping.is_set():
                return

    def _deliver(self, batch: list[Item]) -> None:
        try:
            is_sent = self._send(batch)
            why = "" if is_sent else self._why()
        except Exception as error:  # noqa: BLE001 - whatever an exporter raises is its own affair
            is_sent, why = False, f"{type(error).__name__}"
        self._exports.add(self._signal, "ok" if is_sent else "failed")
        if is_sent and self._is_failing:
            LOG.info("OTLP: %s are exported again", self._signal)
        elif not is_sent and not self._is_failing:
            LOG.warning(
                "OTLP: %s cannot be exported (%s); orders go on, and this is said once "
                "until it works again: is the collector at OTEL_EXPORTER_OTLP_ENDPOINT up?",
                self._signal,
                why or "no reason was given",
            )
        self._is_failing = not is_sent
