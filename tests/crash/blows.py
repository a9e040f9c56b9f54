"""What ends a sidecar: kill -9 at a random instant, in its start, in its stop, or a clean stop.

Rules: a blow starts the process and strikes it; afterwards the process is gone, and `hit` says what
was struck. Instants are drawn; what a death must not harm does not depend on them.
"""

import asyncio
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from random import Random
from typing import Final

from tests.cli.running import RunningSidecar
from tests.crash.clients import Desk

LOOK_SECONDS: Final = 0.002
ANSWERS_BEFORE: Final = (5, 120)
JITTER_SECONDS_MAX: Final = 0.02
START_SECONDS: Final = 1.0
STOP_SECONDS: Final = 0.4
LOAD_SECONDS_MAX: Final = 60.0


async def until(condition: Callable[[], bool], seconds_max: float, what: str) -> None:
    """Return once the condition holds; AssertionError where it never does."""
    deadline = time.monotonic() + seconds_max
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds_max} s"
        await asyncio.sleep(LOOK_SECONDS)


async def let_pass(seconds: float) -> None:
    """Return that much later: the instant of a blow is drawn, and nothing announces it."""
    until_then = time.monotonic() + seconds
    while time.monotonic() < until_then:  # noqa: ASYNC110 - as said
        await asyncio.sleep(min(LOOK_SECONDS, seconds))


def code_of(sidecar: RunningSidecar) -> int | None:
    """Return the exit code of the process, None while it runs."""
    assert sidecar.process is not None
    return sidecar.process.poll()


def kill(sidecar: RunningSidecar) -> int:
    """End the process by kill -9, unless it has ended; return its exit code."""
    assert sidecar.process is not None
    if sidecar.process.poll() is None:
        sidecar.process.kill()
    sidecar.process.communicate()
    return sidecar.process.returncode


class Blow(ABC):
    """One way to end."""

    hit = "nothing"
    """What was struck, for the log."""
    dies_by_itself = False
    """Whether it may die before anybody strikes, also while it is looked at."""

    async def start(
        self, sidecar: RunningSidecar, options: tuple[str, ...], chance: Random
    ) -> bool:
        """Start the process; False where it died before it was ready."""
        del chance
        await asyncio.to_thread(sidecar.start, *options)
        return True

    @abstractmethod
    async def strike(self, sidecar: RunningSidecar, desk: Desk, chance: Random) -> None:
        """Let the clients run, then end the process."""


class AtRandom(Blow):
    """Kill -9 under load, after some answers and a moment."""

    async def strike(self, sidecar: RunningSidecar, desk: Desk, chance: Random) -> None:
        """As said."""
        before = desk.answered_count
        await wait_for(sidecar, desk, chance.randint(*ANSWERS_BEFORE))
        await let_pass(chance.random() * JITTER_SECONDS_MAX)
        assert kill(sidecar) == -signal.SIGKILL, sidecar.logs
        self.hit = f"kill -9 after {desk.answered_count - before} answers"


class AtStart(Blow):
    """Kill -9 while it starts, or soon after."""

    async def start(
        self, sidecar: RunningSidecar, options: tuple[str, ...], chance: Random
    ) -> bool:
        """Launch it and kill it; it is never ready for anybody."""
        sidecar.launch(*options)
        seconds = chance.random() * START_SECONDS
        await let_pass(seconds)
        assert kill(sidecar) == -signal.SIGKILL, sidecar.logs
        self.hit = f"kill -9 {seconds:.3f} s after its launch"
        return False

    async def strike(self, sidecar: RunningSidecar, desk: Desk, chance: Random) -> None:
        """Nothing is left to strike."""


class AtStop(Blow):
    """SIGTERM under load, and kill -9 while it stops."""

    async def strike(self, sidecar: RunningSidecar, desk: Desk, chance: Random) -> None:
        """As said."""
        assert sidecar.process is not None
        await wait_for(sidecar, desk, chance.randint(*ANSWERS_BEFORE))
        sidecar.process.send_signal(signal.SIGTERM)
        seconds = chance.random() * STOP_SECONDS
        await let_pass(seconds)
        ended = kill(sidecar)
        assert ended in {0, -signal.SIGKILL}, sidecar.logs
        how = "it had ended" if ended == 0 else "kill -9"
        self.hit = f"{how} {seconds:.3f} s after SIGTERM"


class Cleanly(Blow):
    """SIGTERM, once nobody asks any more."""

    async def strike(self, sidecar: RunningSidecar, desk: Desk, chance: Random) -> None:
        """As said; exit code 0."""
        del chance
        desk.shut()
        ended = await asyncio.to_thread(sidecar.stop)
        assert ended == 0, sidecar.logs
        self.hit = "SIGTERM"


async def wait_for(sidecar: RunningSidecar, desk: Desk, answers: int) -> None:
    """Return after so many more answers to anybody; the process must not end by itself."""
    goal = desk.answered_count + answers

    def is_reached() -> bool:
        assert code_of(sidecar) is None, f"it ended by itself: {code_of(sidecar)}"
        return desk.answered_count >= goal

    await until(is_reached, LOAD_SECONDS_MAX, f"{answers} answers")


def draw_blows(chance: Random, count: int) -> list[Blow]:
    """Return so many blows: most of them under load, some in a start or a stop."""
    kinds: list[type[Blow]] = [AtRandom, AtRandom, AtRandom, AtRandom, AtStart, AtStop]
    return [chance.choice(kinds)() for _ in range(count)]
