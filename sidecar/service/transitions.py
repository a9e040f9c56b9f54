"""What people are told of: the moments at which trading stops, starts again, or is about to stop.

Rules:
1. One event is at most one transition. What repeats (a second trigger of one kill) is none.
2. An id is made of what stands in the journal alone: told again after a crash it is the same. The
   time is part of it, because a sequence that the disk refused is used again by the next start.
3. What stops is told even where the disk refuses it, because it holds; what starts is told only
   once it is power-durable, because before that it may never have been (S10.2, S10.3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from sidecar.config.outgoing_sections import TransitionType
from sidecar.core.events import (
    BreakerOpened,
    BreakerReset,
    Event,
    KillActivated,
    KillEased,
    KillReset,
    RecoveryEnded,
    RecoveryEntered,
    WarningChanged,
)
from sidecar.service.callers import SIDECAR, Actor
from sidecar.service.opening import POISONED_BEFORE
from sidecar.service.records import Record, decode_record


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePoisoned:
    """The store takes no writes any more; stands in no journal, because of just that."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BooksDamaged:
    """Every order is denied from here on, because the books cannot be believed (S12.4)."""

    why: str
    way_out: str


ToldEvent: TypeAlias = (
    KillActivated
    | KillEased
    | KillReset
    | BreakerOpened
    | BreakerReset
    | WarningChanged
    | RecoveryEntered
    | RecoveryEnded
    | StorePoisoned
    | BooksDamaged
)

IN_JOURNAL: Final = (
    KillActivated,
    KillEased,
    KillReset,
    BreakerOpened,
    BreakerReset,
    WarningChanged,
    RecoveryEntered,
    RecoveryEnded,
)
STARTS: Final = (KillEased, KillReset, BreakerReset, RecoveryEnded)
"""Told once they are power-durable, and otherwise never (rule 3)."""
_MARKS: Final = tuple(f'["{kind.__name__}",'.encode() for kind in IN_JOURNAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One thing to tell. `time` is the sidecar's `now` in nanoseconds.

    `index` is the event's place in record `sequence`. What stands in no record has the sequence of
    the newest one, and an index behind all of its events.
    """

    sequence: int
    index: int
    time: int
    kind: TransitionType
    event: ToldEvent
    actor: Actor = SIDECAR

    @property
    def place(self) -> tuple[int, int]:
        """Return where it stands among all others."""
        return self.sequence, self.index

    @property
    def is_in_journal(self) -> bool:
        """Whether it is an event of a record."""
        return not isinstance(self.event, (StorePoisoned, BooksDamaged))

    @property
    def is_start(self) -> bool:
        """Whether it is told only once it is power-durable."""
        return isinstance(self.event, STARTS)

    def is_wanted(self, kinds: frozenset[TransitionType]) -> bool:
        """Say whether a target that asked for `kinds` is told.

        A start on a store that had been poisoned is told to who asked for poisoned stores too:
        the process that met the bad disk may have ended before it could say so.
        """
        if self.kind in kinds:
            return True
        event = self.event
        return (
            isinstance(event, RecoveryEntered)
            and POISONED_BEFORE in event.detail
            and TransitionType.STORE_POISONED in kinds
        )

    def message_id(self, store_id: str) -> str:
        """Return what a receiver tells repeats by (rule 2)."""
        name = type(self.event).__name__
        content = f"{store_id}\n{self.sequence}\n{self.index}\n{self.time}\n{name}"
        return f"msg_{hashlib.sha256(content.encode()).hexdigest()[:32]}"


def kind_of(event: object) -> TransitionType | None:
    """Return what an event is told as; None where it is nothing people are told of (rule 1)."""
    match event:
        case KillActivated():
            return TransitionType.KILL_ACTIVATED
        case KillEased():
            return TransitionType.KILL_EASED
        case KillReset():
            return TransitionType.KILL_RESET
        case BreakerOpened():
            is_first = event.is_first
            return (
                TransitionType.BREAKER_TRIPPED if is_first else TransitionType.BREAKER_CAUSE_ADDED
            )
        case BreakerReset():
            return TransitionType.BREAKER_RESET
        case WarningChanged():
            is_raised = event.is_raised
            return TransitionType.WARNING_RAISED if is_raised else TransitionType.WARNING_CLEARED
        case RecoveryEntered():
            # A clean start, and one after a mere crash, stop nothing.
            return TransitionType.RECOVERY_ENTERED if event.way_out else None
        case RecoveryEnded():
            return TransitionType.RECOVERY_ENDED
        case StorePoisoned():
            return TransitionType.STORE_POISONED
        case BooksDamaged():
            return TransitionType.BOOKS_DAMAGED
    return None


def transitions_of(
    sequence: int, time: int, actor: Actor, events: Sequence[Event]
) -> list[Transition]:
    """Return what a record tells people, in its order."""
    return [
        Transition(sequence=sequence, index=index, time=time, kind=kind, event=event, actor=actor)
        for index, event in enumerate(events)
        if isinstance(event, IN_JOURNAL) and (kind := kind_of(event)) is not None
    ]


def transitions_in(payload: bytes) -> list[Transition]:
    """Return what the record of these bytes tells people; RecordError where it cannot be read.

    Nearly every record tells nothing, and is not decoded.
    """
    if not any(mark in payload for mark in _MARKS):
        return []
    record: Record = decode_record(payload)
    return transitions_of(record.sequence, record.time, record.actor, record.events)
