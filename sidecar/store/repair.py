"""Cuts a damaged journal to its last whole record, after keeping a proved copy of everything.

Rules:
1. Refused on a store somebody runs, on a whole one, and where the copy finds no room.
2. The copy comes first, whole and read back. Only then is anything changed.
3. What replaces the journal is made beside it, checked as a start would check it, and becomes the
   repair by one rename. Before that the damaged store is as it was; after it the rest is only
   carried out, by whoever is asked next: a start refuses a repair that was cut off.
4. Kept records are kept byte for byte, so that their chain and every receipt for them still holds.
5. A repair ends no stop. Its last record is given by the caller and must hold a halt; a reconcile
   is owed. [a state file that was cut off meant approved again]
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import apsw

from sidecar.store.directory import (
    DIRECTORY_MODE,
    REPAIRED_NAME,
    prepare_directory,
)
from sidecar.store.errors import StoreDamagedError, StoreError
from sidecar.store.examination import (
    META_RECOVERY_OWED,
    OWED_REPAIRED,
    Examination,
    examine,
    identity_of,
    is_new,
)
from sidecar.store.lock import DirectoryLock, Holder
from sidecar.store.merkle_tree import Frontier, JournalBase
from sidecar.store.records import chain_hash_after
from sidecar.store.recovery import Damage, read_boot_id
from sidecar.store.snapshot import (
    hash_in,
    is_foreign,
    list_snapshot_files,
    proved_snapshots_in,
    read_head,
    read_snapshot_file,
    sync_directory,
)
from sidecar.store.sqlite_database import (
    DATABASE_FILE_NAME,
    META_SQL,
    WAL_FILE_NAME,
    create_database,
    last_readable_sequence,
    open_connection,
    read_hash,
    read_meta,
    read_nonces,
)
from sidecar.store.sqlite_digests import (
    INSERT_DIGEST_SQL,
    create_digest_table,
    read_digests,
    row_of,
)
from sidecar.store.sqlite_reading import read_checked
from sidecar.store.sqlite_tree import (
    INSERT_FRONTIER_SQL,
    INSERT_HEAD_SQL,
    base_meta,
    create_tables,
    read_heads,
)
from sidecar.store.store import ClockKind
from sidecar.store.verified_copy import bytes_of, copy_verified
from sidecar.store.watermark import WATERMARK_FILE_NAME, Marks, Watermark, read_marks
from sidecar.store.ways_out import way_out_of

_BUILDING_NAME: Final = "repaired.building"
_META_KEPT_OUT: Final = "store."
_INSERT_SQL: Final = "INSERT INTO journal (sequence, hash, record) VALUES (?, ?, ?)"
_NONCE_SQL: Final = "INSERT OR IGNORE INTO nonce (nonce, expires_at_ns) VALUES (?, ?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a repair needs and what there is, in bytes: where the copy goes, where the store is."""

    copy_bytes: int
    copy_needed_bytes: int
    """The copy, and the new journal where it is made on the same disk."""
    copy_free_bytes: int
    journal_bytes: int
    journal_free_bytes: int


