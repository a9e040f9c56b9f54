"""Laws of memory: what is not a record leaves no trace, and what is a record is all there is.

- **Law 9** (S3, S12.5). At any prefix of a history, a sidecar that folds the journal from its
  bytes remembers bit for bit what the running one does, shows the same status, gives the same
  answers to all that follows (sequences and expiry included), and journals the same bytes. So
  does one that starts from the snapshot's bytes, down to the zeros behind the point.
- **Law 10, dry runs** (S4.8). A dry run at any moment changes nothing that is remembered, and a
  history with dry runs between all its moments gets the same answers and journals the same bytes.
- **Law 10, ticks** (S2.2, S7.5). A Tick before anything is due leaves no record and changes
  nothing; a second one behind the first neither. A history whose Ticks come at the very instants
  at which something falls due decides as one whose Ticks wait for the next command: all answers
  are the same but for the sequences of the records in between.
"""

from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from sidecar.core import engine
from sidecar.core.commands import CheckOrder, Tick
from sidecar.core.denial import CallRefused
from sidecar.core.events import Event, OrderDenied, TradeReported
from sidecar.core.judgement import Conditions
from sidecar.core.state import State
from sidecar.core.turn import Outcome
from tests.simulation.law_histories import Draw, live
from tests.simulation.law_transforms import AS_IT_WAS
from tests.simulation.law_world import Core, Moment, World, worlds


def said(answer: Any) -> str:  # noqa: ANN401 - any answer
    """Return an answer whole, a refusal with all its words."""
    if isinstance(answer, CallRefused):
        return f"{answer.code} {answer.reason} {answer.message} {answer.field_faults}"
    return repr(answer)


# -- law 9 -----------------------------------------------------------------------------------------


def hold_law_9(seed: int, steps: int, core: Core | None = None) -> Counter[str]:
    """Start again at some prefixes of a history, and live on beside it."""
    life = live(seed, steps)
    chance = Random(seed)
    world = World(life.thresholds, core=core or Core())
    beside: list[tuple[str, World]] = []
    met: Counter[str] = Counter()
    for at, moment in enumerate(life.history):
        if chance.random() < 0.06:
            beside.append((f"journal at {at}", world.replayed()))
            beside.append((f"snapshot at {at}", world.restored()))
        answer = said(world.do(moment))
        for name, other in beside:
            where = f"seed {seed}, {name}, moment {at}"
            found, expected = said(other.do(moment)), answer
            assert found == expected, where
            met["answers"] += 1
        if chance.random() < 0.2 or moment is life.history[-1]:
            for name, other in beside:
                where = f"seed {seed}, {name}, moment {at}"
                _hold_alike(other, world, where)
                met["states"] += 1
    return met


def _hold_alike(one: World, other: World, where: str) -> None:
    assert one.status() == other.status(), where
    assert one.plain() == other.plain(), where
    assert one.journal == other.journal, where


class LosesDenials(Core):
    """A liar: denials are not journalled, although they count in rates and as duplicates."""

    def journalled(self, events: list[Event]) -> list[Event]:
        """Leave denials out of the journal."""
        return [event for event in events if not isinstance(event, OrderDenied)]


class LosesTrades(Core):
    """A liar: one report in the journal is another than the one applied."""

    def journalled(self, events: list[Event]) -> list[Event]:
        """Leave trade reports out of the journal."""
        return [event for event in events if not isinstance(event, TradeReported)]


def test_a_replay_remembers_and_decides_alike() -> None:
    """Law 9: from the journal or a snapshot, at any prefix, everything goes on bit for bit."""
    met: Counter[str] = Counter()
    for seed in worlds(16, first=9_000):
        met += hold_law_9(seed, 60)
    assert min(met["answers"], met["states"]) > 100, met


@pytest.mark.parametrize("liar", [LosesDenials, LosesTrades])
def test_law_9_sees_an_event_that_is_not_journalled(liar: type[Core]) -> None:
    """Law 9 fails where the journal lacks an event."""
    with pytest.raises(AssertionError, match="seed"):
        _ = [hold_law_9(seed, 60, liar()) for seed in range(9_000, 9_010)]


# -- law 10 ----------------------------------------------------------------------------------------


