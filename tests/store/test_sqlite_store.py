"""What only a store on disk can get wrong: the lock, the death of a process, changed bytes."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import apsw
import pytest

from sidecar.store import sqlite_writer
from sidecar.store.errors import (
    StoreDamagedError,
    StoreError,
    StoreHeldError,
    StoreMismatchError,
    StoreMissingError,
    StorePoisonedError,
)
from sidecar.store.lock import LOCK_FILE_NAME
from sidecar.store.recovery import RecoveryKind, classify
from sidecar.store.sqlite_database import DATABASE_FILE_NAME, WAL_FILE_NAME, open_connection
from sidecar.store.sqlite_open import open_sqlite_store
from sidecar.store.store import Store
from sidecar.store.watermark import WATERMARK_FILE_NAME
from tests.store.harness import OTHER_BOOT, options

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE_BYTES = 4096
FRAME_BYTES = PAGE_BYTES + 24
WAIT_SECONDS_MAX = 10
RECORD = b"record of the journal" * 10


def stopped_with(directory: Path, records_count: int, *, is_killed: bool = False) -> Path:
    """Return a directory with that many records, stopped cleanly or as a kill -9 leaves it."""
    store = open_sqlite_store(directory, options())
    for sequence in range(1, records_count + 1):
        store.append([(sequence, RECORD)])
    if is_killed:
        return image_of(directory)
    store.close(clean=True)
    return directory


def image_of(directory: Path) -> Path:
    """Return a copy of what the kernel holds of `directory` now."""
    image = Path(tempfile.mkdtemp(prefix="image-", dir=directory.parent))
    for path in directory.iterdir():
        (image / path.name).write_bytes(path.read_bytes())
    return image


def flip(path: Path, offset: int) -> None:
    """Change one bit of `path`."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def contents(directory: Path) -> dict[str, bytes]:
    """Return every file's bytes but the lock's and SQLite's index."""
    skipped = (LOCK_FILE_NAME, f"{DATABASE_FILE_NAME}-shm")
    return {
        path.name: path.read_bytes() for path in directory.iterdir() if path.name not in skipped
    }


def start_hammer(directory: Path) -> subprocess.Popen[bytes]:
    """Return a process writing into `directory`."""
    command = [sys.executable, "-m", "tests.store.hammer", str(directory)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY)


def promised(lines: list[bytes]) -> int:
    """Return the greatest sequence that a whole line promised."""
    whole = [line.split() for line in lines if line.endswith(b"\n")]
    return max((int(words[1]) for words in whole), default=0)


async def poisoned(store: Store) -> None:
    """Return once `store` is poisoned."""
    while store.poisoned is None:  # noqa: ASYNC110 - nobody is told, by design
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("lines_count", [1, 40, 300])
def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path, lines_count: int) -> None:
    """Whatever append promised is there after kill -9, and a batch is whole or absent (S12.1)."""
    directory = tmp_path / "store"
    for _ in range(2):
        process = start_hammer(directory)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(lines_count)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
        process.stdout.close()
        process.wait(timeout=30)
        store = open_sqlite_store(directory, options())
        assert store.facts.damage is None
        assert classify(store.facts) is RecoveryKind.RECOVERED
        assert store.last_sequence >= promised(lines) >= lines_count
        assert store.last_sequence % 2 == 0
        assert sum(1 for _ in store.read(1)) == store.last_sequence
        store.close(clean=False)


def test_a_second_owner_is_refused_by_the_name_of_the_first(tmp_path: Path) -> None:
    """The second sidecar on a directory names the holder, and dies no harm done (S12.8)."""
    directory = tmp_path / "store"
    process = start_hammer(directory)
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(StoreHeldError, match=f"'test', pid {process.pid} on .*, since 2026-01-02"):
        open_sqlite_store(directory, options())
    with pytest.raises(StoreHeldError):
        open_sqlite_store(directory, options())
    process.kill()
    process.stdout.close()
    process.wait(timeout=30)
    open_sqlite_store(directory, options()).close(clean=True)


