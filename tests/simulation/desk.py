"""A desk for long histories: the same records, looked at from time to time instead of always."""

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from sidecar.core import engine, invariants
from sidecar.core.answers import StartAnswer
from sidecar.core.commands import StartingCommand, Tick
from sidecar.core.denial import CallRefused
from sidecar.core.events import Event
from tests.core.harness import Desk

LOOKS_EVERY: Final = 25


class BusyDesk(Desk):
    """A desk whose every answer is compared elsewhere, and every state with its replay."""

    records_since_look = 0

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - those of a desk
        """Open a desk; the options are those of a desk."""
        self._recent: deque[tuple[int, Event]] = deque(maxlen=200)
        super().__init__(**options)

    def _journal(self, events: Sequence[Event]) -> None:
        super()._journal(events)
        self._recent.extend((self.sequence, event) for event in events)

    def all_events(self, after: int) -> list[Event]:
        """Return the events of the records after a sequence."""
        return [event for sequence, event in self._recent if sequence > after]

    def _look(self) -> None:
        self.records_since_look += 1
        if self.records_since_look >= LOOKS_EVERY:
            self.look()

    def look(self) -> None:
        """Hold the state to its invariants now."""
        self.records_since_look = 0
        broken = invariants.find_broken(self.state)
        assert broken == [], broken

    def run(self, command: object) -> Any:  # noqa: ANN401 - each command has its own answer
        """Run any command as one record, what is due before it, and return its answer."""
        if not isinstance(command, Tick):
            self.tick()
        self._begin()
        try:
            outcome = engine.execute(self.state, command, self.conditions)
        except CallRefused:
            self._journal(())
            raise
        return self._finish(outcome)

    def start(self, command: StartingCommand) -> StartAnswer:
        """Decide, journal, then make effective: the order in which a start is durable."""
        self.tick()
        self.write_folds()
        self._begin()
        try:
            events, moves = engine.prepare(self.state, command, self.conditions)
        except CallRefused:
            self._journal(())
            raise
        self._journal(events)
        if events:
            engine.replay(self.state, self.sequence, self.now, events)
        self._look()
        return engine.start_answer(self.state, changed=bool(events), moves=moves)