class DamagedStore:
    """A directory held for repair; a context manager. It reads as a journal up to the damage."""

    def __init__(self, directory: Path, holder: Holder) -> None:
        """Take the lock and look; nothing is changed.

        Raises StoreMissingError, StoreHeldError, StoreMismatchError, StoreDamagedError where not
        even the identity can be read.
        """
        self.directory = directory
        self.notes = prepare_directory(directory, must_exist=True)
        self._lock = DirectoryLock.acquire(directory, holder)
        self._examination: Examination | None = None
        self.store_id = ""
        self.clock_kind: ClockKind = "wall"
        try:
            self._look()
        except OSError as error:
            self.close()
            raise StoreError(f"{directory}: {error} ({way_out_of(error)})") from error
        except BaseException:
            self.close()
            raise

    def _look(self) -> None:
        if self.is_unfinished:
            return
        if is_new(self.directory, read_marks(self.directory)):
            raise StoreError(f"{self.directory}: holds no store (is it the right --data-dir?)")
        self._examination = examine(self.directory, boot_id_now=read_boot_id())
        self.store_id, self.clock_kind = identity_of(self.directory, self._examination)

    @property
    def is_unfinished(self) -> bool:
        """Whether an earlier repair was cut off behind its point of no return: only `finish` it."""
        return (self.directory / REPAIRED_NAME).exists()

    @property
    def damage(self) -> Damage | None:
        """What the files say; that a record cannot be applied is for its reader to find."""
        return None if self._examination is None else self._examination.found.damage

    @property
    def _base(self) -> JournalBase:
        return JournalBase() if self._examination is None else self._examination.base

    @property
    def last_sequence(self) -> int:
        """The last whole record."""
        return 0 if self._examination is None else self._examination.found.last_sequence

    @property
    def known_sequence(self) -> int:
        """The last record any witness knows of: watermark, snapshots, rows that can be read."""
        found = self._examination
        if found is None:
            return 0
        known = [found.found.last_sequence, found.acknowledged_sequence]
        known += [sequence for sequence, _ in list_snapshot_files(self.directory)]
        if found.marks is not None and found.marks.store_id == self.store_id:
            known += [found.marks.written_sequence, found.marks.durable_sequence]
        if found.connection is not None:
            known.append(last_readable_sequence(found.connection))
        return max(known)

    @property
    def has_watermark(self) -> bool:
        """Whether the second witness of how far the journal went can be read."""
        return self._examination is not None and self._examination.marks is not None

    def read(self, from_sequence: int) -> Iterator[tuple[int, bytes]]:
        """Yield the whole records from `from_sequence` on."""
        connection = None if self._examination is None else self._examination.connection
        if connection is not None:
            for row in read_checked(connection, self._base, from_sequence, self.last_sequence):
                yield row.sequence, row.record

    def snapshots(self) -> Iterator[tuple[int, bytes]]:
        """Yield the snapshots that belong to this journal, newest first."""
        connection = None if self._examination is None else self._examination.connection
        if connection is not None:
            yield from proved_snapshots_in(
                self.directory,
                store_id=self.store_id,
                hash_of=lambda sequence: read_hash(connection, sequence),
                notes=self.notes,
            )

    def room(self, copy_to: Path) -> Room:
        """Return what `repair` needs and what there is. Raises StoreError where that is less."""
        try:
            copy_bytes = bytes_of(self.directory)
            journal_bytes = sum(
                (self.directory / name).stat().st_size
                for name in (DATABASE_FILE_NAME, WAL_FILE_NAME)
                if (self.directory / name).exists()
            )
            is_same_disk = copy_to.parent.stat().st_dev == self.directory.stat().st_dev
            room = Room(
                copy_bytes=copy_bytes,
                copy_needed_bytes=copy_bytes + (journal_bytes if is_same_disk else 0),
                copy_free_bytes=_free_bytes(copy_to.parent),
                journal_bytes=journal_bytes,
                journal_free_bytes=_free_bytes(self.directory),
            )
        except OSError as error:
            raise StoreError(f"{copy_to.parent}: {error} ({way_out_of(error)})") from error
        _refuse_without_room(room, copy_to.parent, self.directory)
        return room

    def repair(self, *, keep_sequence: int, ending: bytes, copy_to: Path) -> None:
        """Copy everything to `copy_to`, keep records up to `keep_sequence`, end with `ending`.

        Raises StoreError; the damaged store is then as it was, or the repair is `is_unfinished`.
        """
        self.room(copy_to)
        copy_verified(self.directory, copy_to)
        try:
            self._build(keep_sequence, ending)
            self._forget_examination()
            self.finish()
        except OSError as error:
            raise StoreError(f"{self.directory}: {error} ({way_out_of(error)})") from error
        except apsw.Error as error:
            raise StoreError(
                f"{self.directory}: {type(error).__name__}: {error} (check the disk; the copy is "
                f"{copy_to})"
            ) from error

    def finish(self) -> None:
        """Carry out a repair that is made; each step may have been done before. Raises OSError."""
        repaired = self.directory / REPAIRED_NAME
        if (repaired / DATABASE_FILE_NAME).exists():
            for path in self._snapshots_to_drop(repaired):
                path.unlink(missing_ok=True)
            for name in (WAL_FILE_NAME, f"{DATABASE_FILE_NAME}-shm"):
                (self.directory / name).unlink(missing_ok=True)
            sync_directory(self.directory)
        for name in (DATABASE_FILE_NAME, WATERMARK_FILE_NAME):
            if (repaired / name).exists():
                (repaired / name).replace(self.directory / name)
                sync_directory(self.directory)
        shutil.rmtree(repaired)
        sync_directory(self.directory)

    def close(self) -> None:
        """Let go of the directory."""
        self._forget_examination()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _forget_examination(self) -> None:
        if self._examination is not None:
            self._examination.close()
            self._examination = None

    def _build(self, keep_sequence: int, ending: bytes) -> None:
        """Make what replaces the journal, prove it, and let its name say that it is whole."""
        building = self.directory / _BUILDING_NAME
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(mode=DIRECTORY_MODE)
        create_database(building, store_id=self.store_id, clock_kind=self.clock_kind)
        connection = open_connection(building)
        try:
            with connection:
                connection.executemany(_INSERT_SQL, self._rows(keep_sequence, ending))
                connection.executemany(META_SQL, self._meta())
                connection.executemany(_NONCE_SQL, self._nonces())
                create_digest_table(connection)
                connection.executemany(INSERT_DIGEST_SQL, self._digests())
                self._keep_audit(connection, keep_sequence)
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        finally:
            connection.close()
        (building / WAL_FILE_NAME).unlink(missing_ok=True)
        Watermark(building, self._marks(keep_sequence + 1)).close()
        self._prove(building, keep_sequence + 1)
        sync_directory(building)
        building.rename(self.directory / REPAIRED_NAME)
        sync_directory(self.directory)

    def _keep_audit(self, connection: apsw.Connection, keep_sequence: int) -> None:
        """Keep what stands for dropped records, and the signed heads over records that are kept."""
        create_tables(connection)
        base = self._base
        if base.size:
            frontier = Frontier(base.size, base.nodes)
            connection.execute(INSERT_FRONTIER_SQL, (base.size, frontier.to_bytes()))
            connection.executemany(META_SQL, base_meta(base))
        old = None if self._examination is None else self._examination.connection
        if old is not None:
            try:
                heads = read_heads(old, 0, keep_sequence)
            except apsw.Error as error:
                self.notes.append(f"signed heads could not be read and are left out: {error}")
                return
            kept = [head for head in heads if head[0] <= keep_sequence]
            connection.executemany(INSERT_HEAD_SQL, kept)

    def _rows(self, keep_sequence: int, ending: bytes) -> Iterator[tuple[int, bytes, bytes]]:
        chain_hash = self._base.chain_hash
        for sequence, record in self.read(self._base.size + 1):
            if sequence > keep_sequence:
                break
            chain_hash = chain_hash_after(chain_hash, sequence, record)
            yield sequence, chain_hash, record
        sequence = keep_sequence + 1
        yield sequence, chain_hash_after(chain_hash, sequence, ending), ending

    def _meta(self) -> Iterable[tuple[str, str]]:
        meta = {} if self._examination is None else self._examination.meta
        yield from (item for item in meta.items() if not item[0].startswith(_META_KEPT_OUT))
        yield META_RECOVERY_OWED, OWED_REPAIRED

    def _nonces(self) -> Iterable[tuple[str, int]]:
        connection = None if self._examination is None else self._examination.connection
        if connection is None:
            return
        nonces, fault = read_nonces(connection)
        if fault:
            self.notes.append(
                f"used operator proofs could not all be read ({fault}): one signed less than ten "
                "minutes ago could be sent again, so wait that long before the start"
            )
        yield from nonces

    def _digests(self) -> Iterable[tuple[bytes, str, int, int]]:
        connection = None if self._examination is None else self._examination.connection
        if connection is None:
            return
        digests, fault = read_digests(connection)
        if fault:
            self.notes.append(
                f"used webhooks could not all be read ({fault}): an old reset could be sent again, "
                "so put another KILL_SWITCH_SECRET (and KILL_SWITCH_RESET_SECRET) in the "
                "environment before the start"
            )
        yield from map(row_of, digests)

    def _marks(self, sequence: int) -> Marks:
        return Marks(
            store_id=self.store_id,
            clock_kind=self.clock_kind,
            boot_id=read_boot_id(),
            written_sequence=sequence,
            durable_sequence=sequence,
        )

    def _prove(self, building: Path, sequence: int) -> None:
        """Read what was made as a start would. Raises StoreDamagedError."""
        made = examine(building, boot_id_now=read_boot_id())
        made.close()
        (building / WAL_FILE_NAME).unlink(missing_ok=True)
        damage = made.found.damage
        if damage is None and made.found.last_sequence != sequence:
            damage = Damage(sequence=made.found.last_sequence + 1, what="it was not written")
        if damage is not None:
            raise StoreDamagedError(
                sequence=damage.sequence,
                what=f"in the repaired journal: {damage.what}",
                way_out="the disk fails: restore the copy on a healthy one and repair it there",
            )

    def _snapshots_to_drop(self, repaired: Path) -> list[Path]:
        """Return the snapshots that the repaired journal does not vouch for."""
        connection = open_connection(repaired)
        try:
            return [
                path
                for sequence, path in list_snapshot_files(self.directory)
                if (head := read_head(path, sequence)) is None
                or is_foreign(head, read_meta(connection)["store.id"])
                or read_hash(connection, sequence) != hash_in(head)
                or read_snapshot_file(path, sequence) is None
            ]
        finally:
            connection.close()
            with contextlib.suppress(FileNotFoundError):
                (repaired / WAL_FILE_NAME).unlink()


def _refuse_without_room(room: Room, copy_parent: Path, directory: Path) -> None:
    for needed, free, where in (
        (room.copy_needed_bytes, room.copy_free_bytes, copy_parent),
        (room.journal_bytes, room.journal_free_bytes, directory),
    ):
        if free < needed:
            raise StoreError(
                f"{where}: {needed} bytes are needed, {free} are free (free some room, or put "
                "the copy on another disk with --copy-to; nothing was changed)"
            )


def _free_bytes(directory: Path) -> int:
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize
