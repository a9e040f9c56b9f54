"""How a SQLite store is opened: the lock first, then what is found, then one decision.

Rules:
1. Nothing is opened before the directory is ours, and nothing is changed where damage was found.
2. A journal that ends before what was acknowledged is damaged: a database or WAL deleted or cut is
   never taken for a shorter, healthy one, least of all for a new one.
3. After a healthy open everything recovered is power-durable, whatever it was before.
4. A reconcile that is owed is written down before the first new record, so that no number of
   restarts forgets it.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import apsw

from sidecar.store.errors import (
    StoreDamagedError,
    StoreError,
    StoreMismatchError,
    StoreMissingError,
)
from sidecar.store.lock import DirectoryLock, Holder
from sidecar.store.merkle_tree import Frontier, JournalBase
from sidecar.store.records import EMPTY_CHAIN_HASH
from sidecar.store.recovery import (
    Damage,
    RecoveryFacts,
    RecoveryKind,
    classify,
    read_boot_id,
)
from sidecar.store.snapshot import list_snapshot_files, read_head, sync_directory
from sidecar.store.sqlite_database import (
    DATABASE_FILE_NAME,
    FORMAT_VERSION,
    META_SQL,
    WAL_FILE_NAME,
    JournalFound,
    check_journal,
    create_database,
    open_connection,
    read_meta,
    read_rows,
)
from sidecar.store.sqlite_store import (
    META_CLEAN_SEQUENCE,
    META_RECOVERY_OWED,
    OpenedParts,
    SqliteStore,
)
from sidecar.store.sqlite_tree import (
    INSERT_FRONTIER_SQL,
    TREE_STEP_COUNT,
    create_tables,
    last_frontier_size,
    last_head_size,
    read_base,
    read_frontier,
)
from sidecar.store.sqlite_writer import CHECKPOINT_PAGES_COUNT, SqliteWriter
from sidecar.store.store import NONCES_COUNT_MAX, SNAPSHOTS_KEPT_COUNT, ClockKind
from sidecar.store.wal import count_run_frames
from sidecar.store.watermark import Marks, Watermark, acknowledged_by, read_marks

META_BOOT_ID = "store.boot_id"
OWED_POISONED = "poisoned"
OWED_REBOOT = "reboot"
DIRECTORY_MODE = 0o700


def make_store_id() -> str:
    """Return 128 random bits in hex."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOptions:
    """How to open a store; ids and boot are arguments so that tests can choose them."""

    clock_kind: ClockKind
    holder: Holder
    must_exist: bool = False
    """Refuse to make a new store (`serve --existing`)."""
    make_store_id: Callable[[], str] = make_store_id
    boot_id: str = field(default_factory=read_boot_id)
    nonces_count_max: int = NONCES_COUNT_MAX
    checkpoint_pages_count: int = CHECKPOINT_PAGES_COUNT


@dataclass(slots=True, kw_only=True)
class _Opening:
    """What is known so far while a store is being opened."""

    marks: Marks | None
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


def open_sqlite_store(directory: Path, options: OpenOptions) -> SqliteStore:
    """Return the store in `directory`, made if there is none.

    Raises StoreHeldError, StoreMissingError, StoreMismatchError, and StoreDamagedError where not
    even the store's identity can be read. Other damage is a fact of the store returned.
    """
    notes = _prepare_directory(directory, must_exist=options.must_exist)
    lock = DirectoryLock.acquire(directory, options.holder)
    try:
        return _open_locked(directory, options, lock, notes)
    except OSError as error:
        lock.release()
        raise StoreError(f"{directory}: {error}") from error
    except apsw.Error as error:
        lock.release()
        raise StoreError(f"{directory}: {type(error).__name__}: {error}") from error
    except BaseException:
        lock.release()
        raise


