"""What is found in a data directory, before anything is decided or changed (S12.4).

Rules:
1. Looking changes nothing: no checkpoint, no new record, no new file but SQLite's empty WAL.
2. A journal that ends before what was acknowledged is damaged: a database or WAL deleted or cut is
   never taken for a shorter, healthy one, least of all for a new one.
3. Witnesses must agree. A watermark of another store, or a snapshot taken of another past, is
   damage: nobody here can tell which of the files is the true one.
4. A repair that was cut off is finished, not started on.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

import apsw

from sidecar.store.errors import StoreDamagedError, StoreMismatchError
from sidecar.store.merkle_tree import Frontier, JournalBase
from sidecar.store.records import EMPTY_CHAIN_HASH
from sidecar.store.recovery import Damage, RecoveryFacts
from sidecar.store.snapshot import (
    hash_in,
    is_foreign,
    list_snapshot_files,
    read_head,
    read_snapshot_file,
)
from sidecar.store.sqlite_database import (
    DATABASE_FILE_NAME,
    FORMAT_VERSION,
    WAL_FILE_NAME,
    JournalFound,
    check_journal,
    find_cut_page,
    open_connection,
    read_hash,
    read_meta,
    words_of,
)
from sidecar.store.sqlite_tree import last_head_size, read_base, read_frontier
from sidecar.store.store import SNAPSHOTS_KEPT_COUNT, ClockKind
from sidecar.store.wal import count_run_frames
from sidecar.store.watermark import Marks, acknowledged_by, read_marks

META_BOOT_ID = "store.boot_id"
META_CLEAN_SEQUENCE = "store.clean_sequence"
META_RECOVERY_OWED = "store.recovery_owed"
OWED_POISONED = "poisoned"
OWED_REBOOT = "reboot"
OWED_REPAIRED = "repaired"


@dataclass(slots=True, kw_only=True)
class Examination:
    """What is known about a directory's store. Whoever examined it closes `connection`."""

    marks: Marks | None
    acknowledged_sequence: int = 0
    torn_frames_count: int = 0
    connection: apsw.Connection | None = None
    meta: dict[str, str] = field(default_factory=dict)
    base: JournalBase = field(default_factory=JournalBase)
    frontier: Frontier = field(default_factory=Frontier)
    found: JournalFound = field(
        default_factory=lambda: JournalFound(
            last_sequence=0, chain_hash=EMPTY_CHAIN_HASH, damage=None
        )
    )

    def close(self) -> None:
        """Let go of the database, which stays as it was."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a journal is looked at. `is_thorough` computes the chain from its start, whatever a
    snapshot holds: for who reads without the checksums of pages.
    """

    boot_id_now: str
    kept_frames_count: int
    is_thorough: bool = False


def is_new(directory: Path, marks: Marks | None) -> bool:
    """Return whether there is no store here, not even the remains of one (rule 2)."""
    if (directory / DATABASE_FILE_NAME).exists():
        return False
    is_known = marks is not None and max(marks.written_sequence, marks.durable_sequence) > 0
    return not is_known and not list_snapshot_files(directory)


def examine(directory: Path, *, boot_id_now: str) -> Examination:
    """Open the database and find how far it is whole; damage becomes a fact.

    The directory must be ours alone. Raises StoreMismatchError where this library cannot read it.
    """
    examination = Examination(marks=read_marks(directory))
    if not (directory / DATABASE_FILE_NAME).exists():
        examination.found = replace(
            examination.found, damage=Damage(sequence=1, what=f"{DATABASE_FILE_NAME} is missing")
        )
        return examination
    run_frames_count = count_run_frames(directory / WAL_FILE_NAME)
    try:
        connection = examination.connection = open_connection(directory)
        examination.meta = read_meta(connection)
        refuse_other_format(directory, examination.meta)
        kept_frames_count, _ = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
        look = Look(boot_id_now=boot_id_now, kept_frames_count=max(kept_frames_count, 0))
        find_how_far(directory, connection, examination, look)
    except (apsw.Error, ValueError) as error:
        what = f"{DATABASE_FILE_NAME} cannot be read: {words_of(error)}"
        examination.found = replace(examination.found, damage=Damage(sequence=1, what=what))
        return examination
    except BaseException:
        examination.close()
        raise
    examination.torn_frames_count = max(0, run_frames_count - max(kept_frames_count, 0))
    return examination


def find_how_far(
    directory: Path,
    connection: apsw.Connection,
    examination: Examination,
    look: Look,
) -> None:
    """Read every page and witness, and note how far the journal is whole.

    Raises apsw.Error, and ValueError where what is kept of dropped records is not whole.
    """
    snapshots = _look_at_snapshots(directory, connection, examination.meta.get("store.id", ""))
    named = max(snapshots.named, default=0)
    examination.acknowledged_sequence = _acknowledged(examination, named, look.boot_id_now)
    base = examination.base = read_base(connection, examination.meta)
    found = check_journal(
        connection,
        base,
        fault=find_cut_page(directory, connection, look.kept_frames_count),
        verified_sequence=0 if look.is_thorough else min(snapshots.fitting, default=0),
        acknowledged=examination.acknowledged_sequence,
    )
    examination.found = found
    if found.damage is None:
        what = _disagreement(examination, snapshots.disagreeing)
        if what:
            damage = Damage(sequence=found.last_sequence + 1, what=what)
            examination.found = replace(found, damage=damage)
        else:
            examination.frontier = read_frontier(connection, base, found.last_sequence)


