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

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from sidecar.store.digests import DIGESTS_PER_SECRET_MAX
from sidecar.store.directory import (
    Place,
    prepare_directory,
    refuse_unfinished_repair,
)
from sidecar.store.errors import StoreError, StoreMismatchError, StoreMissingError
from sidecar.store.examination import (
    META_BOOT_ID,
    META_CLEAN_SEQUENCE,
    META_RECOVERY_OWED,
    OWED_POISONED,
    OWED_REBOOT,
    OWED_REPAIRED,
    Examination,
    examine,
    facts_of,
    identity_of,
    is_new,
    notes_of,
)
from sidecar.store.lock import DirectoryLock, Holder
from sidecar.store.recovery import RecoveryFacts, RecoveryKind, classify, read_boot_id
from sidecar.store.snapshot import foreign_notes, set_foreign_aside, sync_directory
from sidecar.store.sqlite_database import META_SQL, create_database, words_of
from sidecar.store.sqlite_digests import create_digest_table
from sidecar.store.sqlite_store import OpenedParts, SqliteStore
from sidecar.store.sqlite_tree import (
    INSERT_FRONTIER_SQL,
    TREE_STEP_COUNT,
    create_tables,
    last_frontier_size,
)
from sidecar.store.sqlite_writer import CHECKPOINT_PAGES_COUNT, SqliteWriter
from sidecar.store.store import NONCES_COUNT_MAX, ClockKind
from sidecar.store.watermark import Marks, Watermark, read_marks
from sidecar.store.ways_out import WAY_OUT_UNKNOWN, way_out_of


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
    digests_count_max: int = DIGESTS_PER_SECRET_MAX
    checkpoint_pages_count: int = CHECKPOINT_PAGES_COUNT


def open_sqlite_store(directory: Path, options: OpenOptions) -> SqliteStore:
    """Return the store in `directory`, made if there is none.

    Raises StoreHeldError, StoreMissingError, StoreMismatchError, and StoreDamagedError where not
    even the store's identity can be read. Other damage is a fact of the store returned.
    """
    notes = prepare_directory(directory, must_exist=options.must_exist)
    lock = DirectoryLock.acquire(directory, options.holder)
    try:
        return _open_locked(directory, options, lock, notes)
    except OSError as error:
        lock.release()
        raise StoreError(f"{directory}: {error} ({way_out_of(error)})") from error
    except apsw.Error as error:
        lock.release()
        text = f"{directory}: {words_of(error)}"
        raise StoreError(f"{text} ({_way_out_of_database(error)})") from error
    except BaseException:
        lock.release()
        raise


def _way_out_of_database(error: apsw.Error) -> str:
    """Return what to do about what SQLite said."""
    if isinstance(error, apsw.FullError):
        return "free some disk space, then start again"
    if isinstance(error, (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError)):
        return "make the file system and the directory writable for this user"
    return WAY_OUT_UNKNOWN


def _open_locked(
    directory: Path, options: OpenOptions, lock: DirectoryLock, notes: list[str]
) -> SqliteStore:
    refuse_unfinished_repair(directory)
    was_absent = is_new(directory, read_marks(directory))
    if was_absent:
        if options.must_exist:
            raise StoreMissingError(f"{directory}: holds no store (start without --existing)")
        store_id = options.make_store_id()
        create_database(directory, store_id=store_id, clock_kind=options.clock_kind)
    found = examine(directory, boot_id_now=options.boot_id)
    try:
        store_id, clock_kind = identity_of(directory, found)
        _refuse_other_clock(directory, clock_kind, options.clock_kind)
        facts = facts_of(found, is_new=was_absent, boot_id_now=options.boot_id)
        notes += notes_of(found, facts)
        notes += foreign_notes(directory, store_id)
        writer = None
        if facts.damage is None and found.connection is not None:
            writer = _begin_writing(directory, found, options, facts, (store_id, clock_kind))
    except BaseException:
        found.close()
        raise
    return SqliteStore(
        OpenedParts(
            directory=directory,
            lock=lock,
            store_id=store_id,
            clock_kind=clock_kind,
            facts=facts,
            found=found.found,
            base=found.base,
            frontier=found.frontier,
            meta=found.meta,
            notes=notes,
            connection=found.connection,
            writer=writer,
            nonces_count_max=options.nonces_count_max,
            digests_count_max=options.digests_count_max,
        )
    )


def _refuse_other_clock(directory: Path, stored: ClockKind, asked: ClockKind) -> None:
    """Refuse a store of another clock, naming both (S2.5)."""
    if stored != asked:
        raise StoreMismatchError(
            what=f"{directory}: clock",
            stored=stored,
            asked=asked,
            way_out=f"its clock is for life: use --clock {stored}, or another --data-dir",
        )


def _begin_writing(
    directory: Path,
    found: Examination,
    options: OpenOptions,
    facts: RecoveryFacts,
    identity: tuple[str, ClockKind],
) -> SqliteWriter:
    """Make what was recovered power-durable, note this start, and return the writer.

    The order matters: the watermark comes last, because its boot id says that `written` binds.
    """
    connection = found.connection
    if connection is None:
        raise StoreError(f"{directory}: there is no database to write to")
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    owed = _owed(facts)
    with connection:
        create_tables(connection)
        create_digest_table(connection)
        if found.frontier.size - last_frontier_size(connection) >= TREE_STEP_COUNT:
            row = (found.frontier.size, found.frontier.to_bytes())
            connection.execute(INSERT_FRONTIER_SQL, row)
        connection.execute("DELETE FROM meta WHERE key = ?", (META_CLEAN_SEQUENCE,))
        connection.executemany(
            META_SQL, [(META_BOOT_ID, options.boot_id), (META_RECOVERY_OWED, owed)]
        )
    store_id, clock_kind = identity
    set_foreign_aside(directory, store_id)
    sync_directory(directory)
    last_sequence = found.found.last_sequence
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
        place=Place(directory),
        checkpoint_pages_count=options.checkpoint_pages_count,
    )


def _owed(facts: RecoveryFacts) -> str:
    """Return what is written down about a reconcile, so that no restart forgets why."""
    if classify(facts) is not RecoveryKind.RECONCILE:
        return ""
    if facts.was_repaired:
        return OWED_REPAIRED
    return OWED_POISONED if facts.was_poisoned else OWED_REBOOT