def _open_locked(
    directory: Path, options: OpenOptions, lock: DirectoryLock, notes: list[str]
) -> SqliteStore:
    opening = _Opening(marks=read_marks(directory))
    is_new = _is_new(directory, opening.marks)
    if is_new:
        if options.must_exist:
            raise StoreMissingError(f"{directory}: holds no store (start without --existing)")
        store_id = options.make_store_id()
        create_database(directory, store_id=store_id, clock_kind=options.clock_kind)
    _inspect(directory, opening, options.boot_id)
    store_id, clock_kind = _identity(directory, opening)
    try:
        _check_kind(directory, opening, clock_kind, options.clock_kind)
        facts = _facts(opening, is_new=is_new, boot_id_now=options.boot_id)
        notes += _notes(opening, facts)
        writer = None
        if facts.damage is None and opening.connection is not None:
            writer = _begin_writing(directory, opening, options, facts, (store_id, clock_kind))
    except BaseException:
        if opening.connection is not None:
            opening.connection.close()
        raise
    return SqliteStore(
        OpenedParts(
            directory=directory,
            lock=lock,
            store_id=store_id,
            clock_kind=clock_kind,
            facts=facts,
            found=opening.found,
            base=opening.base,
            frontier=opening.frontier,
            meta=opening.meta,
            notes=notes,
            connection=opening.connection,
            writer=writer,
            nonces_count_max=options.nonces_count_max,
        )
    )


def _prepare_directory(directory: Path, *, must_exist: bool) -> list[str]:
    """Make `directory` for its owner alone; refuse one that others may write in."""
    if not must_exist:
        directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    try:
        status = directory.stat()
    except FileNotFoundError as error:
        raise StoreMissingError(
            f"{directory}: does not exist (start without --existing)"
        ) from error
    if status.st_uid not in {os.geteuid(), 0}:
        raise StoreError(f"{directory}: belongs to user {status.st_uid} (use a directory of yours)")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StoreError(f"{directory}: others may write in it (chmod 700 {directory})")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return [f"{directory} may be read by others (chmod 700 {directory})"]
    return []


def _is_new(directory: Path, marks: Marks | None) -> bool:
    """Return whether there is no store here, not even the remains of one (rule 2)."""
    if (directory / DATABASE_FILE_NAME).exists():
        return False
    is_known = marks is not None and max(marks.written_sequence, marks.durable_sequence) > 0
    return not is_known and not list_snapshot_files(directory)


def _inspect(directory: Path, opening: _Opening, boot_id_now: str) -> None:
    """Open the database and find how far it is whole; damage becomes a fact."""
    if not (directory / DATABASE_FILE_NAME).exists():
        opening.found = replace(
            opening.found, damage=Damage(sequence=1, what=f"{DATABASE_FILE_NAME} is missing")
        )
        return
    run_frames_count = count_run_frames(directory / WAL_FILE_NAME)
    try:
        opening.connection = open_connection(directory)
        opening.meta = read_meta(opening.connection)
        opening.base = read_base(opening.connection, opening.meta)
        kept_frames_count, _ = opening.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
        snapshots = list_snapshot_files(directory)[:SNAPSHOTS_KEPT_COUNT]
        opening.found = check_journal(
            opening.connection,
            verified_sequence=_verified_sequence(opening.connection, snapshots),
            acknowledged=_acknowledged(opening, snapshots[0][0] if snapshots else 0, boot_id_now),
            base=opening.base,
        )
        if opening.found.damage is None:
            opening.frontier = read_frontier(
                opening.connection, opening.base, opening.found.last_sequence
            )
    except (apsw.Error, ValueError) as error:
        what = f"{DATABASE_FILE_NAME} cannot be read: {type(error).__name__}: {error}"
        opening.found = replace(opening.found, damage=Damage(sequence=1, what=what))
        return
    opening.torn_frames_count = max(0, run_frames_count - max(kept_frames_count, 0))


def _verified_sequence(connection: apsw.Connection, snapshots: list[tuple[int, Path]]) -> int:
    """Return the record from which the chain is computed: the oldest snapshot's that fits it.

    Its head names the chain's hash at that record. Whether the rest of the file is whole is looked
    at when it is read; what is then replayed instead is proved against the chain row by row.
    """
    fitting = []
    for sequence, path in snapshots:
        head = read_head(path, sequence)
        rows, _ = read_rows(connection, sequence, 1)
        if head is not None and rows and rows[0][:2] == (sequence, _hash_in(head)):
            fitting.append(sequence)
    return min(fitting, default=0)


def _hash_in(head: dict[str, Any]) -> bytes:
    try:
        return bytes.fromhex(head["chain_hash"])
    except (KeyError, TypeError, ValueError):
        return b""


def _acknowledged(opening: _Opening, snapshot_sequence: int, boot_id_now: str) -> int:
    """Return what the journal must reach: power-durable, signed, or written on this boot."""
    witnesses = [snapshot_sequence, int(opening.meta.get(META_CLEAN_SEQUENCE, "0"))]
    if opening.connection is not None:
        witnesses.append(last_head_size(opening.connection))
    if opening.marks is not None:
        witnesses.append(acknowledged_by(opening.marks, boot_id_now))
    return max(witnesses)