def test_the_lock_is_let_go_when_opening_fails(tmp_path: Path) -> None:
    """A refused opening leaves the directory free (S12.8)."""
    directory = stopped_with(tmp_path / "store", 1)
    with pytest.raises(StoreMismatchError):
        open_sqlite_store(directory, options(clock_kind="driven"))
    open_sqlite_store(directory, options()).close(clean=True)


def test_the_directory_is_the_owners_alone(tmp_path: Path) -> None:
    """The directory is made 0700; one that others may write in is refused with the way out."""
    directory = tmp_path / "deep" / "store"
    open_sqlite_store(directory, options()).close(clean=True)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in directory.iterdir())
    directory.chmod(0o750)
    store = open_sqlite_store(directory, options())
    assert any("chmod 700" in note for note in store.notes)
    store.close(clean=True)
    directory.chmod(0o770)
    with pytest.raises(StoreError, match="chmod 700"):
        open_sqlite_store(directory, options())


def test_a_store_keeps_its_clock_for_life(tmp_path: Path) -> None:
    """A wall store opened as driven is refused, naming both (S2.5)."""
    directory = stopped_with(tmp_path / "store", 1)
    with pytest.raises(StoreMismatchError, match="'wall', asked for 'driven'"):
        open_sqlite_store(directory, options(clock_kind="driven"))


def test_existing_refuses_to_make_a_store(tmp_path: Path) -> None:
    """With must_exist nothing is made, neither in a missing directory nor in an empty one."""
    with pytest.raises(StoreMissingError):
        open_sqlite_store(tmp_path / "none", options(must_exist=True))
    assert not (tmp_path / "none").exists()
    with pytest.raises(StoreMissingError):
        open_sqlite_store(tmp_path, options(must_exist=True))
    assert not (tmp_path / DATABASE_FILE_NAME).exists()


def test_a_half_made_store_is_made_anew(tmp_path: Path) -> None:
    """A creation cut off before its rename leaves no store behind."""
    directory = tmp_path / "store"
    directory.mkdir(mode=0o700)
    (directory / f"{DATABASE_FILE_NAME}.creating").write_bytes(b"half a page")
    store = open_sqlite_store(directory, options())
    assert store.is_new
    store.close(clean=True)


def test_ids_of_two_stores_differ(tmp_path: Path) -> None:
    """A store's id is 128 random bits in hex, its own for life (S12.7)."""
    ids = []
    for name in ("one", "two", "one"):
        store = open_sqlite_store(tmp_path / name, options())
        ids.append(store.store_id)
        store.close(clean=True)
    assert ids[0] == ids[2] != ids[1]
    assert len(bytes.fromhex(ids[0])) == 16


@pytest.mark.parametrize("cut_bytes", [1, 24, FRAME_BYTES - 1])
def test_a_torn_tail_is_cut_and_noted(tmp_path: Path, cut_bytes: int) -> None:
    """A frame begun and not finished is cut: RECOVERED, with a note of what was cut (S12.4)."""
    directory = stopped_with(tmp_path / "store", 5, is_killed=True)
    wal = (directory / WAL_FILE_NAME).read_bytes()
    unfinished = wal[-FRAME_BYTES:][: max(cut_bytes, 24)]
    (directory / WAL_FILE_NAME).write_bytes(wal + unfinished)
    store = open_sqlite_store(directory, options())
    assert store.facts.torn_tail_frames_count == 1
    assert any("1 unfinished write" in note for note in store.notes)
    assert classify(store.facts) is RecoveryKind.RECOVERED
    assert store.last_sequence == 5
    store.close(clean=True)


def test_a_byte_changed_in_the_middle_is_damage_with_its_sequence(tmp_path: Path) -> None:
    """A bit flipped in a database page is seen at start; the files stay as found (S12.4)."""
    directory = stopped_with(tmp_path / "store", 200)
    database = directory / DATABASE_FILE_NAME
    offset = database.read_bytes().rindex(RECORD, 0, 12 * PAGE_BYTES)
    flip(database, offset)
    before = contents(directory)
    store = open_sqlite_store(directory, options())
    damage = store.facts.damage
    assert damage is not None
    assert 1 < damage.sequence < 200
    assert classify(store.facts) is RecoveryKind.DAMAGED
    assert [sequence for sequence, _ in store.read(1)] == list(range(1, damage.sequence))
    store.close(clean=True)
    assert contents(directory) == before


