"""Where `now` comes from, and when a day ends (S2.2, S2.3, S2.5).

Rules:
1. `now` is nanoseconds since the epoch, UTC, and never goes back but by `rebase`, which only an
   operator's AcceptClock causes.
2. The wall clock is followed forward and never back; between its readings the monotonic clock
   counts. A jump of more than 60 s, or a start more than 60 s behind the journal, is kept until
   the service takes it and journals it.
3. A driven clock stands still but for the times it is told.
4. Only decisions use these clocks. Deadlines, heartbeats and operator proof use real time.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sidecar.core.calendar import Period

ClockKind = Literal["wall", "driven"]

SECOND_NS: Final = 1_000_000_000
JUMP_NS_MAX: Final = 60 * SECOND_NS
TIME_NS_MAX: Final = 9_000_000_000 * SECOND_NS
"""The year 2255: later times do not fit the 64 bits of a journal's column with room to add to."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ONE_SECOND: Final = timedelta(seconds=1)


class Clock(ABC):
    """What the service asks for `now`. `start` comes first, once."""

    kind: ClockKind = "wall"

    @abstractmethod
    def start(self, last_journalled_ns: int) -> None:
        """Begin no earlier than the last record's time."""

    @abstractmethod
    def now(self) -> int:
        """Return `now`, never less than before."""

    @abstractmethod
    def wall(self) -> int:
        """Return what the wall says, which may be behind `now`."""

    @abstractmethod
    def take_jump(self) -> int:
        """Return the jump not yet journalled, positive forward, and forget it; 0 where none."""

    @abstractmethod
    def rebase(self) -> None:
        """Take the wall as it is now, even back; only after ClockAccepted is durable."""

    @abstractmethod
    def observe(self, time_ns: int) -> bool:
        """Driven clock: take a call's time; return whether `now` moved. A wall clock never does."""


