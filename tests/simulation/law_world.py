"""A sidecar's core behind its front door, told one moment after the other, for the laws.

Rules:
- Only the front door is used: begin, execute, prepare, replay, next_due, and the views.
- What is due runs first, as a record of its own, as the service does it.
- A law is tried on a liar too: a `Core` whose `execute` or journal is wrong in one way.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Final

import orjson

from sidecar.core import configuration, engine, views
from sidecar.core.answers import OpenOrder, OrderDecision, PositionView, StatusView
from sidecar.core.calendar import UtcCalendar
from sidecar.core.commands import (
    CheckOrder,
    EaseKill,
    ReportAccount,
    ReportKind,
    ReportTrade,
    ResetAll,
    ResetBreaker,
    ResetKill,
    StartingCommand,
    Tick,
)
from sidecar.core.denial import CallRefused
from sidecar.core.events import Event, decode_event, encode_event
from sidecar.core.judgement import Conditions
from sidecar.core.snapshot import from_parts, to_parts
from sidecar.core.state import OrderRecord, State, to_plain
from sidecar.core.thresholds import Thresholds
from sidecar.core.turn import Outcome

SECOND: Final = 1_000_000_000
DAY: Final = 86_400 * SECOND
NOON: Final = 1_704_283_200 * SECOND
"""2024-01-03 12:00 UTC, a Wednesday."""

STARTS: Final = (ResetKill, EaseKill, ResetBreaker, ResetAll)


def worlds(count: int, *, first: int = 0) -> range:
    """Return the seeds of `count` worlds; LAWS=10 looks at ten times as many."""
    return range(first, first + count * int(os.environ.get("LAWS", "1")))


def report_on(
    record: OrderRecord, kind: ReportKind, report_id: str, **fields: object
) -> ReportTrade:
    """Return a report on an order, in its own book and on its own side."""
    report = ReportTrade(
        report_id=report_id,
        order_id=record.order_id,
        strategy=record.strategy,
        symbol=record.symbol,
        side=record.side,
        kind=kind,
    )
    return replace(report, **fields)  # type: ignore[arg-type] # fields by name


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One command at one instant; a tuple of orders stands or falls together.

    `as_of` counts moments: a complete account report had seen the records of the moments before.
    """

    now: int
    command: object
    store_problem: bool = False
    store_low: bool = False
    as_of: int | None = None


class Core:
    """The front door as it is."""

    def execute(self, state: State, command: object, conditions: Conditions) -> Outcome:
        """Decide about a command, or about a batch that stands or falls together."""
        if isinstance(command, tuple):
            return engine.execute_all_or_none(state, command, conditions)
        return engine.execute(state, command, conditions)

    def prepare(
        self, state: State, command: StartingCommand, conditions: Conditions
    ) -> tuple[list[Event], Any]:
        """Decide about a start."""
        return engine.prepare(state, command, conditions)

    def journalled(self, events: list[Event]) -> list[Event]:
        """Return what of the events reaches the journal: all."""
        return events


