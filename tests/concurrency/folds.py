"""What was folded: triggers and denials beyond ten alike in a second share a record (S12.6).

Rules:
- A folded answer carries the newest record's sequence; its fold stands in a later record, before
  whatever that record itself is about.
- Only what was folded after the last record may be lost, and only by kill -9.
"""

from collections.abc import Iterator

from sidecar.core import events
from sidecar.service.records import Record
from tests.concurrency.history import Answered
from tests.simulation.model_facts import Memory

_FOLDS = (events.DenialsFolded, events.KillsFolded)


def own_events(record: Record) -> list[events.Event]:
    """Return what a record itself is about, without the folds it took along."""
    return [event for event in record.events if not isinstance(event, _FOLDS)]


def folds_of(record: Record) -> list[events.Event]:
    """Return the folds a record took along."""
    return [event for event in record.events if isinstance(event, _FOLDS)]


def begins_at(record: Record) -> int:
    """Return when the first of what a record tells happened."""
    folded = [event for event in record.events if isinstance(event, events.DenialsFolded)]
    times = [asked.at for event in folded for asked in event.asked]
    return min([*times, record.time])


def add_attempts(memory: Memory, event: events.KillsFolded) -> None:
    """Tell the model what was triggered again."""
    for fold in event.folds:
        for kill in memory.kills:
            if kill.scope == fold.scope:
                kill.attempts += fold.count


def find_unfolded(folded: dict[str, list[Answered]], records: list[Record]) -> Iterator[str]:
    """Name every answer that says it was folded, and that no fold tells of."""
    lost_after = _last_of_lives(records)
    for several in folded.values():
        for item in several:
            if item.kind != "TriggerKill" and item.sequence not in lost_after:
                yield (
                    f"model: {item.kind} {item.subject} was folded after {item.sequence}, and no "
                    "fold tells of a denial such as was answered"
                )


def _last_of_lives(records: list[Record]) -> frozenset[int]:
    """Return the last record of each life: what was folded after it, its death has taken."""
    begins = [record.sequence for record in records if record.kind in _BEGINNINGS]
    return frozenset([*(sequence - 1 for sequence in begins), records[-1].sequence])


_BEGINNINGS = ("Configure", "Start")