async def test_a_byte_changed_before_a_snapshot_is_damage_too(tmp_path: Path) -> None:
    """Pages that the snapshot makes unneeded are checked all the same (S12.4, S12.5)."""
    directory = tmp_path / "store"
    store = open_sqlite_store(directory, options())
    store.append([(sequence, RECORD) for sequence in range(1, 201)])
    await store.write_snapshot(200, b"state")
    store.close(clean=True)
    database = directory / DATABASE_FILE_NAME
    flip(database, database.read_bytes().index(RECORD))
    found = open_sqlite_store(directory, options())
    assert classify(found.facts) is RecoveryKind.DAMAGED
    found.close(clean=True)


def test_a_byte_changed_in_the_wal_is_damage_not_a_torn_tail(tmp_path: Path) -> None:
    """SQLite would cut acknowledged records in silence; the watermark tells (S12.4)."""
    directory = stopped_with(tmp_path / "store", 50, is_killed=True)
    flip(directory / WAL_FILE_NAME, 32 + 20 * FRAME_BYTES + 100)
    store = open_sqlite_store(directory, options())
    assert store.facts.damage is not None
    assert "50 was acknowledged" in store.facts.damage.what
    assert store.facts.damage.sequence == store.last_sequence + 1
    store.close(clean=True)


async def test_synced_records_lost_over_a_reboot_are_damage(tmp_path: Path) -> None:
    """After a reboot unsynced records may be gone, synced ones may not (S12.4)."""
    store = open_sqlite_store(tmp_path / "store", options())
    store.append([(1, RECORD)])
    await store.sync(1)
    store.append([(2, RECORD)])
    lost_unsynced = image_of(tmp_path / "store")
    wal = lost_unsynced / WAL_FILE_NAME
    os.truncate(wal, wal.stat().st_size - FRAME_BYTES)
    found = open_sqlite_store(lost_unsynced, options(OTHER_BOOT))
    assert classify(found.facts) is RecoveryKind.RECONCILE
    assert found.last_sequence == 1
    found.close(clean=True)
    lost_synced = image_of(tmp_path / "store")
    os.truncate(lost_synced / WAL_FILE_NAME, 32 + FRAME_BYTES)
    damaged = open_sqlite_store(lost_synced, options(OTHER_BOOT))
    assert classify(damaged.facts) is RecoveryKind.DAMAGED
    damaged.close(clean=True)
    store.close(clean=True)


def test_a_deleted_wal_is_damage(tmp_path: Path) -> None:
    """Records that only the WAL held are missed, not forgotten (S12.4)."""
    directory = stopped_with(tmp_path / "store", 5, is_killed=True)
    (directory / WAL_FILE_NAME).unlink()
    store = open_sqlite_store(directory, options())
    assert classify(store.facts) is RecoveryKind.DAMAGED
    store.close(clean=True)


def test_a_deleted_database_is_damage_not_a_new_store(tmp_path: Path) -> None:
    """Deleting the journal clears no halt: the watermark remembers, and keeps the id (S12.4)."""
    directory = stopped_with(tmp_path / "store", 5)
    intact = open_sqlite_store(directory, options())
    store_id = intact.store_id
    intact.close(clean=True)
    (directory / DATABASE_FILE_NAME).unlink()
    store = open_sqlite_store(directory, options())
    assert not store.is_new
    assert store.store_id == store_id
    assert classify(store.facts) is RecoveryKind.DAMAGED
    assert list(store.read(1)) == []
    store.close(clean=True)
    assert not (directory / DATABASE_FILE_NAME).exists()


def test_a_database_overwritten_with_rubbish_is_damage(tmp_path: Path) -> None:
    """A file that is no database any more starts HALTED under its old id (S12.4)."""
    directory = stopped_with(tmp_path / "store", 5)
    (directory / DATABASE_FILE_NAME).write_bytes(b"not a database" * 1_000)
    store = open_sqlite_store(directory, options())
    assert classify(store.facts) is RecoveryKind.DAMAGED
    store.close(clean=True)


