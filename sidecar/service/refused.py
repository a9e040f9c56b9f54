"""Journals what was tried and refused: who, what, and why it was refused (S13).

Rules:
1. Nothing waits for it, and it waits for a start that is on its way to the disk.
2. What is told singly and what is counted is `core.attempts`' to say: a flood costs a record a
   second.
"""

from __future__ import annotations

from typing import Final

from sidecar.clock import Clock
from sidecar.core.attempts import Attempts, note_refused
from sidecar.core.denial import CallRefused
from sidecar.core.events import AttemptRefused
from sidecar.service.callers import SIDECAR, Actor, Caller, require_bot
from sidecar.service.starts import Starts
from sidecar.service.writer import Writer

KIND: Final = "AttemptRefused"
TEXT_LENGTH_MAX: Final = 256


class RefusedAttempts:
    """What was refused and is not journalled yet."""

    def __init__(self, writer: Writer, starts: Starts, clock: Clock) -> None:
        """Nothing was refused yet."""
        self._writer = writer
        self._starts = starts
        self._clock = clock
        self._attempts = Attempts()
        self._actors: list[Actor] = []

    def note(
        self, call: str, refused: CallRefused, actor: Actor, by: str = "", reason: str = ""
    ) -> None:
        """Take one refusal; `by` and `reason` are the caller's own words, cut."""
        attempt = AttemptRefused(
            call=call,
            code=refused.reason,
            why=_cut(refused.message),
            by=_cut(by),
            reason=_cut(reason),
        )
        if self._attempts.add(attempt, self._clock.now()):
            self._actors.append(actor)
        self.flush()

    def require_bot(self, caller: Caller, call: str) -> None:
        """Refuse `call` from an observer, and journal that it was tried."""
        try:
            require_bot(caller, call)
        except CallRefused as refused:
            self.note(call, refused, caller.actor)
            raise

    def flush(self, *, is_last: bool = False) -> None:
        """Journal what is due, each with its actor; not while a start waits for the disk."""
        if self._attempts.is_empty or self._starts.is_pending:
            return
        singles, counted = self._attempts.take_due(self._clock.now(), is_last=is_last)
        actors, self._actors = self._actors, []
        if self._writer.problem:
            return  # nothing is written any more; the log has each refusal
        for attempt, actor in zip(singles, actors, strict=True):
            self._write([attempt], actor)
        if counted:
            self._write(counted, SIDECAR)

    def _write(self, attempts: list[AttemptRefused], actor: Actor) -> None:
        writer = self._writer
        writer.catch_up()
        writer.write(KIND, actor, lambda: note_refused(writer.state, attempts, writer.conditions))


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_LENGTH_MAX else text[: TEXT_LENGTH_MAX - 4] + " ..."