def _identity(directory: Path, opening: _Opening) -> tuple[str, ClockKind]:
    """Return the store's id and clock kind, from the database or else from the watermark."""
    store_id = opening.meta.get("store.id")
    for clock_kind in get_args(ClockKind):
        if store_id is not None and opening.meta.get("store.clock_kind") == clock_kind:
            return store_id, clock_kind
    if opening.marks is not None:
        return opening.marks.store_id, opening.marks.clock_kind
    damage = opening.found.damage or Damage(sequence=1, what="the store's identity is missing")
    raise StoreDamagedError(
        sequence=damage.sequence, what=f"{directory}: {damage.what}", way_out=damage.way_out
    )


def _check_kind(directory: Path, opening: _Opening, stored: ClockKind, asked: ClockKind) -> None:
    """Refuse a store of another format or clock, naming both (S2.5)."""
    version = opening.meta.get("store.format_version", FORMAT_VERSION)
    if version != FORMAT_VERSION:
        raise StoreMismatchError(
            what=f"{directory}: format version",
            stored=version,
            asked=FORMAT_VERSION,
            way_out="use the version of haltline that wrote it",
        )
    if stored != asked:
        raise StoreMismatchError(
            what=f"{directory}: clock",
            stored=stored,
            asked=asked,
            way_out=f"its clock is for life: use --clock {stored}, or another --data-dir",
        )


def _facts(opening: _Opening, *, is_new: bool, boot_id_now: str) -> RecoveryFacts:
    owed = opening.meta.get(META_RECOVERY_OWED, "")
    is_marked_poisoned = opening.marks is not None and opening.marks.is_poisoned
    is_watermark_missing = opening.marks is None and not is_new
    return RecoveryFacts(
        is_new=is_new,
        boot_id_then=opening.meta.get(META_BOOT_ID, ""),
        boot_id_now=boot_id_now,
        was_clean_stop=META_CLEAN_SEQUENCE in opening.meta
        and opening.meta[META_CLEAN_SEQUENCE] == str(opening.found.last_sequence),
        was_poisoned=is_marked_poisoned or owed == OWED_POISONED,
        is_reconcile_owed=bool(owed) or is_watermark_missing,
        damage=opening.found.damage,
        torn_tail_frames_count=opening.torn_frames_count,
    )


def _notes(opening: _Opening, facts: RecoveryFacts) -> list[str]:
    notes = []
    if facts.torn_tail_frames_count:
        notes.append(
            f"{facts.torn_tail_frames_count} unfinished writes were cut from the journal's tail"
        )
    if opening.marks is None and not facts.is_new:
        notes.append("the watermark file is missing or not whole; a reconcile is asked for")
    return notes


def _begin_writing(
    directory: Path,
    opening: _Opening,
    options: OpenOptions,
    facts: RecoveryFacts,
    identity: tuple[str, ClockKind],
) -> SqliteWriter:
    """Make what was recovered power-durable, note this start, and return the writer.

    The order matters: the watermark comes last, because its boot id says that `written` binds.
    """
    connection = opening.connection
    if connection is None:
        raise StoreError(f"{directory}: there is no database to write to")
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    owed = ""
    if classify(facts) is RecoveryKind.RECONCILE:
        owed = OWED_POISONED if facts.was_poisoned else OWED_REBOOT
    with connection:
        create_tables(connection)
        if opening.frontier.size - last_frontier_size(connection) >= TREE_STEP_COUNT:
            row = (opening.frontier.size, opening.frontier.to_bytes())
            connection.execute(INSERT_FRONTIER_SQL, row)
        connection.execute("DELETE FROM meta WHERE key = ?", (META_CLEAN_SEQUENCE,))
        connection.executemany(
            META_SQL, [(META_BOOT_ID, options.boot_id), (META_RECOVERY_OWED, owed)]
        )
    sync_directory(directory)
    store_id, clock_kind = identity
    last_sequence = opening.found.last_sequence
    watermark = Watermark(
        directory,
        Marks(
            store_id=store_id,
            clock_kind=clock_kind,
            boot_id=options.boot_id,
            written_sequence=last_sequence,
            durable_sequence=last_sequence,
            is_poisoned=facts.was_poisoned,
        ),
    )
    return SqliteWriter(
        directory,
        connection,
        watermark,
        checkpoint_pages_count=options.checkpoint_pages_count,
    )
