"""S12.6 once more, from the page: which denials and repeated triggers leave a record of their own.

Rules:
- Asked of the list of what happened in this second, counted anew each time.
- A batch that stands or falls together leaves one record or none, by what else is in it: after one,
  nothing is foretold until the second is over.
"""

from dataclasses import dataclass, field
from typing import Final

from sidecar.core.commands import CheckOrder, TriggerKill
from tests.simulation.model import CheckTogether
from tests.simulation.model_answer import Answer

SECOND: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldBounds:
    """How long a second is, how many alike it journals singly, and of how many kinds."""

    second: int = SECOND
    singles: int = 10
    kinds: int = 32

    @classmethod
    def of(cls, seed: int) -> "FoldBounds":
        """Return those of a world: every other one folds nearly everything."""
        return cls() if seed % 2 else cls(second=600 * SECOND, singles=seed % 3, kinds=6)


@dataclass(slots=True)
class Records:
    """What was alike in this second, for one peer."""

    bounds: FoldBounds = field(default_factory=FoldBounds)
    second: int = -1
    alike: list[tuple[str, ...]] = field(default_factory=list)
    is_unsure: bool = False
    folded_count: int = 0

    def foretell(self, command: object, answer: Answer, now: int) -> bool | None:
        """Say whether the command left a record; None where this file does not know."""
        is_together = isinstance(command, CheckTogether)
        kind = _kind_of(command, answer)
        if kind is None and not is_together:
            return None
        second = now // self.bounds.second
        if second != self.second:
            self.second, self.alike, self.is_unsure = second, [], False
        self.is_unsure = self.is_unsure or is_together
        if kind is None or self.is_unsure:
            return None
        count = self.alike.count(kind)
        if count == 0 and len(set(self.alike)) >= self.bounds.kinds:
            self.folded_count += 1
            return False
        # The first of a kind has a record in any case: only what is known can be alike.
        singles = max(1, self.bounds.singles)
        self.alike.append(kind)
        self.folded_count += count >= singles
        return count < singles


def _kind_of(command: object, answer: Answer) -> tuple[str, ...] | None:
    if isinstance(command, CheckOrder) and not command.dry_run and answer.verdict == "DENIED":
        return (command.strategy, command.symbol, answer.violations[0].code.value)
    if isinstance(command, TriggerKill) and answer.already_active:
        is_scoped = command.scope_kind in ("STRATEGY", "SYMBOL") and command.scope_name
        return ("kill", command.scope_kind, command.scope_name) if is_scoped else ("kill",)
    return None
