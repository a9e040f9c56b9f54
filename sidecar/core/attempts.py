"""What was tried and refused, within bounds: everybody may try, nobody may fill the disk (S13).

Rules:
1. The first ten attempts are told singly, with what the caller said; from there on one a second is.
2. What is beyond that is counted by call and code, and told once a second as one attempt with a
   count, without what was said. A caller who changes names and ports is counted all the same.
3. At most SORTS_COUNT_MAX sorts are counted; beyond them the call is `other`.
4. Nothing is lost: every attempt is in some event's count, also at a stop.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sidecar.core.events import AttemptRefused
from sidecar.core.judgement import Conditions
from sidecar.core.state import State
from sidecar.core.turn import Outcome, Turn

SINGLES_COUNT_MAX: Final = 10
SORTS_COUNT_MAX: Final = 64
FOLD_NS: Final = 1_000_000_000


def note_refused(
    state: State, attempts: Sequence[AttemptRefused], conditions: Conditions
) -> Outcome:
    """Journal what was tried and refused; nothing else changes."""
    turn = Turn(state=state, now=state.now, conditions=conditions)
    for attempt in attempts:
        turn.emit(attempt)
    return Outcome(events=turn.events)


class Attempts:
    """Attempts that are not told yet. Times are the sidecar's `now`."""

    def __init__(self) -> None:
        """Nothing was tried yet."""
        self._singles: list[AttemptRefused] = []
        self._folded: dict[tuple[str, str], AttemptRefused] = {}
        self._singles_left = SINGLES_COUNT_MAX
        self._refilled_at = 0
        self._folds_since = 0

    def add(self, attempt: AttemptRefused, now: int) -> bool:
        """Take one more attempt, at `now`; return whether it will be told singly."""
        self._refill(now)
        if self._singles_left and len(self._singles) < SINGLES_COUNT_MAX:
            self._singles_left -= 1
            self._singles.append(replace(attempt, count=1, first_at=now, last_at=now))
            return True
        if not self._folded:
            self._folds_since = now
        key = (attempt.call, attempt.code)
        if key not in self._folded and len(self._folded) >= SORTS_COUNT_MAX:
            key = ("other", "")
        known = self._folded.get(key)
        if known is None:
            self._folded[key] = AttemptRefused(
                call=key[0], code=key[1], why="several, counted", first_at=now, last_at=now
            )
        else:
            self._folded[key] = replace(known, count=known.count + 1, last_at=now)
        return False

    def take_due(
        self, now: int, *, is_last: bool = False
    ) -> tuple[list[AttemptRefused], list[AttemptRefused]]:
        """Return what is to be told at `now`, single and counted, and forget it.

        Counts are due after a second, or where `is_last`.
        """
        singles, self._singles = self._singles, []
        counted: list[AttemptRefused] = []
        if self._folded and (is_last or not 0 <= now - self._folds_since < FOLD_NS):
            counted = list(self._folded.values())
            self._folded = {}
        return singles, counted

    @property
    def is_empty(self) -> bool:
        """Say whether everything was told."""
        return not self._singles and not self._folded

    def _refill(self, now: int) -> None:
        seconds = (now - self._refilled_at) // FOLD_NS
        if seconds:
            self._singles_left = min(SINGLES_COUNT_MAX, self._singles_left + max(seconds, 0))
            self._refilled_at = now
