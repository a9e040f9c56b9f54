"""Sends what the outbox holds, each target at its own pace, in order.

Rules:
1. A target that is slow, dead or hostile delays itself: no other target, no order, no kill.
2. A message is done with when it was delivered or given up; the next one follows then.
3. Trouble is shown: in health, as a part that is not needed; in counts; in the log once when it
   begins and once when it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from sidecar import __version__
from sidecar.outgoing.messages import Origin
from sidecar.outgoing.posting import Post, Poster
from sidecar.outgoing.retries import Answer, Outcome, delay_seconds, is_at_end
from sidecar.outgoing.signing import signed_headers
from sidecar.outgoing.targets import Target
from sidecar.service import HealthPart
from sidecar.service.outbox import Feed, Outbox
from sidecar.service.transitions import Transition
from sidecar.telemetry.counts import Counts

LOG: Final = logging.getLogger(__name__)

DRAIN_SECONDS_MAX: Final = 2.0
PAUSE_AFTER_FAULT_SECONDS: Final = 5.0
PART_NAME: Final = "outgoing"
_FAULT_OF_OURS: Final = "a fault of ours, see the log"
_SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Time and chance of the sender; tests give their own.

    `real_time_ns` is the wall, `seconds` never goes back, `chance` is from 0 to 1.
    """

    real_time_ns: Callable[[], int] = time.time_ns
    seconds: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(slots=True, kw_only=True)
class _Line:
    """One target and how it goes. `trouble` is why the last try failed, empty while all is well."""

    target: Target
    feed: Feed
    trouble: str = ""
    is_gone: bool = False
    given_up_count: int = 0
    is_posting: bool = False


