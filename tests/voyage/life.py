"""One life of the sidecar: opened on what the last one left, used by all at once, ended somehow.

Rules:
1. The end is drawn beforehand: at a step of the loop, at an operation of the disk, right after an
   answer, soon after a start was asked for, or a clean stop. What the ghost of a dead process still
   does is heard by nobody.
2. Any call may be cancelled wherever it waits, as an aio handler is at its client's deadline.
3. A call may be refused or cancelled; any other exception is a fault of the product.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final
from unittest.mock import patch

from sidecar.clock import WallClock
from sidecar.core.denial import CallRefused
from sidecar.core.thresholds import Thresholds
from sidecar.service import Service, Settings
from sidecar.service.opening import open_state
from sidecar.store.errors import StoreError
from sidecar.store.lock import Holder
from sidecar.store.sqlite_open import OpenOptions, open_sqlite_store
from sidecar.store.sqlite_store import SqliteStore
from tests.voyage.calls import Call, Outcome, state_of
from tests.voyage.disk import KILL_FILE, Disk, Ending, Fault
from tests.voyage.fleet import Fleet
from tests.voyage.loop import VoyageLoop, await_point
from tests.voyage.operators import Operators
from tests.voyage.oracle import Oracle
from tests.voyage.sea import Sea
from tests.voyage.venue import EQUITY

_SEVERITY: Final = (Ending.STOP, Ending.KILL, Ending.CUT)
STEPS_MAX: Final = 200_000
CALLS_IN_FLIGHT_MAX: Final = 8
STARTS: Final = frozenset({"ResetKill", "EaseKill", "ResetBreaker", "ResetAll", "AcceptRecovery"})
STEPS_AFTER_START_MIN: Final = 2
STEPS_AFTER_START_MAX: Final = 40
BURST_MAX: Final = 4
"""Now and then several calls come at the very same moment."""
STORE_ID: Final = "5ea" + "0" * 29


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one life is meant to become."""

    ending: Ending
    calls_count: int
    step: int = 0
    operation: int = 0
    answer: int = 0
    start: int = 0
    fault: Fault | None = None

    @property
    def words(self) -> str:
        """Return it for the log."""
        when = [
            f"{name} {at}"
            for name, at in (
                ("step", self.step),
                ("operation", self.operation),
                ("answer", self.answer),
                ("a step soon after start", self.start),
            )
            if at
        ]
        fault = f", {self.fault.words}" if self.fault is not None else ""
        return f"{self.ending.value} at {' '.join(when) or 'the end'}{fault}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ship:
    """What stays the same over all lives: configuration, people, and the oracle."""

    sea: Sea
    fleet: Fleet
    operators: Operators
    oracle: Oracle
    approvals_need_power: bool
    checkpoint_pages_count: int


