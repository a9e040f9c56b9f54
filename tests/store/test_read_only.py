"""A stopped sidecar's directory can be read, and is as it was afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.store.errors import StoreDamagedError, StoreHeldError, StoreMissingError
from sidecar.store.read_only import open_read_only
from sidecar.store.sqlite_database import DATABASE_FILE_NAME, WAL_FILE_NAME, open_connection
from sidecar.store.sqlite_open import open_sqlite_store
from sidecar.store.sqlite_reading import read_checked
from sidecar.store.store import Store
from tests.store.harness import options

RECORDS = [(1, b"a"), (2, b"b"), (3, b"c")]


def state_of(directory: Path) -> dict[str, tuple[bytes, int, int]]:
    """Return every file's bytes, mode and time of change."""
    return {
        path.name: (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns)
        for path in directory.iterdir()
    }


async def written(directory: Path) -> Store:
    """Return a store with records and a snapshot."""
    store = open_sqlite_store(directory, options())
    store.append(RECORDS)
    await store.write_snapshot(2, b"state")
    return store


async def test_a_cleanly_stopped_store_is_read_and_left_alone(tmp_path: Path) -> None:
    """Records, snapshot and identity are read; no byte, file or time changes."""
    store = await written(tmp_path / "store")
    store.close(clean=True)
    before = state_of(tmp_path / "store")
    with open_read_only(tmp_path / "store") as found:
        assert list(found.read(1)) == RECORDS
        assert next(found.snapshots()) == (2, b"state")
        assert (found.store_id, found.clock_kind) == (store.store_id, "wall")
        assert found.was_clean_stop
        assert found.damage is None
        assert found.last_holder.name == "test"
    assert state_of(tmp_path / "store") == before


@pytest.mark.parametrize("left_out", ["nothing", f"{DATABASE_FILE_NAME}-shm"])
async def test_a_killed_stores_wal_is_read_and_left_alone(tmp_path: Path, left_out: str) -> None:
    """What only the WAL holds is read, with and without SQLite's index; nothing is made."""
    store = await written(tmp_path / "store")
    image = tmp_path / "image"
    image.mkdir()
    for path in (tmp_path / "store").iterdir():
        if path.name != left_out:
            (image / path.name).write_bytes(path.read_bytes())
    store.close(clean=True)
    assert (image / WAL_FILE_NAME).stat().st_size
    before = state_of(image)
    with open_read_only(image) as found:
        assert list(found.read(1)) == RECORDS
        assert list(found.read(3)) == RECORDS[2:]
        assert not found.was_clean_stop
    assert state_of(image) == before


async def test_a_running_owner_is_named_instead(tmp_path: Path) -> None:
    """While a sidecar runs there, its directory is not read behind its back (S12.8)."""
    store = await written(tmp_path / "store")
    with pytest.raises(StoreHeldError, match="'test'"):
        open_read_only(tmp_path / "store")
    store.close(clean=True)


def test_no_store_is_said_so_and_none_is_made(tmp_path: Path) -> None:
    """An empty or missing directory holds no store, and still does not afterwards."""
    for directory in (tmp_path, tmp_path / "none"):
        with pytest.raises(StoreMissingError):
            open_read_only(directory)
    assert list(tmp_path.iterdir()) == []


async def test_damage_is_told(tmp_path: Path) -> None:
    """A changed record is named by sequence, and what lies before it is read (S12.4)."""
    store = await written(tmp_path / "store")
    store.close(clean=True)
    connection = open_connection(tmp_path / "store")
    connection.execute("UPDATE journal SET record = x'00' WHERE sequence = 2")
    connection.close()
    with open_read_only(tmp_path / "store") as found:
        assert found.damage is not None
        assert found.damage.sequence == 2
        assert list(found.read(1)) == RECORDS[:1]


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """Where nothing can be read the way out is said (S12.4)."""
    store = await written(tmp_path / "store")
    store.close(clean=True)
    (tmp_path / "store" / DATABASE_FILE_NAME).write_bytes(b"rubbish" * 1_000)
    with pytest.raises(StoreDamagedError, match="backup"):
        open_read_only(tmp_path / "store")


async def test_a_name_that_is_no_text_any_more_is_damage(tmp_path: Path) -> None:
    """A byte changed inside a named value is told; the reader dies of no decoding error."""
    store = await written(tmp_path / "store")
    store.close(clean=True)
    database = tmp_path / "store" / DATABASE_FILE_NAME
    data = database.read_bytes()
    database.write_bytes(data.replace(b"store.clean_sequence", b"store.clean_sequenc\xe5"))
    with pytest.raises(StoreDamagedError, match="store repair"):
        open_read_only(tmp_path / "store")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal SET record = CAST(x'ff' AS TEXT) WHERE sequence = 3",
        "UPDATE journal SET record = 'text' WHERE sequence = 3",
        "UPDATE journal SET record = 1000000000000 WHERE sequence = 3",
        "UPDATE journal SET record = NULL WHERE sequence = 3",
        "UPDATE journal SET hash = 32 WHERE sequence = 3",
    ],
)
async def test_a_record_of_another_type_is_damage(tmp_path: Path, statement: str) -> None:
    """A row whose type was changed is damage at its record, at a start and to the reader."""
    store = await written(tmp_path / "store")
    store.close(clean=True)
    connection = open_connection(tmp_path / "store")
    connection.execute("PRAGMA ignore_check_constraints = 1; PRAGMA writable_schema = 1")
    connection.execute("UPDATE sqlite_schema SET sql = replace(sql, 'NOT NULL', '')")
    connection.close()
    connection = open_connection(tmp_path / "store")
    connection.execute(statement)
    connection.close()
    with open_read_only(tmp_path / "store") as found:
        assert found.damage is not None
        assert found.damage.sequence == 3
    started = open_sqlite_store(tmp_path / "store", options())
    assert started.facts.damage is not None
    started.close(clean=False)


@pytest.mark.parametrize(
    "statement",
    [
        "PRAGMA ignore_check_constraints = 1; UPDATE journal SET record = 7 WHERE sequence = 2",
        "DELETE FROM journal WHERE sequence = 2",
    ],
)
async def test_a_reader_behind_a_record_that_is_damaged_is_told(
    tmp_path: Path, statement: str
) -> None:
    """What follows it cannot be proved: that is damage, and never the journal's end."""
    store = await written(tmp_path / "store")
    base = store.base
    store.close(clean=True)
    connection = open_connection(tmp_path / "store")
    connection.execute(statement)
    with pytest.raises(StoreDamagedError) as damaged:
        list(read_checked(connection, base, 3, 3))
    assert damaged.value.sequence == 2
    assert list(read_checked(connection, base, 9, None)) == []
    connection.close()
