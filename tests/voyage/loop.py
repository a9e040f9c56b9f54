"""An event loop in which nothing happens by itself: virtual time, one callback a step.

Rules:
1. Callbacks run in the order they were asked for, as asyncio promises; timers at their time.
   Chance decides how long things take: every step a little, the disk's thread more.
2. Between two steps the test looks, cancels, kills. The same seed takes the same steps.
3. What asyncio would only log (an exception nobody fetched) is kept for the test.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import sidecar
from tests.voyage.sea import Sea

SECOND_NS: Final = 1_000_000_000
_SERVICE: Final = str(Path(sidecar.__file__).parent / "service")
STEP_NS_MAX: Final = 40_000
LATENCIES_NS: Final = (20_000, 200_000, 2_000_000, 30_000_000)
"""How long the disk's thread takes at most: mostly little, now and then very long."""


class VoyageLoop:
    """As much of an event loop as the service, the store and asyncio's own parts ask for."""

    def __init__(self, sea: Sea) -> None:
        """Move the time of `sea`."""
        self._sea = sea
        self.chance = sea.chance
        self.steps_count = 0
        self.complaints: list[str] = []
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[int, int, asyncio.Handle]] = []
        self._timers_count = 0

    @property
    def as_loop(self) -> asyncio.AbstractEventLoop:
        """Return it as what asyncio takes it for: sockets, signals and processes it has none."""
        return cast("asyncio.AbstractEventLoop", self)

    @property
    def now_ns(self) -> int:
        """Return the machine's own time."""
        return self._sea.now_ns

    def latency_ns(self) -> int:
        """Draw how long one thing takes below the loop."""
        return self.chance.randrange(1, self.chance.choice(LATENCIES_NS))

    def step(self) -> bool:
        """Run one callback, moving time to the next timer where none is ready; False: none left."""
        self._ripen()
        if not self._ready:
            while self._timers and self._timers[0][2].cancelled():
                heapq.heappop(self._timers)
            if not self._timers:
                return False
            self._sea.now_ns = max(self.now_ns, self._timers[0][0])
            self._ripen()
        handle = self._ready.popleft()
        self.steps_count += 1
        self._sea.now_ns += self.chance.randrange(STEP_NS_MAX)
        if not handle.cancelled():
            asyncio._set_running_loop(self.as_loop)  # noqa: SLF001 - asyncio keeps it for those who write loops
            try:
                handle._run()  # noqa: SLF001 - a loop runs its handles
            finally:
                asyncio._set_running_loop(None)  # noqa: SLF001 - as above
        return True

    def _ripen(self) -> None:
        while self._timers and self._timers[0][0] <= self.now_ns:
            self._ready.append(heapq.heappop(self._timers)[2])

    # What asyncio asks of a loop.

    def time(self) -> float:
        """Return the machine's own time in seconds."""
        return self.now_ns / SECOND_NS

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:  # noqa: ANN401 - asyncio's own signature
        """Run `callback` after those that wait already."""
        handle = asyncio.Handle(callback, args, self.as_loop, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self,
        delay: float,
        callback: Any,  # noqa: ANN401 - asyncio's own signature
        *args: Any,  # noqa: ANN401 - asyncio's own signature
        context: Any = None,  # noqa: ANN401 - asyncio's own signature
    ) -> asyncio.TimerHandle:
        """Run `callback` after `delay` seconds."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Any,  # noqa: ANN401 - asyncio's own signature
        *args: Any,  # noqa: ANN401 - asyncio's own signature
        context: Any = None,  # noqa: ANN401 - asyncio's own signature
    ) -> asyncio.TimerHandle:
        """Run `callback` when the machine's time is `when`."""
        handle = asyncio.TimerHandle(when, callback, args, self.as_loop, context)
        self._timers_count += 1
        heapq.heappush(self._timers, (int(when * SECOND_NS), self._timers_count, handle))
        return handle

    def after_ns(self, delay_ns: int, callback: Callable[..., object], *args: object) -> None:
        """Run `callback` after `delay_ns`."""
        self.call_at((self.now_ns + delay_ns) / SECOND_NS, callback, *args)

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of this loop."""
        return asyncio.Future(loop=self.as_loop)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:  # noqa: ANN401 - asyncio's own signature
        """Run a coroutine on this loop."""
        return asyncio.Task(coro, loop=self.as_loop, **options)

    def run_in_executor(
        self,
        executor: Any,  # noqa: ANN401 - ours, where asyncio names another
        func: Any,  # noqa: ANN401 - asyncio's own signature
        *args: Any,  # noqa: ANN401 - asyncio's own signature
    ) -> asyncio.Future[Any]:
        """Have the store's one thread do it."""
        thread: OneThread = executor
        return thread.do(self, lambda: func(*args))

    def get_debug(self) -> bool:
        """Say no: debugging would read the real time."""
        return False

    def is_running(self) -> bool:
        """Say yes: whoever asks is running on it."""
        return True

    def is_closed(self) -> bool:
        """Say no: a loop ends with its life."""
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Note nothing: a cancelled timer is passed over at its time."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what asyncio would log."""
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")


@dataclass(slots=True)
class _Job:
    work: Callable[[], object]
    future: asyncio.Future[Any]
    is_begun: bool = False
    result: object = None
    error: Exception | None = None


class OneThread:
    """Stands for the store's background thread: one job at a time, each as a whole, later."""

    def __init__(self, max_workers: int = 1, thread_name_prefix: str = "") -> None:
        """As ThreadPoolExecutor, whose place it takes."""
        del max_workers, thread_name_prefix
        self._jobs: deque[_Job] = deque()
        self._free_at_ns = 0
        self._is_shut = False

    def do(self, loop: VoyageLoop, work: Callable[[], object]) -> asyncio.Future[Any]:
        """Do `work` after all that was asked for before; answer a while after that."""
        if self._is_shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        job = _Job(work, loop.create_future())
        self._jobs.append(job)
        begins_ns = max(loop.now_ns, self._free_at_ns) + loop.latency_ns()
        self._free_at_ns = begins_ns + loop.latency_ns()
        loop.after_ns(begins_ns - loop.now_ns, self._begin, job)
        loop.after_ns(self._free_at_ns - loop.now_ns, self._end, job)
        return job.future

    def shutdown(self, *, wait: bool = True) -> None:
        """Do at once what was asked for; the answers still come later."""
        del wait
        self._is_shut = True
        for job in self._jobs:
            self._begin(job)

    def _begin(self, job: _Job) -> None:
        if job.is_begun:
            return
        job.is_begun = True
        try:
            job.result = job.work()
        except Exception as error:  # noqa: BLE001 - a thread pool hands on whatever it was
            job.error = error

    def _end(self, job: _Job) -> None:
        self._begin(job)
        self._jobs.remove(job)
        if job.future.done():
            return
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)


def await_point(coroutine: Coroutine[Any, Any, Any]) -> str:
    """Return where `coroutine` waits: the service's outermost and innermost function on the way.

    What lies between them may be cut anew without anything becoming another place.
    """
    found = []
    awaited: Any = coroutine
    while awaited is not None and hasattr(awaited, "cr_frame"):
        code = awaited.cr_code
        if code.co_filename.startswith(_SERVICE):
            found.append(code.co_qualname)
        awaited = awaited.cr_await
    return " > ".join(found[:: max(1, len(found) - 1)])
