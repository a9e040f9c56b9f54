"""The database file under the SQLite store: how it is made, opened and checked.

Rules:
1. It is made beside, whole and synced, then renamed: a half-made one is never opened.
2. Pages carry checksums where the library brings the checksum VFS; rows carry a hash chain always.
   `PRAGMA quick_check` through that VFS reads every page, so it sees a changed byte.
3. The file is never opened by anything but SQLite while a connection is open in this process:
   closing any other descriptor of it would drop SQLite's own locks (POSIX).
4. Checkpoints are ours to order, also on close: a damaged or poisoned store stays as it was found.
5. The WAL's index and its locks are in this process's memory (`unix-excl`): no other process has
   business here while we run, and six calls of `fcntl` were half of what a commit cost.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

import apsw
import apsw.sqlite_extra

from sidecar.store.errors import StoreError, StoreMismatchError
from sidecar.store.merkle_tree import JournalBase
from sidecar.store.records import EMPTY_CHAIN_HASH, chain_hash_after
from sidecar.store.recovery import Damage
from sidecar.store.snapshot import sync_directory
from sidecar.store.store import ClockKind
from sidecar.store.wal import pages_of_run

DATABASE_FILE_NAME = "journal.db"
WAL_FILE_NAME = "journal.db-wal"
FORMAT_VERSION = "1"
BUSY_TIMEOUT_MILLISECONDS = 10_000
READ_ROWS_COUNT = 500

_CREATING_FILE_NAME = "journal.db.creating"
_CHECKSUM_EXTENSION = "cksumvfs"
_CHECKSUM_VFS = "cksmvfs"
_ONE_PROCESS_VFS = "unix-excl"
_CHECKSUM_RESERVE_BYTES = 8
_RESERVE_BYTE_OFFSET = 20
_SCHEMA = """
CREATE TABLE journal (
    sequence INTEGER PRIMARY KEY,
    hash BLOB NOT NULL,
    record BLOB NOT NULL
);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE nonce (nonce TEXT PRIMARY KEY, expires_at_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX nonce_expiry ON nonce (expires_at_ns);
"""
READ_SQL = """
SELECT sequence, hash, record FROM journal WHERE sequence >= ? ORDER BY sequence LIMIT ?
"""
META_SQL = """
INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value
"""
JournalRow = tuple[int, bytes, bytes]
"""Sequence, hash of the chain up to it, record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalFound:
    """How far a journal can be trusted."""

    last_sequence: int
    chain_hash: bytes
    damage: Damage | None


def create_database(directory: Path, *, store_id: str, clock_kind: ClockKind) -> None:
    """Make an empty store's database in `directory`, power-durable, whole or not at all."""
    path = directory / _CREATING_FILE_NAME
    path.unlink(missing_ok=True)
    connection = apsw.Connection(str(path), vfs=_vfs_name())
    if _vfs_name() == _CHECKSUM_VFS:
        connection.reserve_bytes(reserve=_CHECKSUM_RESERVE_BYTES)
    connection.pragma("synchronous", "FULL")
    with connection:
        connection.execute(_SCHEMA)
        identity = {
            "store.id": store_id,
            "store.clock_kind": clock_kind,
            "store.format_version": FORMAT_VERSION,
        }
        connection.executemany(META_SQL, identity.items())
    connection.close()
    path.chmod(0o600)
    path.rename(directory / DATABASE_FILE_NAME)
    sync_directory(directory)


def open_connection(directory: Path) -> apsw.Connection:
    """Return a connection that syncs fully and never checkpoints by itself.

    Raises apsw.Error where the file is no database; StoreMismatchError where it needs the
    checksum VFS and this library has none.
    """
    path = directory / DATABASE_FILE_NAME
    vfs = _vfs_name()
    if vfs != _CHECKSUM_VFS and has_page_checksums(path):
        raise StoreMismatchError(
            what=f"{path}: page checksums",
            stored="kept",
            asked="unsupported by this apsw",
            way_out="install the apsw wheel that brings the SQLite extras",
        )
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.set_busy_timeout(BUSY_TIMEOUT_MILLISECONDS)
    connection.wal_autocheckpoint(0)
    connection.pragma("synchronous", "FULL")
    if connection.pragma("journal_mode", "WAL") != "wal":
        connection.close()
        raise StoreError(f"{path}: WAL is refused here (use a local file system)")
    return connection


def open_connection_read_only(directory: Path) -> apsw.Connection:
    """Return a connection that writes nothing, makes no file and takes no lock.

    For a store nobody runs. Without a WAL the file is whole by itself; with one, it is read
    through an index held in memory.
    """
    path = directory / DATABASE_FILE_NAME
    has_wal = (directory / WAL_FILE_NAME).exists()
    uri = path.absolute().as_uri() + ("?mode=ro" if has_wal else "?mode=ro&immutable=1")
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    connection = apsw.Connection(uri, flags=flags, vfs="unix-none")
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.pragma("locking_mode", "EXCLUSIVE")
    return connection


def has_page_checksums(path: Path) -> bool:
    """Return whether the database keeps a checksum on every page; call before opening it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.pread(descriptor, 1, _RESERVE_BYTE_OFFSET) == bytes([_CHECKSUM_RESERVE_BYTES])
    finally:
        os.close(descriptor)


def read_meta(connection: apsw.Connection) -> dict[str, str]:
    """Return every named value. Raises apsw.Error, or ValueError where one is no text any more."""
    return {
        str(key): str(value) for key, value in connection.execute("SELECT key, value FROM meta")
    }


def words_of(error: Exception) -> str:
    """Return what went wrong in words; SQLite calls a wrong checksum an I/O error."""
    if getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_DATA:
        return f"a page of {DATABASE_FILE_NAME} does not match its checksum"
    return f"{type(error).__name__}: {error}"


def read_hash(connection: apsw.Connection, sequence: int) -> bytes | None:
    """Return the hash of the chain up to record `sequence`, or None where it cannot be read."""
    if sequence == 0:
        return EMPTY_CHAIN_HASH
    rows, _ = read_rows(connection, sequence, 1)
    return rows[0][1] if rows and rows[0][0] == sequence else None


def last_readable_sequence(connection: apsw.Connection) -> int:
    """Return the greatest sequence that any readable row has, 0 where none can be read."""
    try:
        return int(next(connection.execute("SELECT max(sequence) FROM journal"))[0] or 0)
    except apsw.Error:
        return 0


def read_nonces(connection: apsw.Connection) -> tuple[list[tuple[str, int]], str]:
    """Return the remembered nonces with their expiry, and what stopped the reading."""
    nonces: list[tuple[str, int]] = []
    try:
        for nonce, expires_at_ns in connection.execute("SELECT nonce, expires_at_ns FROM nonce"):
            nonces.append((str(nonce), int(expires_at_ns)))
    except (apsw.Error, TypeError, ValueError) as error:
        return nonces, words_of(error)
    return nonces, ""


def find_cut_page(directory: Path, connection: apsw.Connection, kept_frames_count: int) -> str:
    """Say which page the database file should hold and does not, empty if all are there.

    SQLite reads a page that is cut off as if it ended in zeros, and checks no sum of it. What
    the WAL holds is written there again, so a checkpoint cut off by a crash is no damage.
    """
    page_bytes = int(connection.pragma("page_size"))
    pages_count = int(connection.pragma("page_count"))
    whole_count = (directory / DATABASE_FILE_NAME).stat().st_size // page_bytes
    if whole_count >= pages_count:
        return ""
    in_wal = pages_of_run(directory / WAL_FILE_NAME, kept_frames_count)
    for page in range(whole_count + 1, pages_count + 1):
        if page not in in_wal:
            return f"{DATABASE_FILE_NAME} is cut off in page {page} of {pages_count}"
    return ""


def check_journal(
    connection: apsw.Connection,
    base: JournalBase,
    *,
    fault: str,
    verified_sequence: int,
    acknowledged: int,
) -> JournalFound:
    """Return how far the journal is whole, beginning after `base`; `fault` is known already.

    Every page is read for its checksum. The hash chain is computed from `verified_sequence` on (a
    snapshot holds what came before), or from the start if anything looks wrong. A journal that
    ends before `acknowledged` has lost records.
    """
    fault = fault or _find_fault(connection, base.size)
    found = scan_chain(connection, base, after=0 if fault else verified_sequence)
    if found.damage is not None:
        return found
    if fault:
        return _damaged(found, fault)
    if found.last_sequence < acknowledged:
        return _damaged(
            found, f"the journal ends at {found.last_sequence}, but {acknowledged} was acknowledged"
        )
    return found


def scan_chain(connection: apsw.Connection, base: JournalBase, *, after: int) -> JournalFound:
    """Compute the hash chain over every record later than `after`, at bounded memory."""
    found = JournalFound(last_sequence=base.size, chain_hash=base.chain_hash, damage=None)
    if after > base.size:
        rows, _ = read_rows(connection, after, 1)
        if not rows or rows[0][0] != after:
            return scan_chain(connection, base, after=0)
        found = JournalFound(last_sequence=after, chain_hash=rows[0][1], damage=None)
    while True:
        rows, fault = read_rows(connection, found.last_sequence + 1, READ_ROWS_COUNT)
        found = follow(found, rows)
        if found.damage is not None:
            return found
        if fault:
            return _damaged(found, fault)
        if not rows:
            return found


def read_rows(
    connection: apsw.Connection, from_sequence: int, rows_count: int
) -> tuple[list[JournalRow], str]:
    """Return up to `rows_count` rows, and what stopped the reading, empty if nothing did."""
    rows: list[JournalRow] = []
    try:
        cursor = connection.execute(READ_SQL, (from_sequence, rows_count))
        for sequence, stored_hash, record in cursor:
            if type(stored_hash) is not bytes or type(record) is not bytes:
                return rows, f"record {sequence} is no blob"
            rows.append((sequence, stored_hash, record))
    except (apsw.Error, ValueError) as error:  # ValueError: text that is no text any more
        return rows, words_of(error)
    return rows, ""


def follow(found: JournalFound, rows: list[JournalRow]) -> JournalFound:
    """Return `found` moved on by `rows`, or up to the damage that they show."""
    last_sequence, chain_hash, what = found.last_sequence, found.chain_hash, ""
    for sequence, stored_hash, record in rows:
        if sequence != last_sequence + 1:
            what = f"the record is missing, the next one is {sequence}"
            break
        next_hash = chain_hash_after(chain_hash, sequence, record)
        if next_hash != stored_hash:
            what = "the record does not match its hash"
            break
        last_sequence, chain_hash = sequence, next_hash
    found = JournalFound(last_sequence=last_sequence, chain_hash=chain_hash, damage=None)
    return _damaged(found, what) if what else found


def _damaged(found: JournalFound, what: str) -> JournalFound:
    return JournalFound(
        last_sequence=found.last_sequence,
        chain_hash=found.chain_hash,
        damage=Damage(sequence=found.last_sequence + 1, what=what),
    )


def _find_fault(connection: apsw.Connection, base_size: int) -> str:
    """Return the first thing wrong with the pages or the count of records, empty if none is."""
    try:
        first_problem = str(next(connection.execute("PRAGMA quick_check(1)"))[0])
        count, first, last = next(
            connection.execute("SELECT count(*), min(sequence), max(sequence) FROM journal")
        )
    except apsw.Error as error:
        return words_of(error)
    if first_problem != "ok":
        return f"quick_check: {' '.join(first_problem.split())}"
    if count and (first != base_size + 1 or last != base_size + count):
        return f"{count} records with sequences {first} to {last}"
    return ""


@functools.cache
def _vfs_name() -> str:
    """Return the VFS of every writing connection: one process, checksums where they can be had.

    The checksum VFS is loaded once and stands on whichever VFS is the default at that moment.
    """
    if apsw.sqlite_extra.has(_CHECKSUM_EXTENSION) is None:
        return _ONE_PROCESS_VFS
    default_vfs = apsw.vfs_names()[0]
    apsw.set_default_vfs(_ONE_PROCESS_VFS)
    try:
        with_extension = apsw.Connection(":memory:")
        apsw.sqlite_extra.load(with_extension, _CHECKSUM_EXTENSION)
        with_extension.close()
    finally:
        apsw.set_default_vfs(default_vfs)
    return _CHECKSUM_VFS
