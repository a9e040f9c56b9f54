"""SIGHUP: read the configuration again, and never end because of it.

Rules:
- A signal that comes while one is served is served once more; ten that come meanwhile are one.
- One that comes before the start is over, however long it recovers, is served after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator


def hold() -> None:
    """Keep a signal that comes from here on until somebody listens; before it would end us."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP,))


class Hangups:
    """Counts nothing, forgets nothing: there was a signal, or there was none."""

    def __init__(self) -> None:
        """No signal came yet."""
        self._came = asyncio.Event()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take signals while the context lasts, those that were held first."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._came.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGHUP,))
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)

    @contextlib.asynccontextmanager
    async def served(self, serve: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Call `serve` after each signal while the context lasts. It must not raise."""
        task = asyncio.create_task(self._keep_serving(serve), name="hangups")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait((task,))

    async def _keep_serving(self, serve: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._came.wait()
            self._came.clear()
            await serve()
