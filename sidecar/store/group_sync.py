"""Group commit: many callers wait, one disk sync at a time serves them all (S12.2).

Rules:
1. A sync covers what was written before it began, and nothing that came later.
2. Who arrives while a sync runs joins it if it covers them, else the next one.
3. Each caller waits on a future of their own: cancelling one cancels nobody's sync.
4. The first failure is final: every waiter, present and to come, gets StorePoisonedError (S12.3).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter_ns

from sidecar.store.errors import StorePoisonedError
from sidecar.store.store import SYNC_DELAY_SECONDS_MAX
from sidecar.telemetry import SyncMeter

REQUEST_DELAY_SECONDS = SYNC_DELAY_SECONDS_MAX / 2


class GroupSync:
    """Turns `sync_once`, which makes everything written power-durable, into a shared wait."""

    def __init__(
        self,
        *,
        sync_once: Callable[[], Awaitable[None]],
        last_sequence: Callable[[], int],
        poison: Callable[[str], None],
        durable_sequence: int,
    ) -> None:
        """`sync_once` is never run twice at a time; its failure is told to `poison` first."""
        self._sync_once = sync_once
        self._last_sequence = last_sequence
        self._poison = poison
        self._poisoned: str | None = None
        self._next_waiters: list[asyncio.Future[None]] = []
        self._running_waiters: list[asyncio.Future[None]] = []
        self._running_sequence = 0
        self._is_wanted = False
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.durable_sequence = durable_sequence
        self.meter = SyncMeter()

    async def wait(self, sequence: int) -> None:
        """Return once records up to `sequence` are power-durable."""
        self._raise_if_poisoned()
        if self.durable_sequence >= sequence:
            return
        if self._task is not None and self._running_sequence >= sequence:
            await self._wait_on(self._running_waiters)
            return
        await self.wait_for_next()

    async def wait_for_next(self) -> None:
        """Return once a sync that began after this call has succeeded."""
        self._raise_if_poisoned()
        self._start()
        await self._wait_on(self._next_waiters)

    def request(self) -> None:
        """Have a sync begin within half of SYNC_DELAY_SECONDS_MAX; needs a running loop."""
        if self._timer is None and self._poisoned is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(REQUEST_DELAY_SECONDS, self._on_timer)

    def poison(self, reason: str) -> None:
        """Fail every waiter; the store was poisoned, here or elsewhere."""
        if self._poisoned is not None:
            return
        self._poisoned = reason
        self._cancel_timer()
        waiters = self._running_waiters + self._next_waiters
        self._running_waiters, self._next_waiters = [], []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(StorePoisonedError(reason))

    def finish(self, durable_sequence: int) -> None:
        """Release every waiter: the closing store made everything power-durable itself."""
        self._cancel_timer()
        self.durable_sequence = durable_sequence
        _release(self._running_waiters)
        _release(self._next_waiters)
        self._next_waiters = []

    def _raise_if_poisoned(self) -> None:
        if self._poisoned is not None:
            raise StorePoisonedError(self._poisoned)

    async def _wait_on(self, waiters: list[asyncio.Future[None]]) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters.append(waiter)
        await waiter

    def _on_timer(self) -> None:
        self._timer = None
        if self.durable_sequence < self._last_sequence() and self._poisoned is None:
            self._start()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        self._is_wanted = True
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        """Sync until nobody wants another one."""
        try:
            while self._is_wanted and self._poisoned is None:
                self._is_wanted = False
                self._running_waiters, self._next_waiters = self._next_waiters, []
                self._running_sequence = self._last_sequence()
                begun = perf_counter_ns()
                await self._sync_once()
                more_count = self._running_sequence - self.durable_sequence
                self.meter.synced(more_count, perf_counter_ns() - begun)
                self._on_synced()
        except Exception as error:  # noqa: BLE001 - whatever a sync raises, durability is unknown
            self._poison(f"sync failed: {type(error).__name__}: {error}")
        finally:
            self._task = None
            self._running_sequence = 0

    def _on_synced(self) -> None:
        if self._poisoned is not None:
            return
        self.durable_sequence = max(self.durable_sequence, self._running_sequence)
        _release(self._running_waiters)


def _release(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
    waiters.clear()