def hold_dry_runs(seed: int, steps: int, core: Core | None = None) -> Counter[str]:
    """Put dry runs between all moments of a history."""
    life = live(seed, steps)
    world = World(life.thresholds, core=core or Core())
    draw = Draw(Random(seed))
    met: Counter[str] = Counter()
    for at, (moment, answer) in enumerate(zip(life.history, life.answers, strict=True)):
        where = f"seed {seed}, moment {at}"
        for order in _dry_orders(world, draw, moment):
            before = world.plain()
            world.ask(replace(order, dry_run=True))
            world.sequences.pop()
            assert world.plain() == before, f"{where}: {order} left a trace"
            met["dry runs"] += 1
        assert said(world.do(moment)) == said(answer), f"{where}: {moment} after dry runs"
    assert world.journal == life.world.journal, f"seed {seed}"
    return met


def _dry_orders(world: World, draw: Draw, moment: Moment) -> list[CheckOrder]:
    """Return orders to ask about: new ones, and the very order that comes next."""
    orders = [draw.new_order(world)]
    if isinstance(moment.command, CheckOrder):
        orders.append(moment.command)
    return orders


def hold_ticks(seed: int, steps: int, core: Core | None = None) -> Counter[str]:
    """Tick at every instant at which something falls due, and where nothing does."""
    life = live(seed, steps)
    world = World(life.thresholds, core=core or Core())
    met: Counter[str] = Counter()
    for at, (moment, answer) in enumerate(zip(life.history, life.answers, strict=True)):
        where = f"seed {seed}, moment {at}"
        while world.now < (due := engine.next_due(world.state)) <= moment.now:
            world.now = due
            world.tick()
            met["due"] += 1
        _hold_idle(world, where)
        found, expected = AS_IT_WAS.shown(world.do(moment)), AS_IT_WAS.shown(answer)
        assert found == expected, f"{where}: {moment} after ticks in time\n{found}\n{expected}"
    assert world.books() == life.world.books(), f"seed {seed}"
    return met


def _hold_idle(world: World, where: str) -> None:
    if world.now >= engine.next_due(world.state):
        return
    before, records = world.plain(), len(world.journal)
    for _ in range(2):
        world.ask(Tick())
        world.sequences.pop()
        assert len(world.journal) == records, f"{where}: an idle tick left a record"
        assert world.plain() == before, f"{where}: an idle tick changed something"


class DryRunsCount(Core):
    """A liar: a dry run is an order like any other."""

    def execute(self, state: State, command: object, conditions: Conditions) -> Outcome:
        """Forget that it was dry."""
        if isinstance(command, CheckOrder):
            command = replace(command, dry_run=False, order_id=f"{command.order_id} dry")
        return super().execute(state, command, conditions)


class TicksAreNoise(Core):
    """A liar: a Tick with nothing to do leaves a mark."""

    def execute(self, state: State, command: object, conditions: Conditions) -> Outcome:
        """Count every Tick as a jump of the clock."""
        outcome = super().execute(state, command, conditions)
        if isinstance(command, Tick):
            state.clock_jump_ns += 1
        return outcome


def test_a_dry_run_anywhere_changes_nothing() -> None:
    """Law 10: with dry runs between all its moments a history is the same to the byte."""
    met: Counter[str] = Counter()
    for seed in worlds(16, first=10_000):
        met += hold_dry_runs(seed, 60)
    assert met["dry runs"] > 500, met


def test_a_tick_in_time_decides_as_one_that_waits() -> None:
    """Law 10: idle ticks leave nothing, and ticks in time decide as ticks that waited."""
    met: Counter[str] = Counter()
    for seed in worlds(24, first=10_500):
        met += hold_ticks(seed, 60)
    assert met["due"] > 20, met


def test_law_10_sees_a_dry_run_or_a_tick_that_counts() -> None:
    """Law 10 fails where a dry run reserves, or a Tick with nothing to do leaves a trace."""
    with pytest.raises(AssertionError, match="seed"):
        hold_dry_runs(10_000, 60, DryRunsCount())
    with pytest.raises(AssertionError, match="seed"):
        hold_ticks(10_500, 60, TicksAreNoise())
