"""What is still to be told to each target: the journal is the outbox, a cursor says how far it got.

Rules:
1. A cursor moves past a transition only when that was delivered or given up, and is kept in the
   store: a crash in between has it told again, never forgotten.
2. Deciding pays for transitions alone: the writer hands each over as a value. What this process
   has not seen happen is read from the journal, a few records in a turn of the loop.
3. Nothing is told before it is power-durable, unless the disk refuses it: then what stops is told
   all the same, as not durable, and what starts is not.
4. Everything is bounded: beyond `SEEN_COUNT_MAX` transitions in memory the oldest are read from the
   journal again when their turn comes.
5. A target that was not known before is told what happens from this start on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.config.outgoing_sections import TransitionType
from sidecar.core.answers import TradingMode
from sidecar.core.events import Event
from sidecar.core.turn import trading_mode
from sidecar.service.callers import Actor
from sidecar.service.records import RecordError
from sidecar.service.transitions import (
    BooksDamaged,
    StorePoisoned,
    Transition,
    transitions_in,
    transitions_of,
)
from sidecar.service.writer import Writer
from sidecar.store.errors import StoreDamagedError, StoreError
from sidecar.store.store import ChainedRecord, Store

LOG: Final = logging.getLogger(__name__)

META_CURSORS: Final = "outgoing.cursors"
SEEN_COUNT_MAX: Final = 1_000
READ_COUNT: Final = 32
"""How many records are looked through in one turn of the loop: well under a millisecond."""
PAUSES_PER_READ: Final = 3
"""So many times as long as it took to read is waited before more is read."""
RECORDS_BETWEEN_SAVES: Final = 5_000
"""A cursor that passed this many records with nothing to tell is kept all the same."""
PAUSE_SECONDS: Final = 1.0
"""How often a cursor with nothing to tell moves on."""

Cursor = tuple[int, int]
"""Sequence and index of the last event that is done with."""
WHOLE: Final = 1 << 30
"""The index of a cursor that is done with a whole record; what stands in none comes behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """What trading is as of this instant."""

    trading_mode: TradingMode
    stop_epoch: int


