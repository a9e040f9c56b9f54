"""Runs the same commands through the core and through the model, and compares all they say.

Rules:
- After every command the answers and the whole view are compared; the first difference ends a run
  and carries its seed, its step and the commands that led there.
- At random moments, and at the end, the journal is replayed and must give the very same state.
- The bounds that no small world reaches (orders held, ids remembered) are small in some worlds, in
  both alike.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from unittest.mock import patch

from sidecar.clock import ZoneCalendar
from sidecar.core import commands, engine, facts, folding, position_limits, reservations
from sidecar.core.answers import RecoveryState
from sidecar.core.denial import CallRefused
from sidecar.core.events import ConfigurationApplied, WarningChanged
from sidecar.core.judgement import Conditions
from sidecar.core.state import to_plain
from sidecar.core.thresholds import Thresholds
from sidecar.core.tightening import find_changes
from tests.core.harness import NOON
from tests.simulation import model_account
from tests.simulation.compare import canonical, compare_answers, compare_views, first_difference
from tests.simulation.coverage import Coverage
from tests.simulation.desk import BusyDesk
from tests.simulation.generator import Generator
from tests.simulation.model import (
    AssumeFlat,
    CheckTogether,
    Model,
    NoteClockJump,
    Reconfigure,
)
from tests.simulation.model_answer import Answer
from tests.simulation.model_facts import Below, equity
from tests.simulation.model_folding import FoldBounds, Records
from tests.simulation.model_view import view
from tests.simulation.worlds import World, draw_world

STARTS: Final = (
    commands.ResetKill,
    commands.EaseKill,
    commands.ResetBreaker,
    commands.ResetAll,
)
FOLLOWED: Final = (commands.ReportTrade, commands.ReportApiError, commands.ReportAccount)
DRAWDOWN_CAUSES: Final = {"DAILY_DRAWDOWN", "WEEKLY_DRAWDOWN", "TOTAL_DRAWDOWN"}
HOUR: Final = 3_600_000_000_000


class DifferenceError(AssertionError):
    """The core and the model said different things."""


@dataclass(slots=True)
class Watched:
    """What the driver remembers from step to step, to see what began."""

    causes: frozenset[str] = frozenset()
    warned: frozenset[str] = frozenset()
    period: tuple[str, str] = ("", "")
    forgotten: int = 0
    full_buckets: int = 0


class Pair:
    """The core behind a desk, and the model, told the same."""

    def __init__(self, thresholds: Thresholds, now: int = NOON) -> None:
        """Start both with the same rules."""
        self.calendar = ZoneCalendar(thresholds.account.zone)
        sections: Any = {name: getattr(thresholds, name) for name in Thresholds.__slots__}
        self.desk = BusyDesk(equity=None, now=now, calendar=self.calendar, **sections)
        self.model = Model(thresholds, now)
        self.model.memory.times[1] = now
        self.coverage = Coverage()
        self.records = Records()
        self._watched = Watched(period=(self.model.memory.day, self.model.memory.week))

    def start_recovery(self, *, denies_reducing: bool) -> None:
        """Begin both as after a reboot that may have lost approvals (S12.4)."""
        self.desk.turn(
            lambda state, conditions: engine.start_recovery(
                state,
                conditions,
                recovery=RecoveryState.RECONCILE,
                detail="rebooted",
                way_out="reconcile",
                denies_reducing=denies_reducing,
            )
        )
        self.model.memory.times[self.desk.sequence] = self.desk.now
        self.model.start_recovery(self.desk.sequence, denies_reducing=denies_reducing)

    def step(self, command: object, now: int, below: Below | None = None) -> tuple[Any, Answer]:
        """Tell both one command and compare what they say and what they then know."""
        below = below or Below()
        desk, memory = self.desk, self.model.memory
        desk.now = now
        desk.conditions = Conditions(
            store_problem="full" if below.store_problem else None,
            store_low=below.store_low,
            free_bytes=below.free_bytes,
            free_bytes_min=below.free_bytes_min,
            damage="torn" if below.is_damaged else None,
            damage_way_out="repair" if below.is_damaged else "",
            calendar=self.calendar,
        )
        self._count_before(command)
        before = desk.sequence
        desk.tick()
        published = self._warnings_of(desk.all_events(before))
        for sequence in range(before + 1, desk.sequence + 1):
            memory.times[sequence] = now
        sequence = desk.sequence + 1
        try:
            core = self._run(command)
        except CallRefused as refused:
            core = refused
        published += self._warnings_of(desk.all_events(sequence - 1))
        for follower in range(sequence + 1, desk.sequence + 1):
            memory.times[follower] = now
        model = self.model.step(command, now, sequence=sequence, below=below)
        if desk.sequence < sequence:
            self.model.memory.times.pop(sequence, None)
        differences = compare_answers(core, model)
        differences += self._compare_record(command, model, is_left=desk.sequence >= sequence)
        shown = view(self.model.memory, below)
        differences += compare_views(desk, shown)
        differences += self._compare_warnings(command, core, published, shown["warnings"])
        self._count_after(command, core)
        if differences:
            raise DifferenceError("\n".join(differences))
        return core, model

    def _compare_record(self, command: object, model: Answer, *, is_left: bool) -> list[str]:
        """Hold what was journalled singly to what the page says (S12.6)."""
        before = self.records.folded_count
        foretold = self.records.foretell(command, model, self.model.memory.now)
        self.coverage.events["folded"] += self.records.folded_count - before
        if foretold is None or foretold is is_left:
            return []
        return [f"a record of its own: core {is_left}, model {foretold}"]

    def batch(self, orders: tuple[commands.CheckOrder, ...], now: int) -> None:
        """Ask about orders that stand alone: a record each, nothing between them."""
        self.coverage.events["batch independent"] += 1
        for order in orders:
            self.step(order, now)

    def _run(self, command: object) -> Any:  # noqa: ANN401 - each command has its own answer
        desk = self.desk
        if isinstance(command, STARTS):
            return desk.start(command)
        if isinstance(command, CheckTogether):
            return desk.check_batch(command.orders)
        if isinstance(command, Reconfigure):
            return self._reconfigure(command.thresholds)
        if isinstance(command, NoteClockJump):
            jump = command.jump_ns
            return desk.turn(
                lambda state, conditions: engine.note_clock_jump(state, jump, conditions)
            )
        if isinstance(command, AssumeFlat):
            return desk.turn(engine.assume_flat)
        answer = desk.run(command)
        if isinstance(command, commands.AcceptClock):
            desk.now = command.wall
        return answer

    def _reconfigure(self, thresholds: Thresholds) -> None:
        """Put other rules in force as the service does: what does not only tighten as a start."""
        desk, events = self.desk, self.coverage.events
        changes = find_changes(desk.state.thresholds, thresholds)
        if not any(change.needs_proof for change in changes):
            events["reloaded freely"] += 1
            desk.configure(thresholds)
            return
        events["reloaded with proof"] += 1
        zone = thresholds.account.zone
        if zone != self.calendar.zone:
            events["zone changed"] += 1
        self.calendar = ZoneCalendar(zone)
        event = ConfigurationApplied(thresholds=thresholds, config_hash=repr(thresholds))
        desk.loosen(event, self.calendar)

    def restart(self, *, from_snapshot: bool) -> None:
        """Go on with the state a start would find, which is the state that was (S3)."""
        desk = self.desk
        before = desk.sequence
        desk.write_folds()
        if desk.sequence > before:
            self.model.memory.times[desk.sequence] = desk.now
        desk.look()
        # The next record is begun and dropped: a call without a record leaves no more than that.
        engine.begin(desk.state, desk.sequence + 1, desk.now)
        desk.state.last_sequence = desk.sequence
        live = canonical(to_plain(desk.state))
        found = [desk.replayed(), desk.snapshot()]
        for name, other in zip(("journal", "snapshot"), found, strict=True):
            engine.begin(other, desk.sequence + 1, desk.now)
            other.last_sequence = desk.sequence
            found_again = canonical(to_plain(other))
            if found_again != live:
                where = first_difference(live, found_again)
                raise DifferenceError(f"the state after the {name} is another: {where}")
        desk.state = found[from_snapshot]
        name = "snapshot" if from_snapshot else "journal"
        self.coverage.events[f"restart from {name}"] += 1

    @staticmethod
    def _warnings_of(events: Sequence[object]) -> list[WarningChanged]:
        return [event for event in events if isinstance(event, WarningChanged)]

    def _compare_warnings(
        self,
        command: object,
        core: Any,  # noqa: ANN401 - any answer
        published: list[WarningChanged],
        stands: object,
    ) -> list[str]:
        """Hold what was published to what is at 80 %: each crossing once (S9)."""
        warned = set(self._watched.warned)
        faults = []
        for event in published:
            if event.is_raised is (event.trigger in warned):
                faults.append(f"warning of {event.trigger} published twice: {event.is_raised}")
            if event.is_raised:
                warned.add(event.trigger)
                self.coverage.events[f"warned {event.trigger}"] += 1
            else:
                warned.discard(event.trigger)
        assert isinstance(stands, set)
        is_followed = isinstance(command, FOLLOWED) and not isinstance(core, CallRefused)
        if is_followed and not core.duplicate and warned != stands:
            faults.append(f"warnings: core {sorted(warned)}, model {sorted(stands)}")
        is_reset = isinstance(command, (commands.ResetBreaker, commands.ResetAll))
        if is_reset and getattr(core, "changed", False) and not self.model.memory.is_open:
            # The counters begin anew; a drawdown that was not moved was crossed already.
            warned &= stands & DRAWDOWN_CAUSES
        self._watched.warned = frozenset(warned)
        return faults

    def _count_before(self, command: object) -> None:
        memory, events = self.model.memory, self.coverage.events
        if isinstance(command, commands.ReportTrade):
            self.coverage.count_report(memory, command)
        if isinstance(command, commands.ReportAccount):
            released = {order.order_id for order in memory.orders if order.was_released}
            if released & {order.order_id for order in command.open_orders}:
                events["released listed again"] += 1
            if command.cash_flows:
                is_first = equity(memory) is None
                how = "with" if command.equity is not None else "without"
                events["flow before equity" if is_first else f"flow {how} equity"] += 1
        if isinstance(command, commands.AcceptClock):
            way = "forward" if command.wall > self.desk.now else "back"
            events[f"clock accepted {way}"] += 1
        if isinstance(command, Reconfigure):
            events["reconfigured"] += 1
            before, after = memory.thresholds.symbols, command.thresholds.symbols
            if any(before[name].multiplier != rules.multiplier for name, rules in after.items()):
                events["multiplier corrected"] += 1
        if isinstance(command, NoteClockJump):
            events["clock jump noted"] += 1
        if isinstance(command, AssumeFlat):
            events["assumed flat"] += 1
        self._was_held = memory.held_equity is not None
        self._stood = frozenset(memory.still_standing)

    def _count_after(self, command: object, core: Any) -> None:  # noqa: ANN401 - any answer
        memory, cover, watched = self.model.memory, self.coverage, self._watched
        cover.valid_ns = memory.thresholds.approvals.valid_ns
        cover.count_answer(command, core)
        if isinstance(command, CheckTogether) and isinstance(core, list):
            stood = all(result.decision.is_approved for result in core)
            cover.events[f"batch all or none {'stood' if stood else 'fell'}"] += 1
        causes = frozenset(cause.cause for cause in self.desk.state.breaker.causes)
        cover.causes.update(causes - watched.causes)
        watched.causes = causes
        if memory.still_standing - self._stood:
            cover.events["new series"] += 1
        if isinstance(command, commands.ReportAccount) and not isinstance(core, CallRefused):
            if memory.held_equity is not None and not self._was_held:
                cover.events["equity held"] += 1
            elif self._was_held and memory.held_equity is None:
                cover.events["equity confirmed"] += 1
        cover.events["a group or chain was full"] += memory.full_buckets - watched.full_buckets
        watched.full_buckets = memory.full_buckets
        if memory.forgotten_count > watched.forgotten:
            cover.events["id forgotten"] += memory.forgotten_count - watched.forgotten
            watched.forgotten = memory.forgotten_count
        self._count_period(command)

    def _count_period(self, command: object) -> None:
        memory, watched = self.model.memory, self._watched
        period = (memory.day, memory.week)
        if period != watched.period and not isinstance(command, commands.AcceptClock):
            begun = model_account.day_begins_at(memory)
            hours = (model_account.day_ends_at(memory) - begun) // HOUR
            self.coverage.events[f"a day of {hours} h"] += 1
            if period[1] != watched.period[1]:
                self.coverage.events["a week began"] += 1
        watched.period = period


@contextmanager
def small_bounds(world: World) -> Iterator[None]:
    """Make the bounds small in the core as they are in the model."""
    folds = FoldBounds.of(world.seed)
    with ExitStack() as stack:
        stack.enter_context(patch.object(folding, "SECOND_NS", folds.second))
        stack.enter_context(patch.object(folding, "SINGLES_PER_SECOND", folds.singles))
        stack.enter_context(patch.object(folding, "KINDS_PER_PEER_MAX", folds.kinds))
        for module, name, bound in (
            (position_limits, "ORDERS_HELD_MAX", world.orders_held_max),
            (engine, "REMEMBERED_IDS_MIN", world.remembered_min),
            (facts, "CLUSTER_MEMBERS_MAX", world.bucket_members_max),
            (reservations, "CLUSTER_MEMBERS_MAX", world.bucket_members_max),
        ):
            if bound is not None:
                stack.enter_context(patch.object(module, name, bound))
        yield


def run_world(seed: int, steps: int, coverage: Coverage | None = None) -> Pair:
    """Drive one small world; raise DifferenceError with everything needed to see it again."""
    world = draw_world(seed)
    with small_bounds(world):
        return _run_world(world, steps, coverage or Coverage())


def _run_world(world: World, steps: int, coverage: Coverage) -> Pair:
    chance = world.chance
    pair = Pair(world.thresholds, world.begins_at)
    pair.coverage = coverage
    pair.records = Records(FoldBounds.of(world.seed))
    memory = pair.model.memory
    memory.orders_held_max = world.orders_held_max or memory.orders_held_max
    memory.remembered_min = world.remembered_min or memory.remembered_min
    memory.bucket_members_max = world.bucket_members_max or memory.bucket_members_max
    generator = Generator(world, lambda: pair.model.memory)
    if chance.random() < 0.15:
        pair.start_recovery(denies_reducing=chance.random() < 0.5)
    trail: list[str] = []
    taken = 0
    coverage.worlds += 1
    while taken < steps:
        now = generator.next_now(pair.desk.now)
        command = generator.next_command(now)
        below = generator.next_below()
        trail.append(f"{now} {command!r} {below!r}")
        try:
            if isinstance(command, tuple):
                pair.batch(command, now)
                taken += len(command)
            else:
                pair.step(command, now, below)
                taken += 1
            if chance.random() < 0.01 or taken >= steps:
                pair.restart(from_snapshot=chance.random() < 0.5)
        except Exception as error:
            shown = "\n".join([f"seed {world.seed}, step {taken}:", *trail[-6:]])
            raise DifferenceError(f"{shown}\n{error!r}") from error
    return pair
