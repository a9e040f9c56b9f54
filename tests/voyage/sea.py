"""What all lives of one voyage share: chance, time, the log, and what was met on the way.

Rules:
1. Everything random comes from `chance`, which the seed fixes.
2. The machine's own time passes in the loop and while the sidecar is down; the wall is set by
   people and time servers, and the monotonic clock begins anew with each boot.
3. A fault ends the voyage with its seed and the last lines of the log.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, NoReturn

from sidecar.clock import SECOND_NS

BEGINS_AT_NS: Final = 1_704_283_200 * SECOND_NS
"""2024-01-03 12:00 UTC, a Wednesday."""
LINES_SHOWN: Final = 40


class VoyageError(AssertionError):
    """The sidecar broke a promise; the message begins with the rule and the seed."""


@dataclass(slots=True)
class Sea:
    """One voyage's chance, time, log and coverage."""

    seed: int
    chance: random.Random
    met: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)
    now_ns: int = SECOND_NS
    booted_at_ns: int = 0
    boots_count: int = 1
    wall_shift_ns: int = 0

    @property
    def boot_id(self) -> str:
        """Return the id of this boot."""
        return f"boot-{self.boots_count:04d}"

    def wall(self) -> int:
        """Return what the wall says."""
        return BEGINS_AT_NS + self.now_ns + self.wall_shift_ns

    def monotonic(self) -> int:
        """Return the time since the boot."""
        return self.now_ns - self.booted_at_ns

    def pass_time(self, duration_ns: int) -> None:
        """Let time pass while nothing runs."""
        self.now_ns += duration_ns

    def reboot(self) -> None:
        """Begin the monotonic clock and the boot anew."""
        self.boots_count += 1
        self.booted_at_ns = self.now_ns

    def shift_wall(self, shift_ns: int) -> None:
        """Set the wall."""
        self.wall_shift_ns += shift_ns

    def happens(self, probability: float) -> bool:
        """Draw."""
        return self.chance.random() < probability

    def say(self, line: str) -> None:
        """Note what happened."""
        self.lines.append(f"{self.now_ns / SECOND_NS:12.6f}  {line}")

    def fail(self, rule: str, what: str) -> NoReturn:
        """End the voyage: a promise was broken."""
        last = "\n".join(self.lines[-LINES_SHOWN:])
        raise VoyageError(f"{rule}: {what}\nseed {self.seed}; the last of its log:\n{last}")

    def require(self, rule: str, what: str, *, holds: bool) -> None:
        """End the voyage unless `holds`; `what` says what was found."""
        if not holds:
            self.fail(rule, what)