@dataclass(slots=True)
class World:
    """One sidecar: its state, its journal, and the sequence it had after each moment."""

    thresholds: Thresholds
    now: int = NOON
    core: Core = field(default_factory=Core)
    state: State = field(default_factory=State)
    sequence: int = 0
    journal: list[bytes] = field(default_factory=list)
    sequences: list[int] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    conditions: Conditions = field(default_factory=Conditions)

    def __post_init__(self) -> None:
        self.configure(self.thresholds)

    def configure(self, thresholds: Thresholds) -> None:
        """Put thresholds in force, at the start or while running."""
        self.thresholds = thresholds
        config_hash = sha256(repr(thresholds).encode()).hexdigest()
        self._turn(
            lambda state, conditions: configuration.configure(
                state, thresholds, config_hash, conditions
            )
        )

    def do(self, moment: Moment) -> Any:  # noqa: ANN401 - each command has its own answer
        """Tell one moment; return the answer, or the refusal."""
        self.arrive(moment)
        return self.ask(self.resolved(moment))

    def arrive(self, moment: Moment) -> None:
        """Let time pass until the moment, and do what is due by then."""
        self.now = max(self.now, moment.now)
        self.conditions = Conditions(
            store_problem="full" if moment.store_problem else None,
            store_low=moment.store_low,
            calendar=UtcCalendar(),
        )
        self.tick()

    def ask(self, command: object) -> Any:  # noqa: ANN401 - each command has its own answer
        """Tell a command now, under the conditions of the last moment, as a moment of its own."""
        self.tick()
        answer = self._tell(command)
        self.sequences.append(self.sequence)
        return answer

    def dry(self, order: CheckOrder) -> OrderDecision:
        """Ask without leaving a trace; a refusal is not expected."""
        answer = self._tell(replace(order, dry_run=True))
        assert isinstance(answer, OrderDecision), answer
        return answer

    def tick(self) -> None:
        """Do what is due, as the service does before anything else."""
        while self.now >= engine.next_due(self.state):
            self._tell(Tick())

    def resolved(self, moment: Moment) -> object:
        """Return the command with the sequence it had seen, where it names a moment."""
        command = moment.command
        if moment.as_of is not None and isinstance(command, ReportAccount):
            seen = self.sequences[moment.as_of - 1] if moment.as_of > 0 else 1
            return replace(command, as_of_sequence=min(seen, self.sequence))
        return command

    def _tell(self, command: object) -> Any:  # noqa: ANN401 - each command has its own answer
        self._begin()
        try:
            if isinstance(command, STARTS):
                return self._start(command)
            outcome = self.core.execute(self.state, command, self.conditions)
        except CallRefused as refused:
            self._note([])
            return refused
        self._note(outcome.events)
        return outcome.answer if outcome.refused is None else outcome.refused

    def _start(self, command: StartingCommand) -> Any:  # noqa: ANN401 - the answer to a start
        self._write_folds()
        self._begin()
        events, moves = self.core.prepare(self.state, command, self.conditions)
        self._note(events)
        if events:
            engine.replay(self.state, self.sequence, self.now, events)
        return engine.start_answer(self.state, changed=bool(events), moves=moves)

    def _write_folds(self) -> None:
        """Write what was folded so far, as the service does before a start and a stop."""
        self._begin()
        self._note(engine.write_folds(self.state))

    def _turn(self, decide: Callable[[State, Conditions], Outcome]) -> None:
        self._begin()
        self._note(decide(self.state, self.conditions).events)

    def _begin(self) -> None:
        engine.begin(self.state, self.sequence + 1, self.now)

    def _note(self, events: list[Event]) -> None:
        self.events = list(events)
        if not events:
            self.state.last_sequence = self.sequence
            return
        self.sequence += 1
        kept = [encode_event(event) for event in self.core.journalled(self.events)]
        self.journal.append(orjson.dumps([self.sequence, self.state.now, kept]))

    # -- looking and copying ---------------------------------------------------------------------

    def copy(self) -> "World":
        """Return another sidecar in the same state, with its own future."""
        other = copy(self)
        other.state = deepcopy(self.state, {id(self.thresholds): self.thresholds})
        other.journal, other.sequences = list(self.journal), list(self.sequences)
        return other

    def status(self) -> StatusView:
        """Return everything a person may ask."""
        return views.status(self.state, self.now, self.conditions)

    def books(self) -> dict[tuple[str, str], PositionView]:
        """Return what is held and working, by (strategy, symbol)."""
        return {(view.strategy, view.symbol): view for view in self.status().limits.positions}

    def orders(self) -> list[OpenOrder]:
        """Return the orders that hold reservations."""
        return views.list_orders(self.state, None, None, self.now)

    def plain(self) -> list[Any]:
        """Return all that is remembered, as a call without a record would leave it."""
        self._write_folds()
        self._begin()
        self.state.last_sequence = self.sequence
        return to_plain(self.state)

    def replayed(self) -> "World":
        """Return the sidecar a start would find: its journal folded into an empty state."""
        self._write_folds()
        other = World(self.thresholds, core=self.core)
        other.state, other.journal = State(), list(self.journal)
        other.sequences, other.conditions = list(self.sequences), self.conditions
        for line in self.journal:
            sequence, now, events = orjson.loads(line)
            engine.replay(other.state, sequence, now, [decode_event(event) for event in events])
        other.sequence, other.now = self.sequence, self.now
        return other

    def restored(self) -> "World":
        """Return the sidecar a start from a snapshot would find."""
        other = self.replayed()
        lines = [orjson.dumps(part) for part in to_parts(self.state)]
        other.state = from_parts(orjson.loads(line) for line in lines)
        return other


def retell(
    thresholds: Thresholds,
    history: Sequence[Moment],
    core: Core | None = None,
    start: int | None = None,
) -> Iterator[tuple[World, Any]]:
    """Tell a history to a fresh sidecar; yield it with the answer to each moment."""
    world = World(thresholds, now=NOON if start is None else start, core=core or Core())
    for moment in history:
        answer = world.do(moment)
        yield world, answer