class Outgoing:
    """The targets of one sidecar."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        targets: Sequence[Target],
        is_clock_real: bool = True,
        post: Post | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        """Made before the service starts, so that nothing of the start is missed.

        `is_clock_real` is false under a driven clock: the age of a transition says nothing there.
        """
        self.counts = Counts("target", "outcome")
        self._outbox = outbox
        self._is_clock_real = is_clock_real
        self._around = surroundings or Surroundings()
        self._post = post or Poster().post
        feeds = outbox.feeds({target.name: target.kinds for target in targets})
        self._lines = [
            _Line(target=target, feed=feed) for target, feed in zip(targets, feeds, strict=True)
        ]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to send; a task for each target."""
        loop = asyncio.get_running_loop()
        if self._lines:
            names = ", ".join(line.target.name for line in self._lines)
            LOG.info("webhooks are sent to %s", names)
        self._tasks = [
            loop.create_task(self._keep_sending(line), name=f"outgoing {line.target.name}")
            for line in self._lines
        ]

    async def drain(self) -> None:
        """Let what is under way end, within `DRAIN_SECONDS_MAX`; the rest waits in the store."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS_MAX):
                while any(map(_is_busy, self._lines)):  # noqa: ASYNC110 - three conditions, each of many places
                    await asyncio.sleep(0.01)
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
            self._outbox.save()

    @property
    def pending(self) -> dict[str, int]:
        """How many messages are known to wait, by target."""
        return {line.target.name: line.feed.pending_count for line in self._lines}

    @property
    def is_caught_up(self) -> bool:
        """Whether nothing waits, and nothing older is still to be read."""
        return not any(line.feed.pending_count or line.feed.is_behind for line in self._lines)

    def health_part(self) -> HealthPart:
        """Say which targets are in trouble; trading does not depend on them."""
        causes = list(filter(None, map(_trouble, self._lines)))
        left_out = self._outbox.left_out_count
        if left_out:
            causes.append(f"{left_out} that only memory could hold were left out")
        cause = "; ".join(causes)
        return HealthPart(name=PART_NAME, is_well=not cause, is_needed=False, cause=cause)

    async def _keep_sending(self, line: _Line) -> None:
        while not line.is_gone:
            try:
                transition, is_durable = await line.feed.next()
                if await self._deliver(line, transition, is_durable=is_durable):
                    line.feed.done(transition)
            except Exception:
                LOG.exception("webhook %s: a fault of ours", line.target.name)
                line.trouble = _FAULT_OF_OURS
                await self._around.sleep(PAUSE_AFTER_FAULT_SECONDS)

    async def _deliver(self, line: _Line, transition: Transition, *, is_durable: bool) -> bool:
        """Try until it is delivered or given up; False where the target is gone."""
        target, around, outbox = line.target, self._around, self._outbox
        origin = Origin(store_id=outbox.store.store_id, name=outbox.name, now=outbox.now)
        make_body = partial(target.body, transition, origin, is_durable=is_durable)
        message_id = transition.message_id(origin.store_id)
        began, tries_count = around.seconds(), 0
        while True:
            tries_count += 1
            answer = await self._try(line, message_id, make_body)
            if answer.outcome is Outcome.DELIVERED:
                self._note_well(line)
                return True
            self._note_trouble(line, answer)
            if answer.outcome is Outcome.GONE:
                line.is_gone = True
                return False
            age_ns = around.real_time_ns() - transition.time if self._is_clock_real else 0
            if is_at_end(
                tried_seconds=around.seconds() - began,
                age_seconds=age_ns / _SECOND_NS,
                give_up_seconds=target.give_up_seconds,
            ):
                self._note_given_up(line, transition, message_id, tries_count)
                return True
            await around.sleep(delay_seconds(tries_count, answer, around.chance()))

    async def _try(self, line: _Line, message_id: str, make_body: Callable[[], bytes]) -> Answer:
        """Post once. A fault of ours is a try that failed: it comes to its end like any other."""
        timestamp = self._around.real_time_ns() // _SECOND_NS
        line.is_posting = True
        try:
            body = make_body()
            headers = headers_of(line.target, message_id, timestamp, body)
            answer = await self._post(line.target, body, headers)
        except Exception:
            LOG.exception("webhook %s: a fault of ours", line.target.name)
            answer = Answer(outcome=Outcome.FAILED, detail=_FAULT_OF_OURS)
        finally:
            line.is_posting = False
        self.counts.add(line.target.name, answer.outcome.value)
        return answer

    def _note_well(self, line: _Line) -> None:
        if line.trouble:
            LOG.info("webhook %s: delivers again", line.target.name)
            line.trouble = ""

    def _note_trouble(self, line: _Line, answer: Answer) -> None:
        if answer.outcome is Outcome.GONE:
            LOG.warning(
                "webhook %s: answers 410 Gone; nothing is sent there until a restart",
                line.target.name,
            )
        elif not line.trouble:
            LOG.warning("webhook %s: not delivered: %s", line.target.name, answer.detail)
        line.trouble = answer.detail

    def _note_given_up(
        self, line: _Line, transition: Transition, message_id: str, tries_count: int
    ) -> None:
        line.given_up_count += 1
        self.counts.add(line.target.name, Outcome.GIVEN_UP.value)
        LOG.warning(
            "webhook %s: gave up on %s of record %d (%s) after %d tries: %s",
            line.target.name,
            transition.kind.value,
            transition.sequence,
            message_id,
            tries_count,
            line.trouble,
        )


def headers_of(target: Target, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of one try at `timestamp`, in seconds."""
    return {
        "content-type": "application/json",
        "user-agent": f"haltline/{__version__}",
        **signed_headers(target.secrets, message_id, timestamp, body),
    }


def _is_busy(line: _Line) -> bool:
    """Say whether a short wait may still deliver something."""
    if line.is_gone or (line.trouble and not line.is_posting):
        return False
    return line.is_posting or line.feed.pending_count > 0 or line.feed.is_behind


def _trouble(line: _Line) -> str:
    name, feed = line.target.name, line.feed
    if line.is_gone:
        return f"{name} answered 410 Gone, {feed.pending_count} wait; restart to try again"
    words = []
    if line.trouble:
        words.append(f"{line.trouble}, {feed.pending_count} wait")
    if line.given_up_count:
        words.append(f"{line.given_up_count} given up since the start")
    return f"{name}: {'; '.join(words)}" if words else ""
