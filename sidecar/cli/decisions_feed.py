"""Reads the last decisions from the journal's tail in a thread, for whoever draws them.

Rules:
- It asks ListAudit once a second for what came since, at most the newest RECORDS_COUNT_MAX records.
- What cannot be read now is asked for again; meanwhile the last ones stand.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

import grpc
from haltline.tls import Tls
from haltline.v1 import audit_pb2

from sidecar.audit.decisions import Decision, tell
from sidecar.cli.connection import Connection, connect
from sidecar.cli.failures import CommandFailed

ASK_SECONDS: Final = 1.0
DECISIONS_COUNT_MAX: Final = 8
RECORDS_COUNT_MAX: Final = 256


class DecisionsFeed:
    """The newest decisions of one sidecar; `start` begins to follow them, `stop` ends that."""

    def __init__(
        self,
        target: str,
        timeout_seconds: float,
        tls: Tls | None,
        last_sequence: Callable[[], int],
    ) -> None:
        """`last_sequence` returns the newest record known of, 0 while none is."""
        self._target = target
        self._timeout_seconds = timeout_seconds
        self._tls = tls
        self._last_sequence = last_sequence
        self._decisions: deque[Decision] = deque(maxlen=DECISIONS_COUNT_MAX)
        self._next = 1
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="decisions-feed", daemon=True)

    def start(self) -> None:
        """Follow from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._is_stopping.set()
        self._thread.join(timeout=self._timeout_seconds)

    def decisions(self) -> tuple[Decision, ...]:
        """Return the newest decisions, newest first."""
        return tuple(reversed(tuple(self._decisions)))

    def _follow(self) -> None:
        while not self._is_stopping.is_set():
            try:
                with connect(self._target, self._timeout_seconds, self._tls) as connection:
                    while not self._is_stopping.wait(ASK_SECONDS / 4):
                        self._ask(connection)
                        self._is_stopping.wait(ASK_SECONDS)
            except (CommandFailed, grpc.RpcError):
                self._is_stopping.wait(ASK_SECONDS)

    def _ask(self, connection: Connection) -> None:
        """Read what came since; a store that began anew is read from its beginning."""
        last = self._last_sequence()
        if last < self._next - 1:
            self._next = 1
            self._decisions.clear()
        self._next = max(self._next, last - RECORDS_COUNT_MAX + 1)
        request = audit_pb2.ListAuditRequest(from_sequence=self._next, limit=RECORDS_COUNT_MAX)
        answer = connection.call(connection.operator.ListAudit, request)
        for record in answer.records:
            told = tell(record.sequence, record.record)
            if told is not None:
                self._decisions.extend(told.decisions)
        self._next = max(self._next, answer.next_sequence)