def _acknowledged(examination: Examination, snapshot_sequence: int, boot_id_now: str) -> int:
    """Return what the journal must reach: power-durable, signed, or written on this boot."""
    stopped_at = examination.meta.get(META_CLEAN_SEQUENCE, "")
    witnesses = [snapshot_sequence, int(stopped_at) if stopped_at.isdigit() else 0]
    if examination.connection is not None:
        witnesses.append(last_head_size(examination.connection))
    if examination.marks is not None:
        witnesses.append(acknowledged_by(examination.marks, boot_id_now))
    return max(witnesses)


@dataclass(slots=True)
class _Snapshots:
    """What the heads of the snapshots say, by sequence.

    A head alone proves nothing against the journal: only where it disagrees is the whole file read.
    What fits but turns out torn when it is read is replayed, and proved against the chain then.
    """

    named: list[int] = field(default_factory=list)
    fitting: list[int] = field(default_factory=list)
    disagreeing: list[int] = field(default_factory=list)


def _look_at_snapshots(directory: Path, connection: apsw.Connection, store_id: str) -> _Snapshots:
    found = _Snapshots()
    for sequence, path in list_snapshot_files(directory)[:SNAPSHOTS_KEPT_COUNT]:
        head = read_head(path, sequence)
        if head is not None and is_foreign(head, store_id):
            if read_snapshot_file(path, sequence) is None:
                found.named.append(sequence)
            continue
        found.named.append(sequence)
        chain_hash = read_hash(connection, sequence)
        if head is not None and chain_hash == hash_in(head):
            found.fitting.append(sequence)
        elif chain_hash is not None and read_snapshot_file(path, sequence) is not None:
            found.disagreeing.append(sequence)
    return found


def _disagreement(examination: Examination, disagreeing: list[int]) -> str:
    """Say which witness tells another story than the journal, empty where none does (rule 3)."""
    store_id, marks = examination.meta.get("store.id", ""), examination.marks
    if marks is not None and marks.store_id != store_id:
        return (
            f"the watermark is of store {marks.store_id}, the journal of {store_id}: "
            "files of two stores are mixed"
        )
    if disagreeing:
        return f"snapshot {disagreeing[0]} was taken of another past than the journal's"
    return ""


def identity_of(directory: Path, examination: Examination) -> tuple[str, ClockKind]:
    """Return the store's id and clock kind, from the database or else from the watermark.

    Raises StoreDamagedError where neither knows.
    """
    store_id = examination.meta.get("store.id")
    for clock_kind in get_args(ClockKind):
        if store_id is not None and examination.meta.get("store.clock_kind") == clock_kind:
            return store_id, clock_kind
    if examination.marks is not None:
        return examination.marks.store_id, examination.marks.clock_kind
    damage = examination.found.damage or Damage(sequence=1, what="the store's identity is missing")
    raise StoreDamagedError(
        sequence=damage.sequence,
        what=f"{directory}: {damage.what}; not even its identity can be read",
        way_out="restore the directory from a backup, or start on a new --data-dir and reconcile",
    )


def refuse_other_format(directory: Path, meta: dict[str, str]) -> None:
    """Raise StoreMismatchError where another version of haltline wrote the store."""
    version = meta.get("store.format_version", FORMAT_VERSION)
    if version != FORMAT_VERSION:
        raise StoreMismatchError(
            what=f"{directory}: format version",
            stored=version,
            asked=FORMAT_VERSION,
            way_out="use the version of haltline that wrote it",
        )


def facts_of(examination: Examination, *, is_new: bool, boot_id_now: str) -> RecoveryFacts:
    """Return what `recovery.classify` decides from."""
    meta, marks, found = examination.meta, examination.marks, examination.found
    owed = meta.get(META_RECOVERY_OWED, "")
    is_marked_poisoned = marks is not None and marks.is_poisoned
    return RecoveryFacts(
        is_new=is_new,
        boot_id_then=meta.get(META_BOOT_ID, ""),
        boot_id_now=boot_id_now,
        was_clean_stop=meta.get(META_CLEAN_SEQUENCE) == str(found.last_sequence),
        was_poisoned=is_marked_poisoned or owed == OWED_POISONED,
        was_repaired=owed == OWED_REPAIRED,
        is_reconcile_owed=bool(owed) or (marks is None and not is_new),
        damage=found.damage,
        torn_tail_frames_count=examination.torn_frames_count,
    )


def notes_of(examination: Examination, facts: RecoveryFacts) -> list[str]:
    """Return what the operator should know about what was found."""
    notes = []
    if facts.torn_tail_frames_count:
        notes.append(
            f"{facts.torn_tail_frames_count} unfinished writes were cut from the journal's tail"
        )
    if examination.marks is None and not facts.is_new:
        notes.append("the watermark file is missing or not whole; a reconcile is asked for")
    return notes
