"""The writing half of the SQLite store: one hot connection, one background thread.

Rules (the reasons stand in DESIGN.md):
1. The loop's thread inserts and commits with synchronous=NORMAL: written, not synced.
2. The background thread alone syncs and checkpoints, one thing at a time.
3. Power-durable means: a `fdatasync` of the WAL that began after the commit has succeeded. What a
   checkpoint moved out of the WAL was synced in the database before the WAL could be reused.
4. A checkpoint that finds the database busy comes again; any other failure poisons.
5. After a job of the thread that failed it does no other, though the loop may not have heard of it
   yet. [a checkpoint after a failed sync moved pages whose only safe copy was lost by then]
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw

from sidecar.store.digests import Digest, DigestOutcome, remember
from sidecar.store.directory import Place
from sidecar.store.errors import StoreSnapshotError
from sidecar.store.merkle_tree import Frontier, JournalBase
from sidecar.store.snapshot import sync_directory
from sidecar.store.sqlite_database import (
    META_SQL,
    WAL_FILE_NAME,
    JournalRow,
    open_connection,
    words_of,
)
from sidecar.store.sqlite_digests import SqliteDigests
from sidecar.store.sqlite_tree import (
    DROP_SQL,
    INSERT_FRONTIER_SQL,
    INSERT_HEAD_SQL,
    base_meta,
)
from sidecar.store.watermark import Watermark

CHECKPOINT_PAGES_COUNT = 2_000
"""WAL pages (4 KiB) after which a checkpoint begins that lets writers go on."""
RESTART_PAGES_RATIO = 8
"""At this many times the above a checkpoint holds writers for a moment: the WAL is bounded."""
CHECKPOINT_BUSY_MILLISECONDS = 1_000

_INSERT_SQL = "INSERT INTO journal (sequence, hash, record) VALUES (?, ?, ?)"


class SqliteWriter:
    """Owns every descriptor that writes; `close` lets go of them all."""

    def __init__(
        self,
        directory: Path,
        connection: apsw.Connection,
        watermark: Watermark,
        *,
        place: Place,
        checkpoint_pages_count: int,
    ) -> None:
        """Everything in `connection` is power-durable; its WAL and every file of `place` exist."""
        self._connection = connection
        self._inserts = connection.cursor()
        self._watermark = watermark
        self._place = place
        self._checkpoint_pages_count = checkpoint_pages_count
        self.is_checkpoint_due = False
        self.failure: Exception | None = None
        self._wal_descriptor = os.open(directory / WAL_FILE_NAME, os.O_RDWR)
        sync_directory(directory)
        self._checkpointer = open_connection(directory)
        self._checkpointer.set_busy_timeout(CHECKPOINT_BUSY_MILLISECONDS)
        connection.pragma("synchronous", "NORMAL")
        self.digests = SqliteDigests(connection)
        self.executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="haltline-store")

    async def in_thread(self, work: Callable[[], object]) -> None:
        """Have the thread do `work`; whatever that raises is the last thing it did (rule 5)."""
        await asyncio.get_running_loop().run_in_executor(self.executor, self._do, work)

    def _do(self, work: Callable[[], object]) -> None:
        if self.failure is not None:
            raise OSError(f"an earlier job failed: {words_of(self.failure)}") from self.failure
        try:
            work()
        except StoreSnapshotError:
            raise  # nothing was harmed by a snapshot that found no room
        except Exception as error:
            self.failure = error
            raise

    def insert_records(self, rows: Sequence[tuple[int, bytes, bytes]]) -> None:
        """Commit (sequence, hash, record) rows, all or none. Raises apsw.Error, OSError."""
        if len(rows) == 1:
            self._inserts.execute(_INSERT_SQL, rows[0])
        else:
            with self._connection:
                self._connection.executemany(_INSERT_SQL, rows)
        self._watermark.set_written(rows[-1][0])

    def insert_frontier(self, frontier: Frontier) -> None:
        """Commit the tree as of now. Raises apsw.Error."""
        self._inserts.execute(INSERT_FRONTIER_SQL, (frontier.size, frontier.to_bytes()))

    def insert_head(self, size: int, note: str) -> None:
        """Commit a signed head; one over as many records is kept as it was. Raises apsw.Error."""
        self._inserts.execute(INSERT_HEAD_SQL, (size, note))

    def drop(self, base: JournalBase, rows: Sequence[JournalRow]) -> None:
        """Commit that `base` stands for what came before, with `rows` after all. Raises apsw.Error.

        The room is used again by records to come.
        """
        frontier = Frontier(base.size, base.nodes)
        with self._connection:
            self._connection.executemany(_INSERT_SQL, rows)
            for sql in DROP_SQL:
                self._connection.execute(sql, (base.size,))
            self._connection.execute(INSERT_FRONTIER_SQL, (base.size, frontier.to_bytes()))
            self._connection.executemany(META_SQL, base_meta(base))
        self._watermark.set_written(rows[-1][0])

    def set_meta(self, items: Iterable[tuple[str, str]]) -> None:
        """Commit named values, all or none. Raises apsw.Error."""
        with self._connection:
            self._connection.executemany(META_SQL, items)

    def insert_nonce(self, nonce: str, *, expires_at_ns: int, now_ns: int, count_max: int) -> str:
        """Forget the expired, then remember `nonce`; return `new`, `seen` or `full`."""
        with self._connection:
            self._connection.execute("DELETE FROM nonce WHERE expires_at_ns < ?", (now_ns,))
            seen = self._connection.execute("SELECT 1 FROM nonce WHERE nonce = ?", (nonce,))
            if seen.fetchone() is not None:
                return "seen"
            if next(self._connection.execute("SELECT count(*) FROM nonce"))[0] >= count_max:
                return "full"
            self._connection.execute("INSERT INTO nonce VALUES (?, ?)", (nonce, expires_at_ns))
        return "new"

    def remember_digest(
        self, digest: Digest, *, keys_in_use: Iterable[str], now_ns: int, count_max: int
    ) -> DigestOutcome:
        """Commit a digest, or that there was no room for it. Raises apsw.Error."""
        rows = self.digests
        try:
            with self._connection:
                outcome = remember(
                    rows, digest, keys_in_use=keys_in_use, now_ns=now_ns, count_max=count_max
                )
        except BaseException:
            rows.forget_counts()
            raise
        return outcome

    def sync_disk(self) -> None:
        """Make everything committed before the call power-durable. Raises OSError. Any thread.

        Files that lost their names sync without a complaint, and nobody will ever read them.
        """
        os.fdatasync(self._wal_descriptor)
        problem = self._place.problem()
        if problem:
            raise FileNotFoundError(problem)

    def place_problem(self) -> str:
        """Say which file is not where it was opened, empty while all are."""
        return self._place.problem()

    def sync_and_measure(self) -> None:
        """As `sync_disk`; afterwards `is_checkpoint_due` says whether the WAL has grown too long.

        Asked here and not told at every commit, which would cost each order a call.
        """
        self.sync_disk()
        try:
            pages_count, moved_count = self._checkpointer.wal_checkpoint(
                mode=apsw.SQLITE_CHECKPOINT_NOOP
            )
        except apsw.BusyError:
            return
        self.is_checkpoint_due = pages_count - moved_count >= self._checkpoint_pages_count

    def set_durable(self, sequence: int) -> None:
        """Note outside the database that records up to `sequence` are power-durable."""
        self._watermark.set_durable(sequence)

    def set_poisoned(self, *, is_poisoned: bool) -> None:
        """Note outside the database that the store was poisoned, or that it was settled."""
        self._watermark.set_poisoned(is_poisoned=is_poisoned)

    def checkpoint(self) -> None:
        """Move synced pages from the WAL to the database. Background thread. Raises apsw.Error."""
        self.is_checkpoint_due = False
        try:
            pages_count, _ = self._checkpointer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            if pages_count >= self._checkpoint_pages_count * RESTART_PAGES_RATIO:
                self._checkpointer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        except apsw.BusyError:
            return

    def finish(self, items: Iterable[tuple[str, str]]) -> None:
        """Write last named values and make everything power-durable. Raises apsw.Error, OSError."""
        self.sync_disk()
        self._connection.pragma("synchronous", "FULL")
        self.set_meta(items)
        self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def close(self) -> None:
        """Let the thread end, then let go of every descriptor but the connection's."""
        self.executor.shutdown(wait=True)
        self._checkpointer.close()
        os.close(self._wal_descriptor)
        self._watermark.close()
