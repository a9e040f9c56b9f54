"""Says that something changed, to any number of readers, in bounded memory (S14).

Rules:
1. A revision counts changes; a reader that sleeps through ten of them wakes to the newest.
2. Waiting is bounded by the caller; cancelling one reader wakes no other.
3. Who waits for a stop is woken by a stop: every order is a change, and waking for each of them
   somebody who paces what is shown would cost more than the order.
"""

from __future__ import annotations

import asyncio


class Changes:
    """A counter one can wait on. One event loop only."""

    def __init__(self) -> None:
        """Begin at revision 1, so that 0 is before everything."""
        self.revision = 1
        self._stop_epoch = 0
        self._waiters: set[asyncio.Future[None]] = set()
        self._stop_waiters: set[asyncio.Future[None]] = set()

    def bump(self, stop_epoch: int | None = None) -> None:
        """Count one change and wake every reader; `stop_epoch` as it is now, where it may move."""
        self.revision += 1
        if self._waiters:
            _wake(self._waiters)
        if stop_epoch is not None and stop_epoch != self._stop_epoch:
            self._stop_epoch = stop_epoch
            _wake(self._stop_waiters)

    async def wait(self, after_revision: int, timeout_seconds: float) -> int:
        """Return the revision once it is above `after_revision`, or as it is at the timeout."""
        if self.revision <= after_revision and timeout_seconds > 0:
            await _wait_in(self._waiters, timeout_seconds)
        return self.revision

    async def wait_stop(self, timeout_seconds: float) -> None:
        """Return at the next move of the stop epoch, or at the timeout."""
        if timeout_seconds > 0:
            await _wait_in(self._stop_waiters, timeout_seconds)


def _wake(waiters: set[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
    waiters.clear()


async def _wait_in(waiters: set[asyncio.Future[None]], timeout_seconds: float) -> None:
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiters.add(waiter)
    try:
        await asyncio.wait((waiter,), timeout=timeout_seconds)
    finally:
        waiters.discard(waiter)
