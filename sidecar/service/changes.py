"""Says that something changed, to any number of readers, in bounded memory (S14).

Rules:
1. A revision counts changes; a reader that sleeps through ten of them wakes to the newest.
2. Waiting is bounded by the caller; cancelling one reader wakes no other.
"""

from __future__ import annotations

import asyncio


class Changes:
    """A counter one can wait on. One event loop only."""

    def __init__(self) -> None:
        """Begin at revision 1, so that 0 is before everything."""
        self.revision = 1
        self._waiters: set[asyncio.Future[None]] = set()

    def bump(self) -> None:
        """Count one change and wake every reader."""
        self.revision += 1
        if not self._waiters:
            return
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, after_revision: int, timeout_seconds: float) -> int:
        """Return the revision once it is above `after_revision`, or as it is at the timeout."""
        if self.revision > after_revision or timeout_seconds <= 0:
            return self.revision
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait((waiter,), timeout=timeout_seconds)
        finally:
            self._waiters.discard(waiter)
        return self.revision
