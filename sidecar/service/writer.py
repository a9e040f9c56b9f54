"""The single writer: decide, append, apply; and what holds when that fails (S12.1, S12.3).

Rules:
1. Nothing that decides awaits: a caller that is cancelled finds a decision whole or not taken.
2. The record of a decision is written in the same turn of the loop that took it.
3. A record that could not be written leaves memory ahead of the disk. From there on nothing is
   written, every decision is told `store_problem`, and a restart replays what is true.
4. An exception nobody foresaw may have left half a decision behind: from there on every order is
   denied until a restart replays the journal, which never saw that half.
5. A sequence is used up only by a record: what changed nothing has the sequence before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter_ns
from typing import Any, Final, Protocol, TypeAlias

from sidecar.clock import Clock
from sidecar.core import engine
from sidecar.core.answers import AccountAnswer, ApiErrorAnswer, StartAnswer, TradeAnswer
from sidecar.core.calendar import Calendar
from sidecar.core.commands import CheckOrder, Tick
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.core.events import (
    BreakerOpened,
    ConfigurationApplied,
    Event,
    KillActivated,
)
from sidecar.core.judgement import Conditions
from sidecar.core.state import State
from sidecar.core.turn import Outcome
from sidecar.service.callers import SIDECAR, Actor
from sidecar.service.changes import Changes
from sidecar.service.records import encode_record
from sidecar.service.transitions import IN_JOURNAL
from sidecar.store.errors import StoreError, StorePoisonedError
from sidecar.store.store import Store
from sidecar.telemetry import Signals
from sidecar.telemetry.tracing import CURRENT, Trace

BROKEN_REFUSAL: Final = "INVARIANT_BROKEN"
WAY_OUT_BROKEN: Final = "restart it, which replays the journal; then report the fault with its log"

Decide: TypeAlias = Callable[[State, Any, Conditions], Outcome]
"""Decides about a command on the state and applies what follows, as `engine.execute` does."""

TOLD: Final = frozenset(IN_JOURNAL)
"""Events that people are told of; one look for each event, on the path of every order."""


class Told(Protocol):
    """Who is told what people are to be told of (`outbox.py`). It neither waits nor raises."""

    def note(self, sequence: int, time: int, actor: Actor, events: Sequence[Event]) -> None:
        """Take the events of a record, which are effective, and perhaps not durable yet."""

    def note_poisoned(self, why: str) -> None:
        """Take that nothing is written from here on."""

    def note_damaged(self, why: str, way_out: str) -> None:
        """Take that every order is denied from here on."""


class Writer:
    """Owns the state; everything that changes it goes through here."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        state: State,
        calendar: Calendar,
        changes: Changes,
        signals: Signals,
    ) -> None:
        """`state` is the replay of `store`, and `clock` was started at its time."""
        self.state = state
        self.conditions = Conditions(calendar=calendar)
        self.signals = signals
        self.must_be_durable_sequence = 0
        self.epoch_sequence = 0
        """Record of the newest kill; an approval after it waits for it."""
        self.written_bytes = 0
        """Of records, by this process."""
        self._store = store
        self._clock = clock
        self._changes = changes
        self._unwritten: list[tuple[int, bytes]] = []
        self._lost = ""
        self._now = state.now
        self._start_actor = SIDECAR
        self.outbox: Told | None = None
        self.refresh_conditions()

    @property
    def problem(self) -> str:
        """Say why nothing is written any more; empty while all is well."""
        return self._lost or self._store.poisoned or ""

    def refresh_conditions(self) -> None:
        """Tell the core what is wrong with the store; cheap, done before every decision."""
        problem = self.problem or None
        if problem != self.conditions.store_problem:
            self.conditions.store_problem = problem
            self._changes.bump()
            if self.outbox is not None and problem is not None:
                self.outbox.note_poisoned(problem)

    def mark_damaged(self, why: str, way_out: str = WAY_OUT_BROKEN) -> None:
        """Deny every order from here on: the books cannot be believed (S12.4)."""
        if self.conditions.damage is None:
            self.conditions.damage = why
            self.conditions.damage_way_out = way_out
            self._changes.bump()
            if self.outbox is not None:
                self.outbox.note_damaged(why, way_out)

    def decide(self, command: object, actor: Actor) -> Outcome:
        """Decide, apply and write; raises CallRefused where nothing changed."""
        self.catch_up()
        return self._write_turn(type(command).__name__, actor, engine.execute, command)

    def decide_unwritten(self, command: object, actor: Actor) -> Outcome:
        """Decide about one item of a batch; `catch_up` comes before all, `flush` after."""
        return self._take_turn(type(command).__name__, actor, engine.execute, command)

    def decide_all_or_none(self, orders: Sequence[CheckOrder], actor: Actor) -> Outcome:
        """Decide about a batch that stands or falls together, as one record."""
        self.catch_up()
        return self._write_turn("CheckOrders", actor, engine.execute_all_or_none, orders)

    def decide_by(self, judge: Decide, command: object, kind: str, actor: Actor) -> Outcome:
        """As `decide`, by another judge of the core than `engine.execute`."""
        self.catch_up()
        return self._write_turn(kind, actor, judge, command)

    def catch_up(self) -> None:
        """Read `now`, journal a clock jump and do what fell due: the next command meets today.

        Never raises: a stop must not fail because a release or a new day did.
        """
        self.refresh_conditions()
        now = self._now = self._clock.now()
        jump_ns = self._clock.take_jump()
        try:
            if jump_ns:
                self._take_turn("ClockJump", SIDECAR, engine.note_clock_jump, jump_ns)
            if now >= engine.next_due(self.state):
                self._take_turn("Tick", SIDECAR, engine.execute, Tick())
        except Exception as error:  # noqa: BLE001 - whatever it was, a stop must still be taken
            self.mark_damaged(f"what fell due could not be done: {error}")

    def write(self, kind: str, actor: Actor, decide: Callable[[], Outcome]) -> Outcome:
        """Take a turn of the start itself, before anything can have fallen due."""
        self._now = self._clock.now()
        return self._write_turn(kind, actor, lambda *_: decide(), None)

    def mark(self, kind: str, actor: Actor) -> None:
        """Write a record without events: the state right behind it is exactly its replay.

        Looking at the clock moves `now` and lets approvals expire without leaving a record, so a
        snapshot is taken behind a mark.
        """
        self.catch_up()
        sequence = self.state.last_sequence + 1
        engine.begin(self.state, sequence, self._now)
        folds = engine.write_folds(self.state)
        self._encode(sequence, self.state.now, kind, actor, folds)
        self.flush()

    def write_folds(self) -> None:
        """Write what was folded so far: starts are decided on the journal, a stop leaves none."""
        if self.state.folds_waiting is not None:
            self.mark("Fold", SIDECAR)

    def open_turn(self) -> tuple[int, int]:
        """Begin a turn whose events are decided now and applied later; its sequence and time."""
        self.catch_up()
        self.flush()
        self.write_folds()
        sequence = self.state.last_sequence + 1
        engine.begin(self.state, sequence, self._now)
        self.state.last_sequence = sequence - 1
        return sequence, self.state.now

    def append(
        self, sequence: int, time: int, kind: str, actor: Actor, events: Sequence[Event]
    ) -> None:
        """Write a record whose events are not applied yet; `apply` follows when it is durable."""
        self._start_actor = actor
        self._encode(sequence, time, kind, actor, events)
        self.flush()

    def apply(self, sequence: int, time: int, events: Sequence[Event]) -> None:
        """Make the events of `append` effective."""
        engine.replay(self.state, sequence, time, events)
        self._changes.bump(self.state.stop_epoch)
        if self.outbox is not None:
            self.outbox.note(sequence, time, self._start_actor, events)

    def flush(self) -> None:
        """Write what is decided and not yet written; a failure is remembered (rule 3)."""
        records = self._unwritten
        if not records:
            return
        self._unwritten = []
        if self.conditions.store_problem is not None:
            return
        try:
            self._store.append(records)
        except StoreError as error:
            self._lost = self._store.poisoned or f"a record could not be written: {error}"
            self.refresh_conditions()
        for _, record in records:
            self.written_bytes += len(record)

    async def sync(self, sequence: int) -> None:
        """Return once the records up to `sequence` are power-durable; StoreError where never."""
        if self.problem:
            raise StorePoisonedError(self.problem)
        begun = perf_counter_ns()
        try:
            await self._store.sync(sequence)
        except StoreError:
            self.refresh_conditions()
            raise
        self.signals.durable_duration.record(perf_counter_ns() - begun)
        trace = CURRENT.get()
        if trace is not None:
            trace.part("durable", begun)

    def _write_turn(self, kind: str, actor: Actor, decide: Decide, command: object) -> Outcome:
        trace = CURRENT.get()
        if trace is not None:
            return self._write_traced(trace, kind, actor, decide, command)
        try:
            return self._take_turn(kind, actor, decide, command)
        finally:
            self.flush()

    def _write_traced(
        self, trace: Trace, kind: str, actor: Actor, decide: Decide, command: object
    ) -> Outcome:
        try:
            outcome: Outcome = trace.timed("decide", self._take_turn, kind, actor, decide, command)
            trace.decided(outcome.answer)
            return outcome
        finally:
            trace.timed("append", self.flush)

    def _take_turn(self, kind: str, actor: Actor, decide: Decide, command: object) -> Outcome:
        """Decide and apply under the next sequence, and keep the record for `flush`."""
        state = self.state
        sequence = state.last_sequence + 1
        engine.begin(state, sequence, self._now)
        time = state.now
        self.conditions.peer = actor.peer
        try:
            outcome = decide(state, command, self.conditions)
        except CallRefused:
            state.last_sequence = sequence - 1
            raise
        except Exception as error:
            state.last_sequence = sequence - 1
            self.mark_damaged(_broken_text(kind, error))
            raise CallRefused(
                ErrorCode.INTERNAL, BROKEN_REFUSAL, _broken_text(kind, error)
            ) from error
        events = outcome.events
        if not events:
            state.last_sequence = sequence - 1
            _correct_sequence(outcome, sequence - 1)
            return outcome
        for event in events:
            if event.__class__ in TOLD:
                self._tell(sequence, time, actor, events)
                break
        try:
            self._encode(sequence, time, kind, actor, events)
        except (TypeError, ValueError) as error:
            self._lost = f"record {sequence} ({kind}) could not be encoded: {error}"
            self.refresh_conditions()
        self._changes.bump(state.stop_epoch)
        return outcome

    def _tell(self, sequence: int, time: int, actor: Actor, events: Sequence[Event]) -> None:
        """Hand on what people are told of, and note what must be durable before what follows."""
        for event in events:
            if event.__class__ is BreakerOpened:
                self.must_be_durable_sequence = sequence
                self.signals.trips.add(event.cause)
            elif event.__class__ is KillActivated:
                self.epoch_sequence = sequence
        if self.outbox is not None:
            self.outbox.note(sequence, time, actor, events)

    def _encode(
        self, sequence: int, time: int, kind: str, actor: Actor, events: Sequence[Event]
    ) -> None:
        if self.conditions.store_problem is not None:
            return
        record = encode_record(
            sequence=sequence,
            time=time,
            kind=kind,
            actor=actor,
            events=events,
            config_hash=_hash_after(events) or self.state.config_hash,
        )
        self._unwritten.append((sequence, record))


def _hash_after(events: Sequence[Event]) -> str:
    """Return the configuration that a record puts in force, applied by now or not."""
    applied = (event for event in events if event.__class__ is ConfigurationApplied)
    return next((event.config_hash for event in applied), "")


def _broken_text(kind: str, error: Exception) -> str:
    return (
        f"{kind} broke an invariant ({type(error).__name__}: {error}); every order is denied until "
        "a restart replays the journal"
    )


def _correct_sequence(outcome: Outcome, sequence: int) -> None:
    """Give an answer that left no record the sequence of the newest one (rule 5)."""
    answer = outcome.answer
    if isinstance(answer, (TradeAnswer, ApiErrorAnswer, AccountAnswer, StartAnswer)):
        outcome.answer = replace(answer, sequence=sequence)
