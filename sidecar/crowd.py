"""Readers that wait for news: woken a few at a time, or all at once when nothing more comes.

Rules:
1. Who waits is woken by news, by the end, or by its own time; cancelling one wakes no other.
2. News is told to a few in each turn of the loop, and after the first few the loop rests: what is
   told of may be a kill, and the thread that syncs it must not wait for a thousand readers.
"""

from __future__ import annotations

import asyncio
from typing import Final

_CROWD_WAITS_SECONDS: Final = 0.002
"""How long those beyond the first few wait for a stop to be synced and acknowledged."""


class Crowd:
    """Whoever waits for the next news. One event loop only."""

    __slots__ = ("_waiting", "_woken_count")

    def __init__(self, *, woken_count: int) -> None:
        """`woken_count`: how many are woken in one turn of the loop."""
        self._woken_count = woken_count
        self._waiting: set[asyncio.Future[None]] = set()

    async def pause(self, seconds: float) -> None:
        """Return when there is news, when nothing more comes, or after `seconds`."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _release, waiter)
        self._waiting.add(waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiting.discard(waiter)

    async def wake_in_turns(self) -> None:
        """Wake who waits, a few in each turn of the loop (rule 2)."""
        waiting = list(self._waiting)
        for at in range(0, len(waiting), self._woken_count):
            for waiter in waiting[at : at + self._woken_count]:
                _release(waiter)
            await asyncio.sleep(0 if at else _CROWD_WAITS_SECONDS)

    def wake(self) -> None:
        """Wake everybody at once."""
        for waiter in self._waiting:
            _release(waiter)


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
