"""What was folded: triggers and denials beyond ten alike in a second share a record (S12.6).

Rules:
- A folded answer carries the newest record's sequence; its fold stands in a later record, before
  whatever that record itself is about.
- Only what was folded after the last record may be lost, and only by kill -9.
"""

from collections.abc import Iterator

from sidecar.core import events
from sidecar.core.commands import KillScope
from sidecar.service.records import Record
from tests.concurrency.history import Answered
from tests.simulation.model_facts import Memory

_FOLDS = (events.DenialsFolded, events.KillsFolded)


def own_events(record: Record) -> list[events.Event]:
    """Return what a record itself is about, without the folds it took along."""
    return [event for event in record.events if not isinstance(event, _FOLDS)]


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


def folded_kills(records: list[Record]) -> frozenset[KillScope]:
    """Return the scopes whose attempts a status may show before their fold is written."""
    return frozenset(
        fold.scope
        for record in records
        for event in record.events
        if isinstance(event, events.KillsFolded)
        for fold in event.folds
    )


def find_unfolded(folded: dict[str, list[Answered]], last: int) -> Iterator[str]:
    """Name every answer that says it was folded, and that no fold tells of."""
    for several in folded.values():
        for item in several:
            if item.kind != "TriggerKill" and item.sequence != last:
                yield (
                    f"model: {item.kind} {item.subject} was folded after {item.sequence}, and no "
                    "fold tells of a denial such as was answered"
                )
