"""What a record says to a person: when, who, what, why, and what came of it (S13).

Rules:
1. Everything is read from the record's own bytes; nothing here is proof, the bytes are.
2. A record of another version is told as far as it can be: unknown events have no `why`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from sidecar.core.events import EVENT_TYPES, AttemptRefused, decode_event

_UNREADABLE: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One record in short. `time` is ns since the epoch; `outcome` names its events, each once."""

    time: int
    role: str
    peer: str
    name: str
    what: str
    why: str
    outcome: tuple[str, ...]
    config_hash: str
    is_whole: bool = True
    """False: the record holds an event this version does not know, so `why` may say less."""


def _attempt(event: AttemptRefused) -> str:
    times = f", {event.count} times" if event.count > 1 else ""
    said = f", said by {event.by!r}: {event.reason!r}" if event.by or event.reason else ""
    return f"{event.call} {event.code}{times}: {event.why}{said}"


_WHY: Final[dict[str, Callable[[Any], str]]] = {
    "ConfigurationApplied": lambda event: event.reason,
    "OrderDenied": lambda event: " ".join(rule.code for rule in event.violations),
    "ReservationReleased": lambda event: event.reason or event.why,
    "ReportConflicted": lambda event: "other content under one id: " + " ".join(event.fields),
    "BreakerOpened": lambda event: f"{event.cause}: {event.detail}".removesuffix(": "),
    "BreakerReset": lambda event: event.reason,
    "KillActivated": lambda event: event.reason,
    "KillRepeated": lambda event: event.reason,
    "KillReset": lambda event: event.reason,
    "KillEased": lambda event: event.reason,
    "RecoveryEntered": lambda event: event.detail,
    "RecoveryEnded": lambda event: event.reason,
    "ClockAccepted": lambda event: event.reason,
    "AttemptRefused": _attempt,
    "RecordsDropped": lambda event: event.reason,
}


def summarize(record: bytes) -> Summary:
    """Return what the record says; ValueError where its bytes are no record."""
    try:
        plain = orjson.loads(record)
        actor = plain["actor"]
        names = [str(event[0]) for event in plain["events"]]
        why, is_whole = _why(plain["events"])
        return Summary(
            time=int(plain["time"]),
            role=str(actor["role"]),
            peer=str(actor["peer"]),
            name=str(actor["name"]),
            what=str(plain["kind"]),
            why=why,
            outcome=tuple(dict.fromkeys(names)),
            config_hash=str(plain["config_hash"]),
            is_whole=is_whole,
        )
    except _UNREADABLE as error:
        raise ValueError(f"the bytes are no record: {error!r}") from error


def _why(events: list[Any]) -> tuple[str, bool]:
    """Return the first reason any event gives, and whether every event before it was read."""
    is_whole = True
    for plain in events:
        name = str(plain[0])
        tell = _WHY.get(name)
        if tell is None:
            is_whole = is_whole and name in EVENT_TYPES
            continue
        try:
            why = tell(decode_event(plain))
        except _UNREADABLE:
            is_whole = False
            continue
        if why:
            return why, is_whole
    return "", is_whole