class Life:
    """Sails one life."""

    def __init__(self, ship: Ship, disk: Disk, plan: Plan, before: Ending) -> None:
        """`before` is how the last life ended."""
        self._ship = ship
        self._sea = ship.sea
        self._disk = disk
        self._plan = plan
        self._before = before
        self._loop = VoyageLoop(ship.sea)
        self._store: SqliteStore | None = None
        self._service: Service | None = None
        self._calls: list[Call] = []
        self._calls_count = 0
        self._answers_count = 0
        self._fault: Exception | None = None
        self._taps = ExitStack()
        self._starts_count = 0
        self._last_step = plan.step
        disk.fault = plan.fault
        disk.die_at_operation = plan.operation
        disk.on_death = lambda: self._sea.say(f"*** {plan.ending.value}")

    def sail(self) -> Ending:
        """Live; return how it really ended."""
        sea = self._sea
        sea.say(f"--- a life of {self._plan.calls_count} calls, {self._plan.words}")
        ending = self._plan.ending
        try:
            if not self._open():
                # The journal was held to nothing: a power cut before still counts as one.
                ending = ending if self._disk.is_dead else Ending.KILL
                ending = max(ending, self._before, key=_SEVERITY.index)
            elif self._run(self._start()):
                self._use()
                if not self._disk.is_dead and ending is Ending.STOP:
                    self._stop()
            self._note_end()
        finally:
            self._disk.die()
            self._let_go()
        return ending

    # Opening.

    def _open(self) -> bool:
        """Open the store and read it back; False where the process is gone or gives up."""
        sea, oracle = self._sea, self._ship.oracle
        options = OpenOptions(
            clock_kind="wall",
            holder=Holder(name="voyage", since="2024-01-03T12:00:00Z"),
            make_store_id=lambda: STORE_ID,
            boot_id=sea.boot_id,
            checkpoint_pages_count=self._ship.checkpoint_pages_count,
        )
        try:
            self._store = open_sqlite_store(self._disk.directory, options)
        except StoreError as error:
            if not self._disk.is_dead:
                sea.met["starts that gave up"] += 1
                words = str(error).replace(str(self._disk.directory), "DIRECTORY")
                sea.say(f"the start gives up: {words}")
                sea.require("S12.4", f"no fault, but {error}", holds=self._disk.faults_count > 0)
            return False
        if self._disk.is_dead:
            sea.met["deaths while opening"] += 1
            return False
        damage = self._store.facts.damage
        if damage is not None and self._disk.faults_count:
            sea.met["starts that could not read"] += 1
            return False
        sea.require("S12.4 no damage", str(damage), holds=damage is None)
        survived = [payload for _, payload in self._store.read(1)]
        oracle.hold_journal(self._before, survived, open_state(self._store).state)
        self._tap(self._store, survived)
        return True

    def _tap(self, store: SqliteStore, survived: list[bytes]) -> None:
        """Begin the oracle's next life, and let it hear every record on its way to the store."""
        oracle, append = self._ship.oracle, store.append
        oracle.begin_life(self._before, survived)

        def tapped(records: Sequence[tuple[int, bytes]]) -> None:
            if self._disk.is_dead:
                return
            oracle.note_append(records)
            append(records)
            if not self._disk.is_dead:
                oracle.note_written()

        self._taps.enter_context(patch.object(store, "append", tapped))

    async def _start(self) -> None:
        assert self._store is not None
        sea, ship = self._sea, self._ship
        self._service = Service(
            store=self._store,
            clock=WallClock(wall=sea.wall, monotonic=sea.monotonic),
            thresholds=Thresholds(),
            config_hash="voyage",
            settings=Settings(
                kill_file_directory=str(self._disk.directory),
                initial_equity=EQUITY,
                is_assumed_flat=True,
                approvals_need_power=ship.approvals_need_power,
                disk_free_min_bytes=0,
            ),
            real_time_ns=sea.wall,
        )
        await self._service.start()

    def _run(self, work: Any) -> bool:  # noqa: ANN401 - any coroutine
        """Run the start or the stop to its end; False where the process died in it."""
        task = self._loop.create_task(work)
        while not task.done() and self._step():
            pass
        if self._disk.is_dead:
            return False
        task.result()
        return True

    def _step(self) -> bool:
        """Take one step, unless the life ends here; look for what nobody may see."""
        if self._disk.is_dead:
            return False
        if self._loop.steps_count == self._last_step and self._last_step:
            self._die_between_steps()
            return False
        if not self._loop.step():
            self._sea.fail("liveness", "everything waits and nothing will ever happen")
        if self._fault is not None:
            raise self._fault
        self._sea.require(
            "no exception is lost",
            "; ".join(self._loop.complaints),
            holds=not self._loop.complaints,
        )
        self._sea.require(
            "liveness", "the life does not end", holds=self._loop.steps_count < STEPS_MAX
        )
        return not self._disk.is_dead

    def _die_between_steps(self) -> None:
        service, store = self._service, self._store
        is_quiet = service is not None and store is not None and not store.poisoned
        if is_quiet and service is not None and not service._starts.is_pending:  # noqa: SLF001 - a start in flight is written and not yet in memory
            self._ship.oracle.hold_memory(service)
            self._sea.met["memory held to its journal"] += 1
        self._disk.die()

    # Using.

    def _use(self) -> None:
        service, oracle = self._service, self._ship.oracle
        assert service is not None
        oracle.hold_start(service)
        oracle.life.was_started = True
        for _ in range(self._plan.calls_count):
            if not self._take_turns():
                return
            for _ in range(BURST_MAX if self._sea.happens(0.2) else 1):
                self._draw()
        while any(call.outcome is Outcome.OPEN for call in self._calls):
            if not self._step():
                return
        if self._plan.ending is not Ending.STOP:
            self._die_between_steps()

    def _take_turns(self) -> bool:
        """Let the service run for a while, and as long as too many calls wait."""
        sea = self._sea
        until_ns = sea.now_ns + sea.chance.randrange(1, sea.chance.choice((10**5, 10**7, 10**9)))
        while sea.now_ns < until_ns or self._in_flight >= CALLS_IN_FLIGHT_MAX:
            if not self._step():
                return False
        return True

    @property
    def _in_flight(self) -> int:
        return sum(call.outcome is Outcome.OPEN for call in self._calls[-64:])

    def _draw(self) -> None:
        sea, ship, service = self._sea, self._ship, self._service
        assert service is not None
        if sea.happens(0.5):
            ship.fleet.move(service)
        if sea.happens(0.02):
            ship.operators.meddle(self._disk)
        state = state_of(service)
        if state.recovery.way_out and sea.happens(0.3):
            is_accepted = sea.happens(0.5) and ship.operators.may_accept(service)
            call = ship.operators.accept_recovery() if is_accepted else ship.fleet.state(service)
        elif (state.activations or state.breaker.is_open) and sea.happens(0.15):
            (self._disk.directory / KILL_FILE).unlink(missing_ok=True)
            call = ship.operators.reset_all(service)
        elif sea.happens(0.2):
            call = ship.operators.draw_call(service)
        else:
            call = ship.fleet.draw_call(service)
        self.send(call)
        if sea.happens(0.08):
            self.send(call.again())

    def send(self, call: Call, *, may_be_canceled: bool = True) -> None:
        """Send a call; it may be cancelled at any time from now on."""
        sea, loop = self._sea, self._loop
        self._calls_count += 1
        call.number, call.sent_ns = self._calls_count, sea.now_ns
        call.was_poisoned = self._store is not None and self._store.poisoned is not None
        self._ship.oracle.sent(call)
        sea.say(f"{call.words}")
        call.coroutine = self._drive(call)
        call.task = loop.create_task(call.coroutine)
        self._calls.append(call)
        self._look_for_start(call)
        if may_be_canceled and sea.happens(0.25):
            loop.after_ns(loop.latency_ns(), self._cancel, call)

    def _look_for_start(self, call: Call) -> None:
        """Where the life is to end with a start in flight, have orders asked behind it."""
        service = self._service
        assert service is not None
        state = state_of(service)
        is_stopped = state.activations or state.breaker.is_open or state.recovery.way_out
        if call.name not in STARTS or not is_stopped:
            return
        self._starts_count += 1
        if self._starts_count == self._plan.start:
            self._last_step = self._loop.steps_count + self._sea.chance.randrange(
                STEPS_AFTER_START_MIN, STEPS_AFTER_START_MAX
            )
            for _ in range(BURST_MAX):
                self.send(self._ship.fleet.check())

    def _cancel(self, call: Call) -> None:
        if call.outcome is not Outcome.OPEN or call.task is None or call.coroutine is None:
            return
        where = await_point(call.coroutine)
        self._sea.met[f"cancelled in {where or 'nothing yet'}"] += 1
        self._sea.say(f"{call.words} is cancelled in {where or 'nothing yet'}")
        call.outcome = Outcome.CANCELED
        call.task.cancel()

    async def _drive(self, call: Call) -> None:
        """Make a call; whatever it raises, and whatever it breaks, ends the voyage at its step."""
        try:
            await self._make(call)
        except Exception as error:  # noqa: BLE001 - a task would keep it to itself
            if not self._disk.is_dead:
                self._fault = error

    async def _make(self, call: Call) -> None:
        service, oracle, sea = self._service, self._ship.oracle, self._sea
        assert service is not None
        try:
            answer = await call.make(service)
        except CallRefused as refused:
            if self._is_heard(call):
                call.outcome = Outcome.REFUSED
                sea.say(f"{call.words} is refused: {refused.reason}")
                oracle.refused(call, refused)
            return
        if self._is_heard(call):
            call.outcome = Outcome.ANSWERED
            sea.say(f"{call.words} is answered: {_words_of(answer)}")
            oracle.answered(call, answer, service)
            call.then(answer)
            self._answers_count += 1
            if self._answers_count == self._plan.answer:
                self._disk.die()

    def _is_heard(self, call: Call) -> bool:
        return not self._disk.is_dead and call.outcome is Outcome.OPEN

    def _stop(self) -> None:
        service = self._service
        assert service is not None
        if self._run(service.stop()) and self._store is not None and not self._store.poisoned:
            self._ship.oracle.life.was_stopped = True
            self._sea.met["clean stops"] += 1

    # The end.

    def _note_end(self) -> None:
        sea, store, life = self._sea, self._store, self._ship.oracle.life
        for call in self._calls:
            if call.outcome is Outcome.OPEN:
                call.outcome = Outcome.LOST
                sea.met["calls that were never answered"] += 1
        is_damaged = store is not None and store.facts.damage is not None
        if store is not None and store.poisoned is not None and not is_damaged:
            life.was_poisoned = True
            fault = self._plan.fault
            life.is_disk_gone = fault is not None and fault.is_lasting
            words = store.poisoned.split(":")[0]
            sea.met[f"poisoned: {words}"] += 1
            sea.say(f"the store was poisoned: {store.poisoned}")
        if self._disk.faults_count and self._plan.fault is not None:
            name = errno.errorcode[self._plan.fault.error]
            sea.met[f"{name} at a {self._plan.fault.operation}"] += 1

    def _let_go(self) -> None:
        """Close what the dead process had open, so that the next one may live in this process."""
        self._taps.close()
        store = self._store
        if store is None:
            return
        with ExitStack() as stack:
            stack.callback(store._parts.lock.release)  # noqa: SLF001 - a dead process lets go of all
            if store._connection is not None:  # noqa: SLF001 - as above
                stack.callback(store._connection.close)  # noqa: SLF001 - as above
            if store._writer is not None and not store._is_closed:  # noqa: SLF001 - as above
                stack.callback(store._writer.close)  # noqa: SLF001 - as above


def _words_of(answer: object) -> str:
    if isinstance(answer, list):
        return " | ".join(_words_of(getattr(item, "decision", None) or item) for item in answer)
    names = ("verdict", "sequence", "stop_epoch", "durable", "duplicate", "changed", "replayed")
    shown = [f"{name} {getattr(answer, name)}" for name in names if hasattr(answer, name)]
    return ", ".join(shown) or str(answer)
