"""How a transcript is written: what stands in a file, and how its answers are put back in.

A transcript is a text file that a trader can read and the tests can play:

    # An order that ... is denied.                  comments: the first ones say what is shown
    # S6.1                                          and which rules are cited
    [order_rules]                                   configuration, as in the product's own file,
    max_order_quantity = 100                        up to the next empty line
    2024-01-03 09:30:00 start with equity 100000    a time, then what somebody did
        started: new store ...                      four spaces: what the sidecar answered
    09:30:01 all or none                            the date stays until another one is written
      + buy 10 AAPL limit 100 by momentum as A1     two spaces and a plus: belongs to the line above

Rules:
- Every line is a comment, configuration, something done, or an answer; anything else is a fault.
- Answers are never read to decide anything: they are what is compared, and what is rewritten.
- Times are local times of `account.zone`; `Z` or an offset (`01:30-05:00`) names an instant that
  exists twice. They never go back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final
from zoneinfo import ZoneInfo

ANSWER_INDENT: Final = "    "
PART_INDENT: Final = "  + "
RULE: Final = re.compile(r"\bS\d{1,2}(?:\.\d{1,2})?\b")
_SECOND_NS: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DONE: Final = re.compile(
    r"(?:(?P<day>\d{4}-\d\d-\d\d) )?(?P<clock>\d\d:\d\d(?::\d\d)?)(?:\.(?P<part>\d{1,9}))?"
    r"(?P<offset>Z|[+-]\d\d:\d\d)? (?P<words>\S.*)"
)


class TranscriptError(Exception):
    """A line cannot be understood. The message names the line and what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A time as written; which instant it is depends on the zone of the configuration."""

    day: date
    clock: str
    part: str
    offset: str

    def instant(self, zone: str) -> int:
        """Return nanoseconds since the epoch."""
        clock = self.clock if self.clock.count(":") > 1 else f"{self.clock}:00"
        local = datetime.fromisoformat(f"{self.day.isoformat()}T{clock}")
        known = local.replace(tzinfo=self._zone(zone))
        seconds = (known.astimezone(UTC) - _EPOCH) // timedelta(seconds=1)
        return seconds * _SECOND_NS + int(self.part.ljust(9, "0") or "0")

    def _zone(self, zone: str) -> ZoneInfo | timezone:
        if not self.offset:
            return ZoneInfo(zone)
        if self.offset == "Z":
            return timezone.utc  # noqa: UP017 - beside the timezone of an offset
        sign = -1 if self.offset[0] == "-" else 1
        hours, minutes = self.offset[1:].split(":")
        return timezone(sign * timedelta(hours=int(hours), minutes=int(minutes)))


@dataclass(slots=True, kw_only=True)
class Done:
    """Something done: when, in which words, and the lines that belong to it."""

    number: int
    line: str
    moment: Moment
    words: str
    parts: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Kept:
    """A line that is not played: a comment, or an empty one."""

    line: str


@dataclass(slots=True)
class Configured:
    """A block of configuration: it counts from the next start on."""

    lines: list[str]

    @property
    def toml(self) -> str:
        """Return the block as the product reads it."""
        return "\n".join(self.lines) + "\n"


Item = Kept | Configured | Done


def read_transcript(text: str) -> list[Item]:
    """Return the lines of a transcript without its answers; TranscriptError names a bad one."""
    items: list[Item] = []
    day: date | None = None
    is_configuring = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith(ANSWER_INDENT):
            continue
        before = items[-1] if items else None
        if is_configuring and line and isinstance(before, Configured):
            before.lines.append(line)
        elif line.startswith("["):
            items.append(Configured([line]))
        elif not line or line.startswith("#"):
            items.append(Kept(line))
        elif line.startswith(PART_INDENT) and isinstance(before, Done):
            before.parts.append(line.removeprefix(PART_INDENT))
        else:
            done = _read_done(number, line, day)
            day = done.moment.day
            items.append(done)
        is_configuring = bool(line) and isinstance(items[-1], Configured)
    return items


def _read_done(number: int, line: str, day: date | None) -> Done:
    found = _DONE.fullmatch(line)
    if found is None:
        raise TranscriptError(
            f"line {number}: {line!r} is no comment, configuration, answer (four spaces) or time "
            "with words ('09:30:00 mark AAPL 100')"
        )
    if found["day"] is not None:
        day = date.fromisoformat(found["day"])
    if day is None:
        raise TranscriptError(f"line {number}: the first time needs a date ('2024-01-03 09:30')")
    moment = Moment(
        day=day, clock=found["clock"], part=found["part"] or "", offset=found["offset"] or ""
    )
    return Done(number=number, line=line, moment=moment, words=found["words"])


def write_transcript(items: list[Item], answers: dict[int, list[str]]) -> str:
    """Return the whole text, with the answers to each line (by its number) put in."""
    return "".join(f"{line}\n" for line in _lines(items, answers))


def _lines(items: list[Item], answers: dict[int, list[str]]) -> Iterator[str]:
    for item in items:
        if isinstance(item, Kept):
            yield item.line
        elif isinstance(item, Configured):
            yield from item.lines
        else:
            yield item.line
            yield from (PART_INDENT + part for part in item.parts)
            yield from ((ANSWER_INDENT + answer).rstrip() for answer in answers[item.number])


def title_of(text: str) -> str:
    """Return the opening comments: what a transcript shows and which rules it cites."""
    opening: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        opening.append(line.lstrip("# "))
    return " ".join(opening)
