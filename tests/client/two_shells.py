"""Both guards under one suite of tests: the asyncio one behind the synchronous one's manners.

Rules:
- `OnLoop` runs a loop in a thread and lets everything happen there; what it hands out waits for the
  answer. It decides nothing and catches nothing.
- A test that passes with both shells holds for both.
"""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, final

from haltline import aio

WAIT_SECONDS = 30


class Loop:
    """A loop in a thread of its own."""

    def __init__(self) -> None:
        """Start it."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, call: Callable[[], Any]) -> Any:
        """Call there, await what can be awaited, and return the result or raise its exception."""
        return asyncio.run_coroutine_threadsafe(_result(call), self._loop).result(WAIT_SECONDS)

    def stop(self) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_SECONDS)
        self._loop.close()


class OnLoop:
    """Something of asyncio, used as if it were synchronous."""

    def __init__(self, loop: Loop, inner: Any) -> None:
        """Stand for `inner`."""
        self._loop = loop
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        value = self._loop.run(lambda: getattr(self._inner, name))
        if not callable(value):
            return value
        return lambda *given, **named: self._wrap(self._loop.run(lambda: value(*given, **named)))

    def send(self, place: Callable[[], Any]) -> Any:
        """As the synchronous `send`."""

        async def placed() -> Any:
            return place()

        return self._loop.run(lambda: self._inner.send(placed))

    def __bool__(self) -> bool:
        return bool(self._inner)

    def __len__(self) -> int:
        return len(self._inner)

    def __getitem__(self, index: int) -> Any:
        return self._wrap(self._inner[index])

    def __iter__(self) -> Iterator[Any]:
        return (self._wrap(item) for item in self._inner)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._loop.run(lambda: self._inner.close(by_exception=kind is not None))

    def _wrap(self, value: Any) -> Any:
        mine = (aio.Approval, aio.Approvals)
        return OnLoop(self._loop, value) if isinstance(value, mine) or _reports(value) else value


@final
class GuardOnLoop(OnLoop):
    """`aio.Guard` with the manners of `Guard`."""

    def __init__(self, target: str, **options: Any) -> None:
        """Make one; it opens with its block."""
        super().__init__(Loop(), aio.Guard(target, **options))

    def __enter__(self) -> "GuardOnLoop":
        try:
            self._loop.run(self._inner.open)
        except BaseException:
            self._loop.stop()
            raise
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            self._loop.run(self._inner.close)
        finally:
            self._loop.stop()


def _reports(value: Any) -> bool:
    return hasattr(value, "report_filled")


async def _result(call: Callable[[], Any]) -> Any:
    value = call()
    if isinstance(value, AsyncIterator):
        return [item async for item in value]
    if inspect.isawaitable(value):
        return await value
    return value
