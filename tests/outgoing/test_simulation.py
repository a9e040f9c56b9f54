"""Whatever receivers, disks and processes do: each transition is told, in order, or given up aloud.

Hypothesis draws a life: kills, resets, receivers that fail, hang, answer too late, processes that
die and power that goes at any point of it. The journal that is left says what had to be told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.denial import CallRefused
from sidecar.outgoing import Outgoing, sender
from sidecar.outgoing.retries import Answer
from sidecar.service import outbox
from sidecar.service.transitions import transitions_in
from sidecar.store.memory_store import MemoryStore
from tests.outgoing.harness import (
    DELIVERED,
    FAILED,
    HANGS,
    LOST,
    Script,
    VirtualTime,
    a_target,
)
from tests.service.harness import BOT, OPERATOR, a_kill, a_reset, an_order, make_service, until

ANSWERS: Final = st.lists(st.sampled_from([DELIVERED, FAILED, LOST, HANGS]), max_size=4)
GIVE_UP_SECONDS: Final = 3.0
"""Three tries in a row that fail are the end of a message."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens, and how the receiver answers from there on."""

    what: str
    answers: tuple[Answer, ...] = ()


STEPS: Final = st.lists(
    st.builds(
        Step,
        st.sampled_from(["kill", "kill", "reset", "order", "wait", "stop", "die", "power"]),
        ANSWERS.map(tuple),
    ),
    max_size=12,
)


@dataclass(slots=True)
class World:
    """A store that outlives its processes, and everything the receiver ever got."""

    directory: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    receiver: Script = field(default_factory=Script)
    given_up: list[str] = field(default_factory=list)

    async def live(self, steps: Iterator[Step]) -> bool:
        """Live one process until it ends; say whether there are steps left."""
        service = make_service(self.store, self.directory)
        outgoing = Outgoing(
            outbox=service.outbox,
            targets=(a_target(give_up_seconds=GIVE_UP_SECONDS),),
            post=self.receiver.post,
            surroundings=VirtualTime().surroundings(),
            is_clock_real=False,
        )
        await service.start()
        outgoing.start()
        for step in steps:
            self.receiver.answers.extend(step.answers)
            if step.what == "kill":
                await service.trigger_kill(a_kill(), BOT)
            elif step.what == "reset":
                with contextlib.suppress(CallRefused):
                    await service.reset_kill(a_reset(), OPERATOR)
            elif step.what == "order":
                await service.check_order(an_order(), BOT)
            elif step.what == "wait":
                for _ in range(10):
                    await asyncio.sleep(0)
            elif step.what == "stop":
                await outgoing.drain()
                await service.stop()
                self.store = self.store.reopen()
                return True
            else:
                self.store = self.store.crash(is_power_lost=step.what == "power", boot_id="boot-1")
                await _abandon(outgoing)
                await service.stop()
                return True
        self.receiver.answers.clear()
        self.store = self.store.crash(is_power_lost=False)
        await _abandon(outgoing)
        await service.stop()
        return False

    async def tell_the_rest(self) -> list[str]:
        """Live one more process with a receiver that is well; return what had to be told."""
        service = make_service(self.store, self.directory)
        outgoing = Outgoing(
            outbox=service.outbox,
            targets=(a_target(),),
            post=self.receiver.post,
            surroundings=VirtualTime().surroundings(),
        )
        await service.start()
        outgoing.start()
        last = service.status().view.last_sequence
        await until(lambda: service.outbox.durable_sequence >= last)
        await until(lambda: outgoing.is_caught_up)
        await outgoing.drain()
        await service.stop()
        wanted = [
            transition.message_id(self.store.store_id)
            for _, record in self.store.read(1)
            for transition in transitions_in(record)
        ]
        assert wanted or not self.receiver.got
        return wanted


async def _abandon(outgoing: Outgoing) -> None:
    """End its tasks as the death of the process does: nothing is finished, nothing kept."""
    tasks, outgoing._tasks = outgoing._tasks, []  # noqa: SLF001 - a crash asks nobody
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


class _GivenUp(logging.Handler):
    """Keeps the ids of messages that were given up, from the lines that say so."""

    def __init__(self, ids: list[str]) -> None:
        super().__init__()
        self._ids = ids

    def emit(self, record: logging.LogRecord) -> None:
        """Take one line."""
        text = record.getMessage()
        if "gave up on" in text:
            self._ids.append(text.partition("(")[2].partition(")")[0])


@settings(max_examples=150)
@given(STEPS, st.sampled_from([1, 2, 1_000]))
def test_every_transition_is_told_in_order_or_given_up_aloud(
    steps: list[Step], seen_count_max: int
) -> None:
    """At least once, never out of order, never one that the journal does not hold."""
    with tempfile.TemporaryDirectory() as directory, _quick(seen_count_max):
        world = World(Path(directory))
        handler = _GivenUp(world.given_up)
        sender.LOG.addHandler(handler)
        try:
            asyncio.run(_live_all(world, steps))
        finally:
            sender.LOG.removeHandler(handler)


async def _live_all(world: World, steps: list[Step]) -> None:
    left = iter(steps)
    while await world.live(left):
        pass
    wanted = await world.tell_the_rest()
    first_got = list(dict.fromkeys(world.receiver.got))
    missing = [message for message in wanted if message not in first_got]
    assert set(missing) <= set(world.given_up)
    assert set(first_got) <= set(wanted)
    assert first_got == [message for message in wanted if message in first_got]


@contextlib.contextmanager
def _quick(seen_count_max: int) -> Iterator[None]:
    """Bound memory so that journals are read again, and give a drain no time to speak of."""
    kept = (outbox.SEEN_COUNT_MAX, sender.DRAIN_SECONDS_MAX)
    outbox.SEEN_COUNT_MAX, sender.DRAIN_SECONDS_MAX = seen_count_max, 0.01  # type: ignore[misc]  # constants of the code under test, put back below
    try:
        yield
    finally:
        outbox.SEEN_COUNT_MAX, sender.DRAIN_SECONDS_MAX = kept  # type: ignore[misc]  # as above
