"""One turn of the core: events are applied as they are found, and handed out to be journalled.

Rules:
- A refusal is raised before the first event of its turn, or carried in the outcome beside them.
- Consequences (trips, warnings) are judged on the state after the fact, in the same turn.
"""

from dataclasses import dataclass, field
from typing import Any

from sidecar.core.answers import ShortStatus, TradingMode
from sidecar.core.apply import EFFECTS
from sidecar.core.circuit_breaker import find_consequences
from sidecar.core.commands import KillMode
from sidecar.core.denial import CallRefused
from sidecar.core.events import Event
from sidecar.core.folding import take_folds
from sidecar.core.judgement import Conditions
from sidecar.core.state import State
from sidecar.core.thresholds import WhenOpen


@dataclass(slots=True)
class Outcome:
    """What a command came to: an answer or a refusal, and the events to journal.

    On the path of every order, as is `Turn`: a call by name costs three times one by place.
    """

    answer: Any = None
    events: list[Event] = field(default_factory=list)
    refused: CallRefused | None = None


class Turn:
    """The state, the instant, and what happened so far."""

    __slots__ = ("conditions", "events", "has_folded", "now", "state")

    def __init__(self, state: State, now: int, conditions: Conditions) -> None:
        """Begin with nothing decided."""
        self.events: list[Event] = []
        self.state = state
        self.now = now
        self.conditions = conditions
        self.has_folded = False

    @property
    def sequence(self) -> int:
        """Return the newest record's sequence: this one's where anything happened (S12.6)."""
        return self.state.last_sequence if self.events else self.state.last_sequence - 1

    def answered(self, answer: Any) -> Outcome:  # noqa: ANN401 - each command has its own answer
        """Return the outcome: an answer, and what happened."""
        return Outcome(answer, self.events)

    def emit(self, event: Event) -> None:
        """Apply an event at once and keep it for the journal.

        Kept first: where applying fails half-way, the turn must not look as if nothing happened.
        """
        if self.state.folds_waiting is not None:
            self.write_folds()
        self.events.append(event)
        EFFECTS[type(event)](self.state, event)

    def write_folds(self) -> None:
        """Put what was folded before into this record: it has taken effect already."""
        self.events += take_folds(self.state)

    def emit_all(self, events: list[Event]) -> None:
        """Apply and keep several."""
        for event in events:
            self.emit(event)

    def follow(self) -> None:
        """Apply what follows from the state as it is now: trips and warnings."""
        self.emit_all(find_consequences(self.state, self.now))


def short_status(state: State) -> ShortStatus:
    """Return what every report is answered with."""
    return ShortStatus(
        mode=trading_mode(state),
        is_breaker_open=state.breaker.is_open,
        stop_epoch=state.stop_epoch,
    )


def trading_mode(state: State, conditions: Conditions | None = None) -> TradingMode:
    """Return what all layers together allow; scoped kills stand beside it (S10.1)."""
    everywhere = state.activations.get("ALL")
    is_blocked = state.breaker.is_open and (
        state.thresholds.circuit_breaker.when_open is WhenOpen.BLOCK_ALL
    )
    is_halted = everywhere is not None and everywhere.mode is KillMode.HALT
    recovery = state.recovery
    denies_all = bool(recovery.way_out) and recovery.denies_reducing
    is_damaged = conditions is not None and conditions.damage is not None
    if is_halted or is_blocked or denies_all or is_damaged:
        return TradingMode.HALTED
    has_problem = conditions is not None and conditions.store_problem is not None
    if everywhere is not None or state.breaker.is_open or recovery.way_out or has_problem:
        return TradingMode.REDUCE_ONLY
    return TradingMode.NORMAL
