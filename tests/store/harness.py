"""One way to drive both stores: fail, hold, die, reboot; the suite is written against it."""

from __future__ import annotations

import errno
import shutil
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from sidecar.store import sqlite_writer
from sidecar.store.lock import Holder
from sidecar.store.memory_store import MemoryStore
from sidecar.store.snapshot import list_snapshot_files
from sidecar.store.sqlite_database import open_connection
from sidecar.store.sqlite_open import OpenOptions, open_sqlite_store
from sidecar.store.sqlite_store import SqliteStore
from sidecar.store.store import ClockKind, Store

BOOT = "boot-1"
OTHER_BOOT = "boot-2"
NONCES_COUNT_MAX = 3
DIGESTS_COUNT_MAX = 3


def options(
    boot_id: str = BOOT,
    *,
    clock_kind: ClockKind = "wall",
    must_exist: bool = False,
    checkpoint_pages_count: int = 2_000,
) -> OpenOptions:
    """Return the options most tests open with."""
    return OpenOptions(
        clock_kind=clock_kind,
        holder=Holder(name="test", since="2026-01-02T03:04:05Z"),
        boot_id=boot_id,
        must_exist=must_exist,
        nonces_count_max=NONCES_COUNT_MAX,
        digests_count_max=DIGESTS_COUNT_MAX,
        checkpoint_pages_count=checkpoint_pages_count,
    )


class Harness(ABC):
    """A store under test, and what can happen to it."""

    store: Store

    @abstractmethod
    def fail_next_append(self) -> None:
        """Make the next append fail."""

    @abstractmethod
    def fail_next_sync(self) -> None:
        """Make the next disk sync fail."""

    @abstractmethod
    def fail_next_snapshot(self) -> None:
        """Make the next snapshot find the disk full."""

    @abstractmethod
    def hold_syncs(self) -> None:
        """Let disk syncs begin and none end."""

    @abstractmethod
    def release_syncs(self) -> None:
        """Let held syncs end."""

    @abstractmethod
    def syncs_count(self) -> int:
        """Return how many disk syncs have begun."""

    @abstractmethod
    def die(self, *, boot_id: str = BOOT) -> Store:
        """Kill the process as by -9 and start another; `boot_id` tells of a reboot."""

    @abstractmethod
    def reopen(self, *, boot_id: str = BOOT) -> Store:
        """Start on what `store.close` left."""

    @abstractmethod
    def damage_record(self, sequence: int) -> None:
        """Change a record where it is stored; seen by the next start."""

    @abstractmethod
    def damage_latest_snapshot(self) -> None:
        """Change a byte of the newest snapshot."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything."""


class MemoryHarness(Harness):
    """Drives the twin in memory."""

    def __init__(self) -> None:
        """A new store."""
        self.store: MemoryStore = MemoryStore(
            nonces_count_max=NONCES_COUNT_MAX, digests_count_max=DIGESTS_COUNT_MAX, boot_id=BOOT
        )

    def fail_next_append(self) -> None:
        """As `Harness` says."""
        self.store.fail_next_append()

    def fail_next_sync(self) -> None:
        """As `Harness` says."""
        self.store.fail_next_sync()

    def fail_next_snapshot(self) -> None:
        """As `Harness` says."""
        self.store.fail_next_snapshot()

    def hold_syncs(self) -> None:
        """As `Harness` says."""
        self.store.hold_syncs()

    def release_syncs(self) -> None:
        """As `Harness` says."""
        self.store.release_syncs()

    def syncs_count(self) -> int:
        """As `Harness` says."""
        return self.store.syncs_count

    def die(self, *, boot_id: str = BOOT) -> Store:
        """As `Harness` says."""
        self.store = self.store.crash(is_power_lost=False, boot_id=boot_id)
        return self.store

    def reopen(self, *, boot_id: str = BOOT) -> Store:
        """As `Harness` says."""
        self.store = self.store.reopen(boot_id=boot_id)
        return self.store

    def damage_record(self, sequence: int) -> None:
        """As `Harness` says."""
        self.store.damage_record(sequence)

    def damage_latest_snapshot(self) -> None:
        """As `Harness` says."""
        self.store.damage_latest_snapshot()

    def close(self) -> None:
        """As `Harness` says."""
        self.store.close(clean=False)


class SqliteHarness(Harness):
    """Drives the store on disk."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A new store in `directory`."""
        self.directory = directory / "store-0"
        self.store: SqliteStore = open_sqlite_store(self.directory, options())
        self._root = directory
        self._opened = [self.store]
        self._monkeypatch = monkeypatch
        self._is_sync_failing = False
        self._gate = threading.Event()
        self._gate.set()
        self._syncs_count = 0
        self._sync_disk = sqlite_writer.SqliteWriter.sync_disk
        monkeypatch.setattr(sqlite_writer.SqliteWriter, "sync_disk", self._faulty_sync_disk())

    def _faulty_sync_disk(self) -> Callable[[sqlite_writer.SqliteWriter], None]:
        def sync_disk(writer: sqlite_writer.SqliteWriter) -> None:
            self._syncs_count += 1
            self._gate.wait(timeout=10)
            if self._is_sync_failing:
                self._is_sync_failing = False
                raise OSError(errno.EIO, "Input/output error")
            self._sync_disk(writer)

        return sync_disk

    def fail_next_append(self) -> None:
        """As `Harness` says."""
        insert_records = sqlite_writer.SqliteWriter.insert_records

        def fail(writer: sqlite_writer.SqliteWriter, rows: list[tuple[int, bytes, bytes]]) -> None:
            self._monkeypatch.setattr(sqlite_writer.SqliteWriter, "insert_records", insert_records)
            del writer, rows
            raise apsw.FullError

        self._monkeypatch.setattr(sqlite_writer.SqliteWriter, "insert_records", fail)

    def fail_next_sync(self) -> None:
        """As `Harness` says."""
        self._is_sync_failing = True

    def fail_next_snapshot(self) -> None:
        """As `Harness` says."""
        # A directory in the way refuses the temporary file, as a full disk would.
        (self.directory / "snapshot.writing").mkdir()

    def hold_syncs(self) -> None:
        """As `Harness` says."""
        self._gate.clear()

    def release_syncs(self) -> None:
        """As `Harness` says."""
        self._gate.set()

    def syncs_count(self) -> int:
        """As `Harness` says."""
        return self._syncs_count

    def die(self, *, boot_id: str = BOOT) -> Store:
        """As `Harness` says."""
        # What the kernel holds at this instant is what a kill -9 leaves.
        copied = self._root / f"store-{len(self._opened)}"
        shutil.copytree(self.directory, copied)
        self.directory = copied
        return self._open(boot_id)

    def reopen(self, *, boot_id: str = BOOT) -> Store:
        """As `Harness` says."""
        return self._open(boot_id)

    def _open(self, boot_id: str) -> Store:
        self.store = open_sqlite_store(self.directory, options(boot_id))
        self._opened.append(self.store)
        return self.store

    def damage_record(self, sequence: int) -> None:
        """As `Harness` says."""
        connection = open_connection(self.directory)
        connection.execute("UPDATE journal SET record = ? WHERE sequence = ?", (b"!", sequence))
        connection.close()

    def damage_latest_snapshot(self) -> None:
        """As `Harness` says."""
        _, path = list_snapshot_files(self.directory)[0]
        path.write_bytes(path.read_bytes() + b"!")

    def close(self) -> None:
        """As `Harness` says."""
        self.release_syncs()
        for store in self._opened:
            store.close(clean=False)
