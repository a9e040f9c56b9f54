"""What may lie in a data directory, and whether it is still the one that was opened."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.store.directory import FILE_NAMES, Place, prepare_directory
from sidecar.store.errors import (
    StoreError,
    StoreMissingError,
    StorePoisonedError,
    StoreSnapshotError,
)
from sidecar.store.lock import LOCK_FILE_NAME
from sidecar.store.read_only import open_read_only
from sidecar.store.repair import DamagedStore
from sidecar.store.snapshot import list_snapshot_files
from sidecar.store.sqlite_database import DATABASE_FILE_NAME, WAL_FILE_NAME
from sidecar.store.sqlite_open import open_sqlite_store
from sidecar.store.watermark import WATERMARK_FILE_NAME
from tests.disk.machine import fill, small_disk
from tests.store.harness import options

RECORD = b"record of the journal" * 10
SNAPSHOT = "snapshot-00000000000000000001.bin"
EVERY_FILE = [*FILE_NAMES, SNAPSHOT]
NOBODY = 65534


@pytest.fixture
async def directory(tmp_path: Path) -> Path:
    """A store with a record and a snapshot, stopped cleanly."""
    store = open_sqlite_store(tmp_path / "d", options())
    store.append([(1, RECORD)])
    await store.write_snapshot(1, b"state")
    store.close(clean=True)
    assert {path.name for path in (tmp_path / "d").iterdir()} == set(EVERY_FILE)
    return tmp_path / "d"


def refused(directory: Path, pattern: str) -> None:
    """A start, a repair, and where it matters a reader refuse, in these words."""
    with pytest.raises(StoreError, match=pattern):
        open_sqlite_store(directory, options())
    with pytest.raises(StoreError, match=pattern):
        DamagedStore(directory, options().holder)
    if "is no ordinary file" in pattern:
        with pytest.raises(StoreError, match=pattern):  # and does not wait on a pipe for ever
            open_read_only(directory)


@pytest.mark.parametrize("name", EVERY_FILE)
async def test_a_link_in_place_of_a_file_is_refused(directory: Path, name: str) -> None:
    """Whoever may write where it leads could write our memory: named, with what to do."""
    path = directory / name
    elsewhere = directory.parent / name
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    refused(directory, f"{name}: is a symbolic link to .*{name} .*move the whole directory")
    path.unlink()
    elsewhere.rename(path)
    open_sqlite_store(directory, options()).close(clean=True)


@pytest.mark.parametrize("name", EVERY_FILE)
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
async def test_a_file_that_others_may_write_is_refused(
    directory: Path, name: str, mode: int
) -> None:
    """It may have been written: look at it, then chmod, and the command is named."""
    (directory / name).chmod(mode)
    refused(directory, f"others may write it .*chmod 600 .*{name}")
    (directory / name).chmod(0o644)
    open_sqlite_store(directory, options()).close(clean=True)


@pytest.mark.parametrize("name", EVERY_FILE)
async def test_something_else_in_place_of_a_file_is_refused(directory: Path, name: str) -> None:
    """A directory or a pipe of that name is no store's, and is not waited on."""
    (directory / name).unlink()
    os.mkfifo(directory / name, 0o600)
    refused(directory, f"{name}: is no ordinary file")
    (directory / name).unlink()
    (directory / name).mkdir(mode=0o700)
    refused(directory, f"{name}: is no ordinary file")


@pytest.mark.parametrize("name", [*EVERY_FILE, "."])
async def test_what_belongs_to_somebody_else_is_refused(directory: Path, name: str) -> None:
    """Its owner could have written it. Giving a file away takes root; else it is said."""
    if os.geteuid() != 0:
        pytest.skip("NOT RUN: only root can give a file away")
    os.chown(directory / name, NOBODY, NOBODY)
    refused(directory, f"belongs to user {NOBODY}")