class Outbox:
    """The transitions of one store, and how far each target was told."""

    def __init__(self, writer: Writer, store: Store, name: str) -> None:
        """Nothing is kept until a feed is there. This process wrote nothing to `store` yet.

        `name` is the sidecar's. `seen` holds all there is to tell after `seen_after`.
        """
        self.name = name
        self.store = store
        self.seen: list[Transition] = []
        self.seen_after: Cursor = (store.last_sequence, WHOLE)
        self.left_out_count = 0
        """Of what no journal holds, beyond the bound."""
        self._writer = writer
        self._began: Cursor = self.seen_after
        self._kept = _read_cursors(store)
        self._feeds: dict[str, Feed] = {}
        self._unwritten_count = 0
        self.reading = asyncio.Lock()
        """One feed reads the journal at a time."""
        writer.outbox = self

    def feeds(self, targets: Mapping[str, frozenset[TransitionType]]) -> list[Feed]:
        """Return what is to be told to each target; asked once, before the service starts.

        The cursor of a new one is kept at once, so that it lies before whatever this process
        writes; that of a target which is not there any more is forgotten.
        """
        for name, kinds in targets.items():
            # A cursor beyond the journal is of records that were lost: it says nothing of new ones.
            cursor = min(self._kept.get(name, self._began), self._began)
            self._feeds[name] = Feed(self, name, kinds, cursor)
        self.save()
        return list(self._feeds.values())

    @property
    def now(self) -> Now:
        """What trading is as of this instant."""
        state = self._writer.state
        mode = trading_mode(state, self._writer.conditions)
        return Now(trading_mode=mode, stop_epoch=state.stop_epoch)

    # What the writer tells: in the turn that decides, so nothing waits and nothing is raised.

    def note(self, sequence: int, time: int, actor: Actor, events: Sequence[Event]) -> None:
        """Take what a record tells people; effective, and perhaps not durable yet."""
        if self._feeds:
            self._keep(transitions_of(sequence, time, actor, events))

    def note_poisoned(self, why: str) -> None:
        """Take that the store refuses writes from here on."""
        self._note_unwritten(TransitionType.STORE_POISONED, StorePoisoned(why=why))

    def note_damaged(self, why: str, way_out: str) -> None:
        """Take that every order is denied, because the books cannot be believed."""
        if self._writer.state.last_sequence > self._began[0]:  # else the start itself tells it
            self._note_unwritten(
                TransitionType.BOOKS_DAMAGED, BooksDamaged(why=why, way_out=way_out)
            )

    def _note_unwritten(self, kind: TransitionType, event: StorePoisoned | BooksDamaged) -> None:
        """Take what stands in no record; its place is behind the newest one."""
        if not self._feeds:
            return
        state = self._writer.state
        self._unwritten_count += 1
        transition = Transition(
            sequence=state.last_sequence,
            index=WHOLE + self._unwritten_count,
            time=state.now,
            kind=kind,
            event=event,
        )
        self._keep((transition,))

    def _keep(self, transitions: Sequence[Transition]) -> None:
        for transition in transitions:
            if len(self.seen) >= SEEN_COUNT_MAX and not self._make_room():
                self.left_out_count += 1
                continue
            self.seen.append(transition)
        for feed in self._feeds.values():
            feed.wake()

    def _make_room(self) -> bool:
        """Forget the oldest if the journal holds it; say whether there is room now."""
        oldest = self.seen[0]
        is_kept = oldest.is_in_journal and oldest.sequence <= self.store.durable_sequence
        if self.is_refusing and not is_kept:
            return False
        del self.seen[0]
        self.seen_after = oldest.place
        return True

    # What the feeds ask.

    @property
    def is_refusing(self) -> bool:
        """Whether the store takes no writes: what is not durable now never will be."""
        return bool(self._writer.problem)

    @property
    def durable_sequence(self) -> int:
        """The newest record that is power-durable and whose transitions were noted.

        A reset is durable a moment before it is effective, and is noted when it is effective.
        """
        store = self.store
        return min(store.durable_sequence, store.last_sequence, self._writer.state.last_sequence)

    def save(self) -> None:
        """Keep every cursor, process-durable: a loss of power has a little told again."""
        cursors = {name: feed.cursor for name, feed in self._feeds.items()}
        self._forget(min(cursors.values(), default=self.seen_after))
        if cursors == self._kept or self.store.poisoned is not None:
            return
        try:
            self.store.meta_set(META_CURSORS, json.dumps(cursors))
        except StoreError as error:
            LOG.warning("how far webhooks were sent could not be kept, and repeats: %s", error)
            return
        self._kept = dict(cursors)

    def kept_sequence(self, name: str) -> int:
        """Return where a start would begin to read for this target."""
        return self._kept.get(name, self._began)[0]

    def _forget(self, through: Cursor) -> None:
        """Forget what every target is done with."""
        count = bisect_right(self.seen, through, key=_place)
        if count:
            self.seen_after = self.seen[count - 1].place
            del self.seen[:count]


