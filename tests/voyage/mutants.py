"""Changes a tired hand might make to the shell; each must be caught by the voyages.

Rules:
- A mutant replaces one method of the product in a process that sails voyages, never in a file.
- `SEEDS` names for each a seed that catches it; the unchanged product passes the same seed.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest.mock import patch

from sidecar.core import engine
from sidecar.core.commands import CheckOrder
from sidecar.core.turn import Outcome
from sidecar.service.orders import Orders
from sidecar.service.refusals import cannot_start
from sidecar.service.starts import Starts
from sidecar.service.stops import Stops
from sidecar.service.writer import Writer
from sidecar.store.errors import StoreError, StorePoisonedError
from sidecar.store.group_sync import GroupSync
from sidecar.store.sqlite_writer import SqliteWriter
from sidecar.store.watermark import Watermark

Change = Callable[[ExitStack], None]


def _put(stack: ExitStack, owner: Any, name: str, new: object) -> None:  # noqa: ANN401 - any class
    stack.enter_context(patch.object(owner, name, new))


def _ack_before_sync(stack: ExitStack) -> None:
    """Whatever waits for the disk is answered when it is written; the sync comes later."""

    async def sync(self: Writer, sequence: int) -> None:
        del sequence
        if self.problem:
            raise StorePoisonedError(self.problem)
        self._store.request_sync()

    _put(stack, Writer, "sync", sync)


def _apply_after_answer(stack: ExitStack) -> None:
    """An order is answered from a copy; its events reach the books a moment later."""
    decide = Writer.decide

    def late(self: Writer, command: object, actor: Any) -> Outcome:  # noqa: ANN401 - as decide
        if not isinstance(command, CheckOrder) or command.dry_run or self.problem:
            return decide(self, command, actor)
        books = self.state
        self.state = copy.deepcopy(books)
        try:
            outcome = decide(self, command, actor)
            sequence, now = self.state.last_sequence, self.state.now
        finally:
            self.state = books
        if outcome.events:
            books.last_sequence = sequence
            asyncio.get_running_loop().call_later(0.001, _apply_late, self, now, outcome.events)
        return outcome

    _put(stack, Writer, "decide", late)


def _apply_late(writer: Writer, now: int, events: Any) -> None:  # noqa: ANN401 - a list of events
    state = writer.state
    engine.replay(state, state.last_sequence, max(now, state.now), events)


def _retry_after_eio(stack: ExitStack) -> None:
    """A sync that failed is tried again, and the second one says yes (S12.3)."""
    sync_disk = SqliteWriter.sync_disk

    def again(self: SqliteWriter) -> None:
        try:
            sync_disk(self)
        except OSError:
            sync_disk(self)

    _put(stack, SqliteWriter, "sync_disk", again)


def _kill_before_durable(stack: ExitStack) -> None:
    """A kill is acknowledged as durable when it is written."""

    async def try_sync(self: Stops, sequence: int) -> bool:
        del sequence
        self._writer._store.request_sync()  # noqa: SLF001 - the seam of this mutant
        return True

    _put(stack, Stops, "_try_sync", try_sync)


def _epoch_not_looked_at_again(stack: ExitStack) -> None:
    """An approval that waited for the disk is given out whatever happened meanwhile."""
    may_give_out = Orders._may_give_out  # noqa: SLF001 - the seam of this mutant

    async def whatever_happened(self: Orders, decisions: Any) -> bool:  # noqa: ANN401 - as it is
        is_right = await may_give_out(self, decisions)
        return is_right or not self._writer.problem

    _put(stack, Orders, "_may_give_out", whatever_happened)


def _start_before_durable(stack: ExitStack) -> None:
    """A reset is effective at once, and made durable afterwards, with the gate open."""

    async def open_gate(self: Starts, pending: Any) -> Any:  # noqa: ANN401 - as the original
        if not pending.is_applied:
            self._make_effective(pending)
        try:
            await self._writer.sync(pending.sequence)
        except StoreError as error:
            raise cannot_start(str(error)) from error
        return pending.answer

    _put(stack, Starts, "_complete", open_gate)


def _poison_not_noted(stack: ExitStack) -> None:
    """A poisoned store does not tell the next start."""

    def note(self: Watermark, *, is_poisoned: bool) -> None:
        del self, is_poisoned

    _put(stack, Watermark, "set_poisoned", note)


def _sync_covers_what_came_later(stack: ExitStack) -> None:
    """A sync is taken to cover what was written while it ran."""

    def on_synced(self: GroupSync) -> None:
        if self._poisoned is None:
            self.durable_sequence = self._last_sequence()
            for waiter in self._running_waiters + self._next_waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._running_waiters, self._next_waiters = [], []

    _put(stack, GroupSync, "_on_synced", on_synced)


MUTANTS: Final[dict[str, Change]] = {
    "ack before sync": _ack_before_sync,
    "apply after answer": _apply_after_answer,
    "retry after EIO": _retry_after_eio,
    "kill acknowledged before it is durable": _kill_before_durable,
    "epoch not looked at again": _epoch_not_looked_at_again,
    "start effective before it is durable": _start_before_durable,
    "poison not noted": _poison_not_noted,
    "a sync covers what came later": _sync_covers_what_came_later,
}


SEEDS: Final = {
    "ack before sync": 3,
    "apply after answer": 1,
    "retry after EIO": 26,
    "kill acknowledged before it is durable": 4,
    "epoch not looked at again": 1,
    "start effective before it is durable": 95,
    "poison not noted": 4,
    "a sync covers what came later": 4,
}
"""A seed that catches each."""
RULES: Final = {
    "ack before sync": ("S12.1", "S12.3", "S12.4"),
    "apply after answer": ("S3", "S4", "S6", "S12.1", "no exception"),
    "retry after EIO": ("S12.1", "S12.3", "S12.4"),
    "kill acknowledged before it is durable": ("S12.1", "S12.3", "S6"),
    "epoch not looked at again": ("S4.7",),
    "start effective before it is durable": ("S10.3", "S3", "S4", "S12"),
    "poison not noted": ("S12.4",),
    "a sync covers what came later": ("S12.1",),
}
"""The rules one of which each must be seen to break."""


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """Change the product of this process; the empty name changes nothing."""
    with ExitStack() as stack:
        if name:
            MUTANTS[name](stack)
        yield