def test_with_no_identity_left_the_start_is_refused(tmp_path: Path) -> None:
    """Where neither database nor watermark can be read there is no store to start (S12.4)."""
    directory = stopped_with(tmp_path / "store", 5)
    (directory / DATABASE_FILE_NAME).write_bytes(b"not a database" * 1_000)
    (directory / WATERMARK_FILE_NAME).unlink()
    with pytest.raises(StoreDamagedError, match="backup"):
        open_sqlite_store(directory, options())


@pytest.mark.parametrize(
    ("statement", "sequence"),
    [
        ("UPDATE journal SET record = x'00' WHERE sequence = 3", 3),
        ("DELETE FROM journal WHERE sequence = 3", 3),
        ("DELETE FROM journal WHERE sequence = 1", 1),
        ("DELETE FROM journal WHERE sequence > 3", 4),
        ("UPDATE journal SET hash = zeroblob(32) WHERE sequence = 5", 5),
        ("UPDATE journal SET sequence = 9 WHERE sequence = 5", 5),
    ],
)
def test_a_row_changed_by_hand_is_damage(tmp_path: Path, statement: str, sequence: int) -> None:
    """Rows changed, cut or moved with valid pages break the chain at the first of them (S12.4)."""
    directory = stopped_with(tmp_path / "store", 5)
    connection = open_connection(directory)
    connection.execute(statement)
    connection.close()
    store = open_sqlite_store(directory, options())
    assert store.facts.damage is not None
    assert store.facts.damage.sequence == sequence
    store.close(clean=True)


def test_a_missing_watermark_owes_a_reconcile(tmp_path: Path) -> None:
    """Without its second witness the store asks to reconcile and says why (S12.4)."""
    directory = stopped_with(tmp_path / "store", 5)
    (directory / WATERMARK_FILE_NAME).unlink()
    store = open_sqlite_store(directory, options())
    assert classify(store.facts) is RecoveryKind.RECONCILE
    assert any("watermark" in note for note in store.notes)
    store.close(clean=True)


async def test_checkpoints_bound_the_wal_and_lose_nothing(tmp_path: Path) -> None:
    """The WAL is reused again and again, and every synced record is there (S12.1)."""
    directory = tmp_path / "store"
    store = open_sqlite_store(directory, options(checkpoint_pages_count=20))
    for sequence in range(1, 1_001):
        store.append([(sequence, RECORD)])
        await store.sync(sequence)
    assert (directory / WAL_FILE_NAME).stat().st_size < 300 * FRAME_BYTES
    image = image_of(directory)
    store.close(clean=True)
    found = open_sqlite_store(image, options())
    assert found.facts.damage is None
    assert list(found.read(1)) == [(sequence, RECORD) for sequence in range(1, 1_001)]
    found.close(clean=True)


async def test_a_failed_checkpoint_poisons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint syncs too, so its failure is final like any other (S12.3)."""

    def fail(_writer: sqlite_writer.SqliteWriter) -> None:
        raise apsw.IOError

    monkeypatch.setattr(sqlite_writer.SqliteWriter, "checkpoint", fail)
    store = open_sqlite_store(tmp_path / "store", options(checkpoint_pages_count=1))
    store.append([(1, RECORD)])
    await store.sync(1)
    await asyncio.wait_for(poisoned(store), WAIT_SECONDS_MAX)
    with pytest.raises(StorePoisonedError, match="checkpoint"):
        store.append([(2, RECORD)])
    store.close(clean=True)
    assert open_sqlite_store(tmp_path / "store", options()).facts.was_poisoned


async def test_after_a_job_that_failed_the_thread_does_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one that was asked for before the loop heard of it, nor at the close (S12.3)."""
    begun, may_fail = threading.Event(), threading.Event()
    done: list[str] = []

    def fail(_writer: sqlite_writer.SqliteWriter) -> None:
        done.append("checkpoint")
        begun.set()
        may_fail.wait(WAIT_SECONDS_MAX)
        raise apsw.IOError

    monkeypatch.setattr(sqlite_writer.SqliteWriter, "checkpoint", fail)
    store = open_sqlite_store(tmp_path / "store", options(checkpoint_pages_count=1))
    store.append([(1, RECORD)])
    await store.sync(1)
    assert await asyncio.to_thread(begun.wait, WAIT_SECONDS_MAX)
    monkeypatch.setattr(
        sqlite_writer.SqliteWriter, "sync_disk", lambda _writer: done.append("sync")
    )
    store.append([(2, RECORD)])
    waiting = asyncio.create_task(store.sync(2))
    queue = store._writer.executor._work_queue  # type: ignore[union-attr] # it has a writer # noqa: SLF001 - the sync stands behind the checkpoint
    while queue.empty():  # noqa: ASYNC110 - a pool's queue tells nobody
        await asyncio.sleep(0)
    may_fail.set()
    with pytest.raises(StorePoisonedError):
        await waiting
    store.close(clean=True)
    assert done == ["checkpoint"]
    assert open_sqlite_store(tmp_path / "store", options()).facts.was_poisoned