class Feed:
    """What one target is still to be told, in order."""

    def __init__(
        self, outbox: Outbox, name: str, kinds: frozenset[TransitionType], cursor: Cursor
    ) -> None:
        """Told are transitions of `kinds` after `cursor`."""
        self.name = name
        self.cursor = cursor
        self._outbox = outbox
        self._kinds = kinds
        self._looked: Cursor = cursor
        self._read: deque[Transition] = deque()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There may be something new."""
        self._woken.set()

    @property
    def pending_count(self) -> int:
        """How many are known to wait, the one under way included."""
        seen = self._outbox.seen
        begin = bisect_right(seen, self._looked, key=_place)
        waiting = sum(transition.is_wanted(self._kinds) for transition in seen[begin:])
        return len(self._read) + waiting

    @property
    def is_behind(self) -> bool:
        """Whether older ones are still to be read from the journal."""
        return self._looked < self._outbox.seen_after

    async def next(self) -> tuple[Transition, bool]:
        """Return the next one and whether it is power-durable; the same again until `done`."""
        while True:
            while not self._read and self.is_behind:
                async with self._outbox.reading:
                    await self._read_some()
            told = self._read[0] if self._read else self._next_seen()
            if told is None:
                await self._wait()
                continue
            if not told.is_in_journal:
                return self._hold(told), False
            if told.sequence <= self._outbox.durable_sequence:
                return self._hold(told), True
            if not self._outbox.is_refusing:
                await self._wait_durable(told.sequence)
            elif told.is_start:
                self._pass_over(told)
            else:
                return self._hold(told), False

    def done(self, told: Transition) -> None:
        """Move the cursor past what `next` returned: it was delivered, or given up."""
        if self._read and self._read[0] is told:
            self._read.popleft()
        self.cursor = max(self.cursor, told.place)
        self._follow()
        self._outbox.save()

    def _hold(self, told: Transition) -> Transition:
        """Keep it at the head until it is done with, whatever is forgotten meanwhile."""
        if not self._read:
            self._read.append(told)
            self._looked = told.place
        return told

    def _pass_over(self, told: Transition) -> None:
        self._hold(told)
        self._read.popleft()
        self.cursor = max(self.cursor, told.place)

    def _next_seen(self) -> Transition | None:
        seen = self._outbox.seen
        for at in range(bisect_right(seen, self._looked, key=_place), len(seen)):
            if seen[at].is_wanted(self._kinds):
                return seen[at]
        return None

    async def _wait(self) -> None:
        """Return when there may be something new; meanwhile the cursor moves on."""
        self._woken.clear()
        self._move_on()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PAUSE_SECONDS):
                await self._woken.wait()

    def _move_on(self) -> None:
        """Have a start read no further back than it must; nothing waits here."""
        outbox = self._outbox
        end = (outbox.durable_sequence, WHOLE)
        if outbox.is_refusing or end <= self._looked:
            return
        self._looked = end
        self._follow()
        if self.cursor[0] - outbox.kept_sequence(self.name) >= RECORDS_BETWEEN_SAVES:
            outbox.save()

    def _follow(self) -> None:
        """Where nothing that was looked at is left, all of it is done with."""
        if not self._read:
            self.cursor = max(self.cursor, self._looked)

    async def _wait_durable(self, sequence: int) -> None:
        try:
            await self._outbox.store.sync(sequence)
        except StoreError:
            await asyncio.sleep(0)
            if not self._outbox.is_refusing:
                raise
            return
        if sequence > self._outbox.durable_sequence:
            await asyncio.sleep(0)

    # Reading the journal.

    async def _read_some(self) -> None:
        """Look through the next few records before those that were seen to happen."""
        outbox, begun = self._outbox, asyncio.get_running_loop().time()
        sequence = self._looked[0] + (self._looked[1] >= WHOLE)
        base, last = outbox.store.base.size, outbox.seen_after[0]
        if sequence <= base:
            LOG.warning(
                "webhook %s: the records up to %d were exported and dropped; what they tell is "
                "not sent",
                self.name,
                base,
            )
            self._looked = (base, WHOLE)
            return
        if last > outbox.store.durable_sequence and not outbox.is_refusing:
            await self._wait_durable(last)
            return
        rows = self._read_rows(sequence, min(READ_COUNT, last - sequence + 1))
        for row in rows:
            self._take(row.sequence, row.record)
        self._looked = (rows[-1].sequence, WHOLE) if rows else outbox.seen_after
        self._looked = min(self._looked, outbox.seen_after)
        self._follow()
        # Orders are decided on this loop: catching up with a long absence takes a part of it.
        took = asyncio.get_running_loop().time() - begun
        await asyncio.sleep(took * PAUSES_PER_READ)

    def _read_rows(self, sequence: int, count: int) -> list[ChainedRecord]:
        """Return records from `sequence` on; none where damage begins there, which is logged."""
        try:
            return self._outbox.store.read_chained(sequence, count)
        except StoreDamagedError as error:
            if sequence < error.sequence < sequence + count:
                return self._read_rows(sequence, error.sequence - sequence)
            LOG.warning(
                "webhook %s: the journal cannot be read from record %d on (%s); what was to be "
                "sent from there is not sent",
                self.name,
                error.sequence,
                error.what,
            )
            return []

    def _take(self, sequence: int, record: bytes) -> None:
        try:
            found = transitions_in(record)
        except RecordError as error:
            LOG.warning("webhook %s: record %d %s; not sent", self.name, sequence, error)
            return
        end = self._outbox.seen_after
        self._read.extend(
            transition
            for transition in found
            if self._looked < transition.place <= end and transition.is_wanted(self._kinds)
        )


def _place(transition: Transition) -> Cursor:
    return transition.place


def _read_cursors(store: Store) -> dict[str, Cursor]:
    """Return the cursors that an earlier process kept; none where they cannot be read."""
    text = store.meta_get(META_CURSORS)
    if not text:
        return {}
    try:
        return {str(name): (int(at[0]), int(at[1])) for name, at in json.loads(text).items()}
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        LOG.warning("how far webhooks were sent cannot be read; they begin with this start")
        return {}
