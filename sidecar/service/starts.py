"""What gives trading back: durable first, then effective, and never in the way of a stop (S10.3).

Rules:
1. One start at a time. While one waits for the disk every other command waits for it, because
   each must be judged by a state that is certain.
2. A stop never waits. A reset that is still waiting is applied before the stop, in the same turn
   of the loop and in the order of their records, so that replay and memory agree; nothing is
   judged in between, and the gate stays closed until the disk has answered.
3. A start whose sync fails is dropped; where a stop had already applied it, or it cannot be taken
   back, everything is halted instead.
4. A caller that goes away changes nothing: the disk's answer completes the start without it.
5. While the KILL file is there, or cannot be ruled out, there is no start (S10.4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Final

from sidecar.clock import JUMP_NS_MAX, Clock
from sidecar.core import configuration, engine
from sidecar.core.answers import AnchorMove, Receipt, StartAnswer
from sidecar.core.calendar import Calendar
from sidecar.core.commands import (
    AcceptClock,
    AcceptRecovery,
    ReleaseOrder,
    StartingCommand,
    TriggerKill,
)
from sidecar.core.events import ConfigurationApplied, Event
from sidecar.service.callers import SIDECAR, Actor
from sidecar.service.kill_file import KillFile
from sidecar.service.refusals import cannot_start, clock_is_driven, kill_file_present
from sidecar.service.writer import Writer
from sidecar.store.errors import StoreError

RELOAD_KIND: Final = "ReloadConfig"
FALLBACK_REASON: Final = "a start could not be made durable, so everything is stopped again"

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


@dataclass(slots=True, kw_only=True)
class _Pending:
    """A start whose record is written and not yet power-durable."""

    sequence: int
    time: int
    events: list[Event]
    moves: tuple[AnchorMove, ...]
    is_applied: bool
    falls_back: bool
    receipt: Receipt | None = None
    then: Callable[[], None] | None = None
    answer: StartAnswer | None = None


class Starts:
    """The gate, and the one start that may be behind it."""

    def __init__(
        self,
        writer: Writer,
        clock: Clock,
        kill_file: KillFile,
        *,
        spawn: Spawn,
        receipt: Callable[[], Receipt],
    ) -> None:
        """`spawn` runs a coroutine beyond the life of its caller; `receipt` is of this instant."""
        self._writer = writer
        self._clock = clock
        self._kill_file = kill_file
        self._spawn = spawn
        self._receipt = receipt
        self._pending: _Pending | None = None
        self._opened = asyncio.Event()
        self._opened.set()

    @property
    def is_pending(self) -> bool:
        """Say whether a start waits for the disk, so that other commands must wait for it."""
        return self._pending is not None

    async def wait(self) -> None:
        """Return once no start is pending; decide in the same turn, before another one is."""
        while self._pending is not None:
            await self._opened.wait()

    def make_way(self) -> None:
        """Apply a pending start, so that a stop can follow it at once (rule 2)."""
        pending = self._pending
        if pending is not None and not pending.is_applied:
            self._make_effective(pending)

    async def reset(self, command: StartingCommand, actor: Actor) -> StartAnswer:
        """Carry out a reset or easing; CallRefused where it may not be or could not be."""
        await self.wait()
        writer = self._writer
        self._refuse_unless_possible()
        sequence, time = writer.open_turn()
        events, moves = engine.prepare(writer.state, command, writer.conditions)
        if not events:
            return await self._answer_unchanged()
        pending = _Pending(
            sequence=sequence,
            time=time,
            events=events,
            moves=moves,
            is_applied=False,
            falls_back=False,
        )
        return await self._append(pending, type(command).__name__, actor)

    async def loosen(
        self,
        event: ConfigurationApplied,
        calendar: Calendar,
        actor: Actor,
        then: Callable[[], None],
    ) -> StartAnswer:
        """Put another configuration in force; `then` follows at once, whoever asked for it.

        `calendar` is of its zone.
        """
        await self.wait()
        writer = self._writer
        self._refuse_unless_writable()
        sequence, time = writer.open_turn()
        pending = _Pending(
            sequence=sequence,
            time=time,
            events=configuration.prepare(writer.state, event, calendar),
            moves=(),
            is_applied=False,
            falls_back=False,
            then=then,
        )
        return await self._append(pending, RELOAD_KIND, actor)

    async def _append(self, pending: _Pending, kind: str, actor: Actor) -> StartAnswer:
        """Write what is decided and not applied, and complete it."""
        writer = self._writer
        writer.append(pending.sequence, pending.time, kind, actor, pending.events)
        if writer.problem:
            raise cannot_start(writer.problem)
        pending.receipt = self._receipt()
        return await self._complete(pending)

    async def release(self, command: ReleaseOrder, actor: Actor) -> StartAnswer:
        """End a reservation by hand (S7.5)."""
        await self.wait()
        self._refuse_unless_writable()
        return await self._execute(command, actor, falls_back=False)

    async def accept_recovery(self, command: AcceptRecovery, actor: Actor) -> StartAnswer:
        """Declare the books right (S12.4)."""
        await self.wait()
        self._refuse_unless_possible()
        return await self._execute(command, actor, falls_back=True)

    async def accept_clock(self, accepted_by: str, reason: str, actor: Actor) -> StartAnswer:
        """Re-base `now` to the wall (S2.2); nothing changes where no jump is shown."""
        if self._clock.kind == "driven":
            raise clock_is_driven()
        await self.wait()
        self._refuse_unless_writable()
        self._writer.catch_up()
        wall = self._clock.wall()
        has_jumped = self._writer.state.clock_jump_ns != 0
        if not has_jumped and abs(self._clock.now() - wall) <= JUMP_NS_MAX:
            self._writer.flush()
            return await self._answer_unchanged()
        command = AcceptClock(accepted_by=accepted_by, reason=reason, wall=wall)
        return await self._execute(command, actor, falls_back=False, then=self._clock.rebase)

    async def _execute(
        self,
        command: object,
        actor: Actor,
        *,
        falls_back: bool,
        then: Callable[[], None] | None = None,
    ) -> StartAnswer:
        """Carry out what is effective at once, behind the gate until it is durable."""
        writer = self._writer
        outcome = writer.decide(command, actor)
        if not outcome.events:
            return await self._answer_unchanged()
        if then is not None:
            then()
        pending = _Pending(
            sequence=writer.state.last_sequence,
            time=writer.state.now,
            events=[],
            moves=(),
            is_applied=True,
            falls_back=falls_back,
            receipt=self._receipt(),
        )
        pending.answer = replace(outcome.answer, receipt=pending.receipt)
        return await self._complete(pending)

    async def _complete(self, pending: _Pending) -> StartAnswer:
        self._pending = pending
        self._opened.clear()
        await asyncio.shield(self._spawn(self._await_disk(pending)))
        if pending.answer is None:
            raise cannot_start(self._writer.problem)
        return pending.answer

    async def _await_disk(self, pending: _Pending) -> None:
        """Make the start effective when it is durable; open the gate either way."""
        try:
            await self._writer.sync(pending.sequence)
        except StoreError:
            pending.answer = None
            self._fall_back(pending)
        else:
            if not pending.is_applied:
                self._make_effective(pending)
        finally:
            self._pending = None
            self._opened.set()

    def _make_effective(self, pending: _Pending) -> None:
        state = self._writer.state
        self._writer.apply(pending.sequence, pending.time, pending.events)
        pending.is_applied = True
        pending.falls_back = True
        if pending.then is not None:
            pending.then()
        answer = engine.start_answer(state, changed=True, moves=pending.moves)
        pending.answer = replace(answer, sequence=pending.sequence, receipt=pending.receipt)

    def _fall_back(self, pending: _Pending) -> None:
        if pending.is_applied and pending.falls_back:
            halt = TriggerKill(reason=FALLBACK_REASON, triggered_by="sidecar")
            self._writer.decide(halt, SIDECAR)

    async def _answer_unchanged(self) -> StartAnswer:
        """Answer that there was nothing to do, once what made it so is durable."""
        answer = engine.start_answer(self._writer.state, changed=False)
        receipt = self._receipt()
        try:
            await self._writer.sync(answer.sequence)
        except StoreError as error:
            raise cannot_start(self._writer.problem or str(error)) from error
        return replace(answer, receipt=receipt)

    def _refuse_unless_possible(self) -> None:
        self._refuse_unless_writable()
        look = self._kill_file.look()
        if look.is_present:
            raise kill_file_present(look.sentence)

    def _refuse_unless_writable(self) -> None:
        self._writer.refresh_conditions()
        if self._writer.problem:
            raise cannot_start(self._writer.problem)
