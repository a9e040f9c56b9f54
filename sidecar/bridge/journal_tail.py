"""Follows the journal's tail for the page: the last decisions, and what the chart begins with.

Rules:
1. It reads behind the orders, never beside them: a few records in a turn of the loop, and after
   each look it rests REST_TIMES as long as it took, so that a look costs orders next to nothing.
2. A look reads at most LOOK_COUNT_MAX records; where more came meanwhile, the older are skipped:
   whoever wants every record has the audit.
3. What is read is power-durable (`service.audit`), so no decision is shown that a restart forgets.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from sidecar.audit.decisions import Decision, Told, tell
from sidecar.core.denial import CallRefused
from sidecar.service import Service

DECISIONS_COUNT_MAX: Final = 30
LOOK_COUNT_MAX: Final = 256
SEED_COUNT_MAX: Final = 2_048
"""How many of the newest records the first look reads, for the chart and the decisions."""
REST_TIMES: Final = 50


class JournalTail:
    """The newest decisions, newest first; `number` moves with each change of them."""

    def __init__(self, service: Service, on_told: Callable[[Told], None]) -> None:
        """`on_told` hears of every record that told anything, in order."""
        self._service = service
        self._on_told = on_told
        self._decisions: deque[Decision] = deque(maxlen=DECISIONS_COUNT_MAX)
        self._read_up_to = 0
        self._has_seeded = False
        self._resting_until = 0.0
        self.number = 0
        self.skipped_count = 0

    def decisions(self) -> list[Decision]:
        """Return the newest decisions, newest first."""
        return list(reversed(self._decisions))

    async def look(self) -> None:
        """Read what came since the last look; returns at once while it rests."""
        began_at = time.monotonic()
        if began_at < self._resting_until:
            return
        try:
            busy_seconds = await self._look()
        except CallRefused:
            return  # the store has lost it: the status says so, and the page shows that
        self._resting_until = time.monotonic() + busy_seconds * REST_TIMES

    async def _look(self) -> float:
        """Return how long the loop was held."""
        audit = self._service.audit
        count_max = LOOK_COUNT_MAX if self._has_seeded else SEED_COUNT_MAX
        first = max(self._read_up_to + 1, audit.durable_sequence - count_max + 1)
        at = max(first, audit.first_wanted(0))
        if self._has_seeded:
            self.skipped_count += at - self._read_up_to - 1
        busy_seconds = 0.0
        while True:
            began_at = time.monotonic()
            chunk = audit.read(at)
            for chained in chunk:
                self._take(tell(chained.sequence, chained.record))
                self._read_up_to = chained.sequence
                at = chained.sequence + 1
            busy_seconds += time.monotonic() - began_at
            if not chunk:
                self._has_seeded = True
                return busy_seconds
            await asyncio.sleep(0)

    def _take(self, told: Told | None) -> None:
        if told is None:
            return
        if told.decisions:
            self._decisions.extend(told.decisions)
            self.number += 1
        self._on_told(told)
