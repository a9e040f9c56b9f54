"""SIGHUP is kept, served, and never the end of anything."""

import asyncio
import os
import signal
from collections.abc import Callable

from sidecar.cli.hangups import Hangups, hold

WAIT_SECONDS_MAX = 10.0


async def until(condition: Callable[[], object]) -> None:
    """Return once the condition holds; fail after a while."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not condition():  # noqa: ASYNC110 - the condition is the code under test, it sets no event
            await asyncio.sleep(0.005)


async def test_a_signal_during_the_start_is_served_after_it() -> None:
    """Held while nobody listens, kept while nobody serves."""
    hold()
    os.kill(os.getpid(), signal.SIGHUP)
    served: list[int] = []

    async def serve() -> None:
        served.append(1)

    hangups = Hangups()
    with hangups.listening():
        async with hangups.served(serve):
            await until(lambda: served)
    assert served == [1]


async def test_signals_while_one_is_served_are_one_more() -> None:
    """However many came; and the end of the context ends what is being served."""
    started: list[asyncio.Event] = []

    async def serve() -> None:
        started.append(asyncio.Event())
        await started[-1].wait()

    hangups = Hangups()
    with hangups.listening():
        async with hangups.served(serve):
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: len(started) == 1)
            for _ in range(5):
                os.kill(os.getpid(), signal.SIGHUP)
                await asyncio.sleep(0)
            started[0].set()
            await until(lambda: len(started) == 2)
