"""The two people of the demonstration, each in a terminal of their own beside the bot's.

Rules:
- The person who kills holds no secret and needs none: stopping is easy.
- The operator closes the breaker in the recorded week after a trip, and accepts a loss as the new
  start only where the sidecar's refusal asks for exactly that.
- Ending the kill is tried without proof first, by the bot and by a terminal, and must be refused.
- Everybody types commands and reads what they print; nobody reaches into the sidecar.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, TypeVar

from examples.chronicle import Chronicle, Kill, Trip
from examples.processes import Terminal

WITNESS: Final = "maria"
OPERATOR: Final = "oscar"
BOT: Final = "the bot"
Item = TypeVar("Item")
_REBASE_FLAG: Final = re.compile(r"--rebase ([a-z,]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """When people act: the kill on the first trading from `kill_on`, its reset weeks later."""

    kill_on: date
    kill_reason: str
    kill_lasts: timedelta


class People:
    """Acts at the moments the bot's loop offers: after the account is told, between two orders."""

    def __init__(
        self,
        *,
        script: Script,
        chronicle: Chronicle,
        witness: Terminal,
        operator: Terminal,
        reset_by_bot: Callable[[], str],
        refresh: Callable[[], object],
    ) -> None:
        self._script = script
        self._chronicle = chronicle
        self._witness = witness
        self._operator = operator
        self._reset_by_bot = reset_by_bot
        self._refresh = refresh
        self._orders_today = 0
        self._has_killed = False
        self._breaker_week = (0, 0)  # the last one in which the operator tried to close it

    def after_open(self, day: date) -> None:
        """The account of the day is told, no order is sent yet: the operator reads the status."""
        self._orders_today = 0
        kill = _last(self._chronicle.kills)
        if kill and kill.ended_on is None and day - kill.activated_on >= self._script.kill_lasts:
            self._end_kill(kill)
        trip = _last(self._chronicle.trips)
        if trip and trip.closed_on is None and _week(day) > _week(trip.opened_on):
            self._close_breaker(trip, _week(day))

    def before_order(self, day: date) -> None:
        """The bot has an order in hand: from the second of a day on, somebody may kill."""
        self._orders_today += 1
        if self._has_killed or day < self._script.kill_on or self._orders_today == 1:
            return
        self._has_killed = True
        self._type(
            self._witness, WITNESS, "kill", "--reason", self._script.kill_reason, "--by", WITNESS
        )

    def _end_kill(self, kill: Kill) -> None:
        """Without proof it is refused, to the bot and to a terminal; then with proof."""
        refusal = self._reset_by_bot()
        self._chronicle.acted(
            by=BOT, command="ResetKill, unsigned", is_ok=not refusal, answer=refusal
        )
        words = ("reset", "kill", "--reason", f"reviewed: {kill.reason}", "--by")
        self._type(self._witness, WITNESS, *words, WITNESS)
        self._type(self._operator, OPERATOR, *words, OPERATOR)

    def _close_breaker(self, trip: Trip, week: tuple[int, int]) -> None:
        """Once a week: ask plainly; where a drawdown stands, accept the loss the refusal names."""
        if week == self._breaker_week:
            return
        self._breaker_week = week
        words = ("reset", "breaker", "--reason", "a new week", "--by", OPERATOR)
        refusal = self._type(self._operator, OPERATOR, *words)
        named = _REBASE_FLAG.search(refusal)
        if named:
            trip.rebased = named[1]
            self._type(self._operator, OPERATOR, *words, "--rebase", named[1])

    def _type(self, terminal: Terminal, by: str, *words: str) -> str:
        """One command; its refusal, or nothing where it did what was asked."""
        done = terminal.haltline(*words)
        self._chronicle.acted(by=by, command=done.command, is_ok=done.is_ok, answer=done.first_line)
        self._refresh()
        return "" if done.is_ok else done.output


def _last(items: list[Item]) -> Item | None:
    return items[-1] if items else None


def _week(day: date) -> tuple[int, int]:
    calendar = day.isocalendar()
    return calendar.year, calendar.week
