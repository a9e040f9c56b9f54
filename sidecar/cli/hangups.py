"""SIGHUP: read the configuration again, and never end because of it.

Rules:
- A signal that comes while one is served is served once more; ten that come meanwhile are one.
- One that comes before the start is over is served after it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable


class Hangups:
    """Counts nothing, forgets nothing: there was a signal, or there was none."""

    def __init__(self) -> None:
        """No signal came yet."""
        self._came = asyncio.Event()

    def note(self) -> None:
        """Remember that a signal came; for the loop's signal handler."""
        self._came.set()

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
