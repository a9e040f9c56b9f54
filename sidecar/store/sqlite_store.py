"""The store that serves: SQLite in WAL mode, one hot connection, one background thread.

Rules:
1. `append` commits on the loop's thread with synchronous=NORMAL: the records are in the kernel's
   hands, which survives `kill -9` but not a loss of power.
2. `sync` waits for a `fdatasync` of the WAL in the background thread, shared by all who wait.
3. Whatever fails, first the store is poisoned, in memory and in the watermark; then callers hear.
4. A damaged journal is opened for reading only, and nothing in the directory is changed.
How it is opened stands in `sqlite_open.py`; why it is durable, in DESIGN.md.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import apsw

from sidecar.store.digests import Digest, DigestOutcome
from sidecar.store.errors import (
    StoreClosedError,
    StoreError,
    StoreLimitError,
    StorePoisonedError,
    StoreSnapshotError,
)
from sidecar.store.examination import META_CLEAN_SEQUENCE, META_RECOVERY_OWED
from sidecar.store.group_sync import GroupSync
from sidecar.store.lock import DirectoryLock
from sidecar.store.merkle_tree import Frontier, JournalBase, TreeHead
from sidecar.store.records import chain_records, refuse_head_unless_durable
from sidecar.store.recovery import RecoveryFacts
from sidecar.store.retention import refuse_drop
from sidecar.store.snapshot import (
    SNAPSHOT_BESIDE_NAME,
    keep,
    make_head,
    proved_snapshots_in,
    write_beside,
)
from sidecar.store.sqlite_database import (
    JournalFound,
    JournalRow,
    read_hash,
    read_rows,
    words_of,
)
from sidecar.store.sqlite_reading import read_checked
from sidecar.store.sqlite_tree import TREE_STEP_COUNT, read_heads
from sidecar.store.sqlite_writer import SqliteWriter
from sidecar.store.store import CHAINED_READ_COUNT_MAX, ChainedRecord, ClockKind, Store

Outcome = TypeVar("Outcome")

META_RESERVED_PREFIX = "store."


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedParts:
    """What `sqlite_open` found and opened; without a writer the store is damaged."""

    directory: Path
    lock: DirectoryLock
    store_id: str
    clock_kind: ClockKind
    facts: RecoveryFacts
    found: JournalFound
    base: JournalBase
    frontier: Frontier
    meta: dict[str, str]
    notes: list[str]
    connection: apsw.Connection | None
    writer: SqliteWriter | None
    nonces_count_max: int
    digests_count_max: int


class SqliteStore(Store):
    """A store in one directory; made by `sqlite_open.open_sqlite_store`."""

    def __init__(self, parts: OpenedParts) -> None:
        """Take over `parts`; `close` lets go of them."""
        self.notes = parts.notes
        self._parts = parts
        self._connection = parts.connection
        self._writer = parts.writer
        self._meta = dict(parts.meta)
        self._last_sequence = parts.found.last_sequence
        self._chain_hash = parts.found.chain_hash
        self._frontier = parts.frontier
        self._base = parts.base
        self._poisoned: str | None = None
        self._is_closed = False
        self._checkpoint_task: asyncio.Task[None] | None = None
        self._group = GroupSync(
            sync_once=self._sync_once,
            last_sequence=lambda: self._last_sequence,
            poison=self.poison,
            durable_sequence=self._last_sequence,
        )
        self.sync_meter = self._group.meter
        damage = parts.facts.damage
        if damage is not None:
            self._poisoned = f"journal is damaged at sequence {damage.sequence}: {damage.what}"
            self._group.poison(self._poisoned)

    @property
    def store_id(self) -> str:
        """As `Store` says."""
        return self._parts.store_id

    @property
    def is_new(self) -> bool:
        """As `Store` says."""
        return self._parts.facts.is_new

    @property
    def clock_kind(self) -> ClockKind:
        """As `Store` says."""
        return self._parts.clock_kind

    @property
    def facts(self) -> RecoveryFacts:
        """As `Store` says."""
        return self._parts.facts

    @property
    def last_sequence(self) -> int:
        """As `Store` says."""
        return self._last_sequence

    @property
    def durable_sequence(self) -> int:
        """As `Store` says."""
        return self._group.durable_sequence

    @property
    def poisoned(self) -> str | None:
        """As `Store` says."""
        return self._poisoned

    @property
    def chain_hash(self) -> bytes:
        """As `Store` says."""
        return self._chain_hash

    def append(self, records: Sequence[tuple[int, bytes]]) -> None:
        """As `Store` says."""
        writer = self._writable()
        rows = chain_records(records, self._last_sequence, self._chain_hash)
        if not rows:
            return
        self._write("append", lambda: writer.insert_records(rows))
        self._follow(rows)

    def _follow(self, rows: Sequence[JournalRow]) -> None:
        """Move chain and tree on by rows that are written."""
        writer, frontier = self._writable(), self._frontier
        is_step_passed = False
        for self._last_sequence, self._chain_hash, record in rows:
            frontier.append(record)
            is_step_passed |= not self._last_sequence % TREE_STEP_COUNT
        if is_step_passed:
            self._write("tree", lambda: writer.insert_frontier(frontier))

    async def sync(self, sequence: int) -> None:
        """As `Store` says."""
        self._raise_if_closed()
        await self._group.wait(sequence)

    async def flush(self) -> None:
        """As `Store` says."""
        self._raise_if_closed()
        await self._group.wait_for_next()

    def request_sync(self) -> None:
        """As `Store` says."""
        self._group.request()

    def read(self, from_sequence: int) -> Iterator[tuple[int, bytes]]:
        """As `Store` says."""
        damage = self._parts.facts.damage
        connection = self._connection
        if connection is None:
            return
        end = damage.sequence - 1 if damage is not None else None
        for row in read_checked(connection, self.base, from_sequence, end):
            yield row.sequence, row.record

    @property
    def base(self) -> JournalBase:
        """As `Store` says."""
        return self._base

    def tree_head(self) -> TreeHead:
        """As `Store` says."""
        return TreeHead(self._last_sequence, self._frontier.root(), self._chain_hash)

    def read_chained(self, from_sequence: int, count: int) -> list[ChainedRecord]:
        """As `Store` says."""
        self._raise_if_closed()
        connection = self._connection
        if connection is None:
            return []
        end = max(from_sequence, 1) - 1 + min(count, CHAINED_READ_COUNT_MAX)
        end = min(end, self._last_sequence)
        return list(read_checked(connection, self.base, from_sequence, end))

    def add_head(self, size: int, note: str) -> None:
        """As `Store` says."""
        writer = self._writable()
        refuse_head_unless_durable(size, self.durable_sequence)
        self._write("head", lambda: writer.insert_head(size, note))

    def drop_through(self, base: JournalBase, record: tuple[int, bytes]) -> None:
        """Forget the records that `base` stands for, and append `record` that says so, as one.

        For a stopped sidecar's directory, once they are exported and a head over them is signed.
        Raises StoreError where that is not so, or where the two newest snapshots need them.
        """
        writer = self._writable()
        refuse_drop(self, self._parts.directory, base)
        rows = chain_records([record], self._last_sequence, self._chain_hash)
        self._write("drop", lambda: writer.drop(base, rows))
        self._base = base
        self._follow(rows)

    def read_heads(self, after_size: int, count: int) -> list[tuple[int, str]]:
        """As `Store` says."""
        self._raise_if_closed()
        if self._connection is None:
            return []
        return read_heads(self._connection, after_size, count)

    async def write_snapshot(self, sequence: int, payload: bytes) -> None:
        """As `Store` says."""
        directory, head = self._parts.directory, self._head_of(sequence)
        beside = directory / SNAPSHOT_BESIDE_NAME
        await self._keep_snapshot(sequence, beside, lambda: write_beside(beside, head, [payload]))

    @property
    def snapshot_directory(self) -> Path | None:
        """As `Store` says."""
        return self._parts.directory

    def snapshot_head(self) -> dict[str, Any]:
        """As `Store` says."""
        return make_head(self._last_sequence, self._chain_hash, self.store_id)

    async def adopt_snapshot(self, sequence: int, beside: Path) -> None:
        """As `Store` says."""
        await self._keep_snapshot(sequence, beside, lambda: None)

    async def _keep_snapshot(
        self, sequence: int, beside: Path, write: Callable[[], object]
    ) -> None:
        """Make the records durable, then `write`, then let the file count; a bad sync poisons."""
        writer = self._writable()
        await self.sync(sequence)
        directory = self._parts.directory

        def write_and_keep() -> None:
            write()
            keep(directory, sequence, beside)

        try:
            await writer.in_thread(write_and_keep)
        except OSError as error:
            raise self._poisoned_by("snapshot sync", error) from error

    def _head_of(self, sequence: int) -> dict[str, Any]:
        if sequence == self._last_sequence:
            return self.snapshot_head()
        self._writable()
        rows = read_rows(self._connection, sequence, 1)[0] if self._connection else []
        if not rows or rows[0][0] != sequence:
            raise StoreSnapshotError(f"snapshot {sequence}: the journal has no such record")
        return make_head(sequence, rows[0][1], self.store_id)

    def snapshots(self) -> Iterator[tuple[int, bytes]]:
        """As `Store` says."""
        connection = self._connection
        if connection is not None:
            yield from proved_snapshots_in(
                self._parts.directory,
                store_id=self.store_id,
                hash_of=lambda sequence: read_hash(connection, sequence),
                notes=self.notes,
            )

    async def remember_nonce(self, nonce: str, *, expires_at_ns: int, now_ns: int) -> bool:
        """As `Store` says."""
        writer = self._writable()
        count_max = self._parts.nonces_count_max
        outcome = self._write(
            "nonce",
            lambda: writer.insert_nonce(
                nonce, expires_at_ns=expires_at_ns, now_ns=now_ns, count_max=count_max
            ),
        )
        if outcome == "full":
            raise StoreLimitError(
                f"{count_max} operator nonces are remembered, wait for one to expire"
            )
        if outcome == "seen":
            return False
        await self.flush()
        return True

    def remember_digest(
        self, digest: Digest, *, keys_in_use: Iterable[str], now_ns: int
    ) -> DigestOutcome:
        """As `Store` says."""
        writer, count_max = self._writable(), self._parts.digests_count_max
        return self._write(
            "digest",
            lambda: writer.remember_digest(
                digest, keys_in_use=keys_in_use, now_ns=now_ns, count_max=count_max
            ),
        )

    @property
    def digests_count(self) -> int:
        """As `Store` says."""
        writer = self._writer
        is_readable = writer is not None and not self._is_closed and self._poisoned is None
        return writer.digests.count_all() if writer is not None and is_readable else 0

    def meta_get(self, key: str) -> str | None:
        """As `Store` says."""
        return self._meta.get(key)

    def meta_set(self, key: str, value: str) -> None:
        """As `Store` says."""
        if key.startswith(META_RESERVED_PREFIX):
            raise StoreError(f"meta {key!r}: names under {META_RESERVED_PREFIX!r} are the store's")
        self._set_meta(key, value)

    async def settle_recovery(self) -> None:
        """As `Store` says."""
        self._set_meta(META_RECOVERY_OWED, "")
        await self.flush()
        writer = self._writable()
        self._write("settle", lambda: writer.set_poisoned(is_poisoned=False))

    def free_bytes(self) -> int | None:
        """As `Store` says."""
        try:
            status = os.statvfs(self._parts.directory)
        except OSError:
            return None
        return status.f_bavail * status.f_frsize

    def check_place(self) -> str:
        """As `Store` says."""
        writer = self._writer
        if writer is None or self._is_closed or self._poisoned is not None:
            return ""
        problem = writer.place_problem()
        if problem:
            self.poison(problem)
        return problem

    def close(self, *, clean: bool) -> None:
        """As `Store` says."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self._writer is not None:
                self._finish(self._writer, clean=clean)
                self._writer.close()
            if self._connection is not None:
                self._connection.close()
        finally:
            self._parts.lock.release()

    def _finish(self, writer: SqliteWriter, *, clean: bool) -> None:
        """Make everything power-durable, or poison; the waiters learn which."""
        writer.executor.shutdown(wait=True)
        if writer.failure is not None:
            self.poison(_reason("the last job before the close", writer.failure))
        if self._poisoned is not None:
            return
        items = [(META_CLEAN_SEQUENCE, str(self._last_sequence))] if clean else []
        try:
            writer.finish(items)
            writer.set_durable(self._last_sequence)
        except Exception as error:  # noqa: BLE001 - the directory must be let go of all the same
            self.poison(_reason("close", error))
            return
        self._group.finish(self._last_sequence)

    def _set_meta(self, key: str, value: str) -> None:
        writer = self._writable()
        self._write("meta", lambda: writer.set_meta([(key, value)]))
        self._meta[key] = value

    def _write(self, what: str, write: Callable[[], Outcome]) -> Outcome:
        """Return what `write` returns; its failure poisons the store."""
        try:
            return write()
        except Exception as error:
            raise self._poisoned_by(what, error) from error

    async def _sync_once(self) -> None:
        """Sync the WAL in the background thread, then have it checkpointed where that is due."""
        writer = self._writable()
        sequence = self._last_sequence
        await writer.in_thread(writer.sync_and_measure)
        if self._is_closed or self._poisoned is not None:
            return
        writer.set_durable(sequence)
        if writer.is_checkpoint_due and self._checkpoint_task is None:
            self._checkpoint_task = asyncio.create_task(self._checkpoint(writer))

    async def _checkpoint(self, writer: SqliteWriter) -> None:
        try:
            await writer.in_thread(writer.checkpoint)
        except Exception as error:  # noqa: BLE001 - whatever it was, the pages are in doubt
            self.poison(_reason("checkpoint", error))
        finally:
            self._checkpoint_task = None

    def _poisoned_by(self, what: str, error: Exception) -> StorePoisonedError:
        """Poison the store and return the error to raise."""
        reason = _reason(what, error)
        self.poison(reason)
        return StorePoisonedError(self._poisoned or reason)

    def poison(self, reason: str) -> None:
        """As `Store` says."""
        if self._poisoned is not None:
            return
        self._poisoned = reason
        self._group.poison(reason)
        if self._writer is None:
            return
        try:
            self._writer.set_poisoned(is_poisoned=True)
        except OSError as error:
            # The disk takes nothing any more. The stop will not be marked clean either, and a
            # loss of power asks for a reconcile by itself.
            self.notes.append(f"the watermark could not be marked as poisoned: {error}")

    def _raise_if_closed(self) -> None:
        if self._is_closed:
            raise StoreClosedError("the store is closed")

    def _writable(self) -> SqliteWriter:
        self._raise_if_closed()
        if self._poisoned is not None or self._writer is None:
            raise StorePoisonedError(self._poisoned or "it is opened for reading only")
        return self._writer


def _reason(what: str, error: Exception) -> str:
    return f"{what} failed: {words_of(error)}"
