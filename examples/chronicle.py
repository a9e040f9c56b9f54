"""What happened in a run: trips with their causes and dates, kills, resets tried and done.

Rules: everything here was said by the sidecar or printed by a command; nothing is made up. A trip
keeps its first cause; causes that came while it was open are read before it is closed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final

from haltline.v1 import circuit_breaker_pb2, kill_switch_pb2, status_pb2

from examples.guarded import is_breaker_open

CAUSE_PREFIX: Final = "CIRCUIT_BREAKER_CAUSE_"
MODE_PREFIX: Final = "KILL_MODE_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why the breaker opened: the measurement, the threshold it reached, the recorded day."""

    name: str
    observed: str
    threshold: str

    @property
    def sentence(self) -> str:
        """For people: drawdowns in percent, counts as they are."""
        if "DRAWDOWN" not in self.name:
            return f"{_plain(self.name)}: {self.observed} (threshold {self.threshold})"
        observed, threshold = (_percent(ratio) for ratio in (self.observed, self.threshold))
        return f"{_plain(self.name)}: {observed} (threshold {threshold})"


@dataclass(slots=True)
class Trip:
    """One opening of the breaker, until an operator closed it."""

    opened_on: date
    causes: tuple[Cause, ...]
    closed_on: date | None = None
    rebased: str = ""


@dataclass(slots=True)
class Kill:
    """One activation of the kill switch, until it was reset with proof."""

    activated_on: date
    by: str
    reason: str
    mode: str
    approved_before: int  # orders approved in the run until it came
    approved_at_end: int = 0
    ended_on: date | None = None

    @property
    def approved_meanwhile(self) -> int:
        """Orders approved while it was in force: none, or the kill switch does not work."""
        return self.approved_at_end - self.approved_before


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something a person typed, and how it ended."""

    day: date
    by: str
    command: str
    is_ok: bool
    answer: str


@dataclass(slots=True)
class Chronicle:
    """The run so far; `today` is the recorded day. Every event is told to `tell` as one line.

    `count_approved` answers how many orders were approved so far.
    """

    tell: Callable[[str], None]
    count_approved: Callable[[], int]
    today: date = date.min
    trips: list[Trip] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)

    def observe(self, status: status_pb2.Status) -> None:
        """Note what this status says that the one before did not."""
        self._observe_breaker(status)
        self._observe_kill(status)

    def acted(self, *, by: str, command: str, is_ok: bool, answer: str) -> None:
        """A person did something."""
        act = Act(day=self.today, by=by, command=command, is_ok=is_ok, answer=answer)
        self.acts.append(act)
        self.tell(f"{by} $ {command}")
        self.tell(f"    {'ok' if is_ok else 'refused'}: {answer}")

    def _observe_breaker(self, status: status_pb2.Status) -> None:
        opened = self.trips[-1] if self.trips and self.trips[-1].closed_on is None else None
        if not is_breaker_open(status):
            if opened:
                opened.closed_on = self.today
                self.tell("circuit breaker CLOSED: trading goes on")
            return
        causes = tuple(_cause(trip) for trip in status.circuit_breaker.causes)
        if opened:
            opened.causes = causes
            return
        self.trips.append(Trip(opened_on=self.today, causes=causes))
        self.tell(f"circuit breaker OPEN: {'; '.join(cause.sentence for cause in causes)}")

    def _observe_kill(self, status: status_pb2.Status) -> None:
        in_force = self.kills[-1] if self.kills and self.kills[-1].ended_on is None else None
        if not status.kill_switch.activations:
            if in_force:
                in_force.ended_on = self.today
                in_force.approved_at_end = self.count_approved()
                meanwhile = in_force.approved_meanwhile
                self.tell(f"kill switch INACTIVE, orders approved meanwhile: {meanwhile}")
            return
        if in_force:
            in_force.approved_at_end = self.count_approved()
            return
        activation = status.kill_switch.activations[0]
        mode = kill_switch_pb2.KillMode.Name(activation.mode).removeprefix(MODE_PREFIX)
        self.kills.append(
            Kill(
                activated_on=self.today,
                by=activation.triggered_by,
                reason=activation.reason,
                mode=mode,
                approved_before=self.count_approved(),
                approved_at_end=self.count_approved(),
            )
        )
        self.tell(f"kill switch ACTIVE ({mode}) by {activation.triggered_by}: {activation.reason}")


def _cause(trip: circuit_breaker_pb2.CircuitBreakerTrip) -> Cause:
    name = circuit_breaker_pb2.CircuitBreakerCause.Name(trip.cause).removeprefix(CAUSE_PREFIX)
    return Cause(name=name, observed=trip.observed, threshold=trip.threshold)


def _plain(name: str) -> str:
    return name.replace("_", " ").lower()


def _percent(ratio: str) -> str:
    return f"{Decimal(ratio) * 100:.1f} %"
