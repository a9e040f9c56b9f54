"""Reads the state back from a store: the newest snapshot, then every record after it (S12.4).

Rules:
1. What cannot be read is damage: the state is that of the last record that could, and the
   sidecar starts HALTED with the sequence and the way out.
2. A snapshot that cannot be read costs time, not truth: the one before it serves, or the journal
   is replayed from its start.
3. Opening changes nothing in the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from sidecar.clock import format_rfc3339
from sidecar.core import engine
from sidecar.core.answers import RecoveryState
from sidecar.core.state import State
from sidecar.service.records import RecordError, RecordVersionError, decode_record, decode_snapshot
from sidecar.store.errors import StoreDamagedError
from sidecar.store.recovery import WAY_OUT_NEWER, Damage, RecoveryKind, classify
from sidecar.store.store import Store

POISONED_BEFORE: Final = "the store was poisoned before"
_INSTEAD: Final = "the one before it, or the journal, serves instead"
WAY_OUT_RECONCILE: Final = (
    "send a ReportAccount with complete positions and open orders, or compare with the venue and "
    "run `haltline reset recovery --by NAME --reason TEXT`"
)


@dataclass(slots=True, kw_only=True)
class Opened:
    """The state of a store, and how it was found."""

    state: State
    records_count: int
    replayed_count: int
    last_at: int
    recovery: RecoveryState
    detail: str
    way_out: str
    denies_reducing: bool
    summary: str
    damage: str
    notes: list[str]


class JournalReader(Protocol):
    """What reading back needs of a store, one that is open or one that is only looked at."""

    @property
    def last_sequence(self) -> int:
        """Sequence of the last record."""

    def read(self, from_sequence: int) -> Iterator[tuple[int, bytes]]:
        """Yield the records from `from_sequence` on, as `Store` says."""

    def snapshots(self) -> Iterator[tuple[int, bytes]]:
        """Yield the snapshots, newest first, as `Store` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRead:
    """The state after the last record that can be read, and why not further."""

    state: State
    damage: Damage | None
    replayed_count: int
    notes: tuple[str, ...]


def read_state(reader: JournalReader) -> StateRead:
    """Return what the journal says; never raises for what a disk can do (rules 1 and 2)."""
    notes: list[str] = []
    state = _read_snapshot(reader, notes)
    snapshot_sequence = state.last_sequence
    damage = _replay(reader, state)
    return StateRead(
        state=state,
        damage=damage,
        replayed_count=state.last_sequence - snapshot_sequence,
        notes=tuple(notes),
    )


def open_state(store: Store) -> Opened:
    """Return what the store remembers, and what its facts call for (S12.4)."""
    read = read_state(store)
    state = read.state
    damage = read.damage or store.facts.damage
    kind = RecoveryKind.DAMAGED if damage is not None else classify(store.facts)
    summary = _summary(store, state)
    torn = store.facts.torn_tail_frames_count
    detail = f"{summary}; {torn} unfinished writes at the tail were cut" if torn else summary
    opened = Opened(
        state=state,
        records_count=state.last_sequence,
        replayed_count=read.replayed_count,
        last_at=state.now,
        recovery=RecoveryState(kind.value),
        detail=f"{detail}: {_why(store, kind)}",
        way_out="",
        denies_reducing=False,
        summary=summary,
        damage="",
        notes=[*store.notes, *read.notes],
    )
    if kind is RecoveryKind.RECONCILE:
        opened.way_out = WAY_OUT_RECONCILE
        opened.denies_reducing = store.facts.was_poisoned or store.facts.was_repaired
    if damage is not None:
        opened.damage = f"the journal is damaged at record {damage.sequence}: {damage.what}"
        opened.detail = f"{detail}; {opened.damage}"
        opened.way_out = damage.way_out
        opened.denies_reducing = True
    return opened


def _why(store: Store, kind: RecoveryKind) -> str:
    if kind is RecoveryKind.RECONCILE and store.facts.was_poisoned:
        return (
            f"{POISONED_BEFORE}; orders approved and kills taken from memory, answered as not "
            "durable, may be forgotten"
        )
    if kind is RecoveryKind.RECONCILE and store.facts.was_repaired:
        return (
            "the journal was repaired; what stood in the records cut off (approvals, reports, "
            "stops) is forgotten"
        )
    return _WHY[kind]


_WHY: Final = {
    RecoveryKind.CLEAN: "nothing was left unfinished",
    RecoveryKind.RECOVERED: "the process ended without a clean stop; nothing written was lost",
    RecoveryKind.RECONCILE: "the machine went down without a clean stop; approvals given "
    "shortly before may be forgotten",
    RecoveryKind.DAMAGED: "the journal is damaged",
}


def _summary(store: Store, state: State) -> str:
    if store.is_new:
        return "new store"
    if state.last_sequence == 0:
        return "recovered 0 records"
    return f"recovered {state.last_sequence} records, last at {format_rfc3339(state.now)}"


def _read_snapshot(store: JournalReader, notes: list[str]) -> State:
    """Return the state of the newest snapshot that can be read, an empty one where none can."""
    for sequence, payload in store.snapshots():
        try:
            state = decode_snapshot(payload)
        except RecordError as error:
            notes.append(f"snapshot {sequence} {error}; {_INSTEAD}")
            continue
        if state.last_sequence == sequence <= store.last_sequence:
            return state
        notes.append(f"snapshot {sequence} is of another journal; {_INSTEAD}")
    return State()


def _replay(store: JournalReader, state: State) -> Damage | None:
    """Fold the records after the state into it; return where that stopped, None at the end."""
    sequence = state.last_sequence
    try:
        for sequence, payload in store.read(state.last_sequence + 1):
            record = decode_record(payload)
            if record.sequence != sequence:
                return Damage(sequence=sequence, what=f"it says it is record {record.sequence}")
            engine.replay(state, sequence, record.time, record.events)
    except StoreDamagedError as error:
        return Damage(sequence=error.sequence, what=error.what, way_out=error.way_out)
    except RecordVersionError as error:
        return Damage(sequence=sequence, what=f"it {error}", way_out=WAY_OUT_NEWER, is_newer=True)
    except RecordError as error:
        return Damage(sequence=sequence, what=f"it {error}")
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        return Damage(sequence=sequence, what=f"it cannot be applied: {error!r}")
    return None