async def test_a_directory_that_is_a_link_is_followed(directory: Path) -> None:
    """The directory itself may live elsewhere: only what lies in it must be its own."""
    link = directory.parent / "link"
    link.symlink_to(directory)
    store = open_sqlite_store(link, options())
    assert store.last_sequence == 1
    store.close(clean=True)


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    """A path that leads to a file, and one below a file, are told apart from no store."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="another --data-dir"):
        prepare_directory(tmp_path / "file", must_exist=False)
    with pytest.raises(StoreError, match="another --data-dir"):
        prepare_directory(tmp_path / "file", must_exist=True)
    with pytest.raises(StoreMissingError, match="is it mounted"):
        prepare_directory(tmp_path / "none", must_exist=True)


def deleted(path: Path) -> None:
    """Delete the file."""
    path.unlink()


def replaced(path: Path) -> None:
    """Put a copy in its place."""
    copied = shutil.copy2(path, path.with_name("copied"))
    Path(copied).rename(path)


@pytest.mark.parametrize("name", FILE_NAMES)
@pytest.mark.parametrize("happens", [deleted, replaced])
async def test_a_file_that_is_not_the_one_opened_is_told_and_poisons(
    tmp_path: Path, name: str, happens: Callable[[Path], None]
) -> None:
    """Each of the store's files: missed by the look of every second, by the next sync (S12.3)."""
    store = open_sqlite_store(tmp_path / "d", options())
    assert store.check_place() == ""
    happens(tmp_path / "d" / name)
    problem = store.check_place()
    assert f"{name} was deleted while the sidecar ran" in problem
    assert store.poisoned == problem
    with pytest.raises(StoreError, match="poisoned"):
        store.append([(1, RECORD)])
    store.close(clean=True)


def test_the_place_is_the_directory_not_its_name(directory: Path) -> None:
    """Moved there and back it is the same place: what counts is which files the names lead to."""
    (directory / WAL_FILE_NAME).touch()
    place = Place(directory)
    moved = directory.rename(directory.with_name("moved"))
    assert "was deleted while the sidecar ran, or moved" in place.problem()
    moved.rename(directory)
    assert place.problem() == ""


async def test_a_snapshot_that_finds_the_disk_full_is_dropped_and_gives_the_room_back(
    tmp_path: Path,
) -> None:
    """ENOSPC while it is written: no poison, the one before stays, the journal has room (S12.3).

    The half written file stayed behind and held the room that the journal needed.
    """
    with small_disk(tmp_path / "disk", 16 * 1024 * 1024) as disk:
        store = open_sqlite_store(disk, options())
        store.append([(1, RECORD)])
        await store.write_snapshot(1, b"state")
        store.append([(2, RECORD)])
        free_before = store.free_bytes()
        with pytest.raises(StoreSnapshotError, match=r"No space .*free some disk space"):
            await store.write_snapshot(2, b"x" * 32 * 1024 * 1024)
        assert store.free_bytes() == free_before
        assert [sequence for sequence, _ in list_snapshot_files(disk)] == [1]
        assert store.poisoned is None
        for sequence in range(3, 40):
            store.append([(sequence, RECORD)])
            await store.sync(sequence)
        store.close(clean=True)
        assert open_sqlite_store(disk, options()).last_sequence == 39


async def test_a_write_that_finds_the_disk_full_poisons_and_loses_nothing_before(
    tmp_path: Path,
) -> None:
    """What was acknowledged before ENOSPC is there at the next start, RECONCILE owed (S12.3)."""
    with small_disk(tmp_path / "disk", 512 * 1024) as disk:
        store = open_sqlite_store(disk, options())
        filler = fill(disk)
        sequence = 0
        while store.poisoned is None:
            assert sequence < 10_000
            with contextlib.suppress(StorePoisonedError):
                store.append([(sequence + 1, RECORD)])
                sequence += 1
        assert "append failed: FullError" in store.poisoned
        store.close(clean=True)
        filler.unlink()
        found = open_sqlite_store(disk, options())
        assert found.facts.damage is None
        assert found.facts.was_poisoned
        assert found.last_sequence >= sequence
        found.close(clean=True)


def test_the_files_are_those_that_are_made(tmp_path: Path) -> None:
    """What is judged and watched is all that a running store keeps open."""
    store = open_sqlite_store(tmp_path / "d", options())
    assert {path.name for path in (tmp_path / "d").iterdir()} == set(FILE_NAMES)
    assert set(FILE_NAMES) == {
        LOCK_FILE_NAME,
        DATABASE_FILE_NAME,
        WAL_FILE_NAME,
        WATERMARK_FILE_NAME,
    }
    store.close(clean=True)