async def test_a_failure_that_only_the_close_hears_of_poisons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread is waited for, and what its last job came to is heard (S12.3)."""
    begun = threading.Event()

    def fail(_writer: sqlite_writer.SqliteWriter) -> None:
        begun.set()
        raise apsw.IOError

    monkeypatch.setattr(sqlite_writer.SqliteWriter, "checkpoint", fail)
    store = open_sqlite_store(tmp_path / "store", options(checkpoint_pages_count=1))
    store.append([(1, RECORD)])
    await store.sync(1)
    await asyncio.sleep(0)
    assert begun.wait(WAIT_SECONDS_MAX), "the checkpoint was handed to the thread"
    store.close(clean=True)
    assert store.poisoned is not None
    assert open_sqlite_store(tmp_path / "store", options()).facts.was_poisoned


async def test_the_reserved_names_are_the_stores(tmp_path: Path) -> None:
    """A caller cannot overwrite what the store keeps about itself."""
    store = open_sqlite_store(tmp_path / "store", options())
    with pytest.raises(StoreError, match="store"):
        store.meta_set("store.boot_id", "mine")
    assert store.poisoned is None
    store.close(clean=True)


async def test_a_journal_deleted_while_running_is_not_durable(tmp_path: Path) -> None:
    """What is written to files without a name is poisoned, never called durable (S12.3)."""
    store = open_sqlite_store(tmp_path / "store", options())
    store.append([(1, RECORD)])
    await store.sync(1)
    shutil.rmtree(tmp_path / "store")
    store.append([(2, RECORD)])
    with pytest.raises(StorePoisonedError, match="deleted while the sidecar ran"):
        await store.sync(2)
    store.close(clean=True)


def test_no_other_process_looks_into_a_running_store(tmp_path: Path) -> None:
    """The index of the WAL is in our memory, so a reader elsewhere is turned away, not misled."""
    directory = tmp_path / "store"
    store = open_sqlite_store(directory, options())
    store.append([(1, RECORD)])
    look = (
        "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchall())"
    )
    command = [sys.executable, "-c", look, str(directory / DATABASE_FILE_NAME)]
    other = subprocess.run(
        [*command, "SELECT count(*) FROM journal"], capture_output=True, text=True, check=False
    )
    assert other.returncode != 0
    assert "database is locked" in other.stderr
    assert not (directory / f"{DATABASE_FILE_NAME}-shm").exists()
    store.append([(2, RECORD)])
    store.close(clean=True)


def test_the_index_an_older_sidecar_left_is_not_read(tmp_path: Path) -> None:
    """An upgrade after kill -9 finds a shared index of another run: the WAL alone is believed."""
    image = stopped_with(tmp_path / "store", 12, is_killed=True)
    (image / f"{DATABASE_FILE_NAME}-shm").write_bytes(b"\x18\xe2-\0" * 8192)
    store = open_sqlite_store(image, options())
    assert store.facts.damage is None
    assert [sequence for sequence, _ in store.read(1)] == list(range(1, 13))
    store.append([(13, RECORD)])
    store.close(clean=True)