class WallClock(Clock):
    """The machine's clock, kept from going back (S2.2)."""

    def __init__(
        self,
        *,
        wall: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Both readings are functions, so that a test can move them apart."""
        self._read_wall = wall
        self._read_monotonic = monotonic
        self._wall = wall()
        self._monotonic = monotonic()
        self._now = self._wall
        self._jump = 0

    def start(self, last_journalled_ns: int) -> None:
        """As `Clock` says."""
        self._wall, self._monotonic = self._read_wall(), self._read_monotonic()
        self._now = max(last_journalled_ns, self._wall)
        behind = self._wall - last_journalled_ns
        self._jump = behind if behind < -JUMP_NS_MAX else 0

    def now(self) -> int:
        """As `Clock` says; every reading also looks for a jump."""
        wall, monotonic = self._read_wall(), self._read_monotonic()
        passed = max(0, monotonic - self._monotonic)
        moved_apart = (wall - self._wall) - passed
        if abs(moved_apart) > JUMP_NS_MAX:
            self._jump += moved_apart
        self._wall, self._monotonic = wall, monotonic
        self._now = max(self._now + passed, wall)
        return self._now

    def wall(self) -> int:
        """As `Clock` says."""
        return self._read_wall()

    def take_jump(self) -> int:
        """As `Clock` says; two jumps between two looks are one, of their sum."""
        jump, self._jump = self._jump, 0
        return jump

    def rebase(self) -> None:
        """As `Clock` says."""
        self._wall, self._monotonic = self._read_wall(), self._read_monotonic()
        self._now = self._wall
        self._jump = 0

    def observe(self, time_ns: int) -> bool:
        """Return False: a wall clock is told nothing."""
        del time_ns
        return False


class DrivenClock(Clock):
    """The latest time any call carried; for replays, demonstrations and backtests (S2.5)."""

    kind: ClockKind = "driven"

    def __init__(self) -> None:
        """Stand at the epoch until told otherwise."""
        self._now = 0

    def start(self, last_journalled_ns: int) -> None:
        """As `Clock` says."""
        self._now = max(self._now, last_journalled_ns)

    def now(self) -> int:
        """As `Clock` says: the latest time observed."""
        return self._now

    def wall(self) -> int:
        """Return `now`: a driven clock has no other wall."""
        return self._now

    def take_jump(self) -> int:
        """Return 0: whatever it is told is no jump."""
        return 0

    def rebase(self) -> None:
        """Do nothing: there is no wall to go back to."""

    def observe(self, time_ns: int) -> bool:
        """As `Clock` says; a time after 2255 moves nothing: `now` could never leave it."""
        if not self._now < time_ns <= TIME_NS_MAX:
            return False
        self._now = time_ns
        return True


class ManualClock(Clock):
    """A clock that moves when a test says so; keeps the same promises as the wall clock."""

    def __init__(self, now_ns: int = 1_700_000_000 * SECOND_NS) -> None:
        """Stand at `now_ns`."""
        self._wall_ns = now_ns
        self._monotonic_ns = 0
        self._clock = WallClock(wall=lambda: self._wall_ns, monotonic=lambda: self._monotonic_ns)

    def advance(self, duration_ns: int) -> None:
        """Let time pass on wall and monotonic clock alike."""
        self._wall_ns += duration_ns
        self._monotonic_ns += duration_ns

    def jump(self, shift_ns: int) -> None:
        """Move the wall alone, forward or back, as a person or a bad time server does."""
        self._wall_ns += shift_ns

    def start(self, last_journalled_ns: int) -> None:
        """As `Clock` says."""
        self._clock.start(last_journalled_ns)

    def now(self) -> int:
        """As `Clock` says."""
        return self._clock.now()

    def wall(self) -> int:
        """As `Clock` says."""
        return self._clock.wall()

    def take_jump(self) -> int:
        """As `Clock` says."""
        return self._clock.take_jump()

    def rebase(self) -> None:
        """As `Clock` says."""
        self._clock.rebase()

    def observe(self, time_ns: int) -> bool:
        """As `WallClock` says."""
        return self._clock.observe(time_ns)


class ZoneCalendar:
    """Calendar days and ISO weeks (Monday) of one IANA zone; days of 23 and 25 h exist (S2.3)."""

    def __init__(self, zone: str = "UTC") -> None:
        """ValueError where the zone is unknown."""
        try:
            self._zone = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"account.zone: {zone!r} is no IANA zone (write one like 'America/New_York')"
            ) from error
        self.zone = zone
        self._from_ns = 0
        self._last = Period("", "", 0)

    def period(self, now: int) -> Period:
        """Return the period of `now`; cheap while the day is the same as last time."""
        if self._from_ns <= now < self._last.day_ends_at:
            return self._last
        self._last = self._find(now)
        self._from_ns = now
        return self._last

    def _find(self, now_ns: int) -> Period:
        local = (_EPOCH + timedelta(seconds=now_ns // SECOND_NS)).astimezone(self._zone)
        day = local.date()
        tomorrow = day + timedelta(days=1)
        if self._begins_at(tomorrow) <= now_ns:
            # The clock was set back over midnight: the evening comes twice, the new day began.
            day, tomorrow = tomorrow, tomorrow + timedelta(days=1)
        year, week, _ = day.isocalendar()
        return Period(day.isoformat(), f"{year:04d}-W{week:02d}", self._begins_at(tomorrow))

    def _begins_at(self, day: date) -> int:
        """Return the first instant of the day, also where its midnight is skipped."""
        midnight = datetime(day.year, day.month, day.day, tzinfo=self._zone)
        return (midnight.astimezone(UTC) - _EPOCH) // _ONE_SECOND * SECOND_NS


def format_rfc3339(time_ns: int) -> str:
    """Return `2008-10-10T20:00:00Z`, with as many digits of the second as it has."""
    seconds, rest = divmod(time_ns, SECOND_NS)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{text}{fraction}Z"
