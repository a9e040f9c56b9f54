"""Snapshot files: whole or absent, cut and changed ones told apart, room left for the journal."""

from __future__ import annotations

import errno
import os
import random
import sys
from pathlib import Path

import pytest

from sidecar.store import snapshot
from sidecar.store.errors import StoreSnapshotError
from sidecar.store.snapshot import (
    SNAPSHOT_BESIDE_NAME,
    keep,
    list_snapshot_files,
    make_head,
    read_head,
    read_snapshot_file,
    snapshots_in,
    write_beside,
)
from tests.store.harness import MemoryHarness, SqliteHarness

CHAIN_HASH = bytes(range(32))
FLIPS_COUNT = 400


def written(directory: Path, sequence: int, *parts: bytes, **more: object) -> Path:
    """Write a snapshot that counts and return its path."""
    beside = directory / SNAPSHOT_BESIDE_NAME
    write_beside(beside, {**make_head(sequence, CHAIN_HASH), **more}, parts)
    keep(directory, sequence, beside)
    return dict(list_snapshot_files(directory))[sequence]


def test_parts_are_read_back_as_one_payload_under_their_head(tmp_path: Path) -> None:
    """What a start must know of the journal stands in the head, unknown names included."""
    path = written(tmp_path, 7, b"ab", b"", b"cd", frontier=["00ff"])
    assert read_snapshot_file(path, 7) == b"abcd"
    assert read_head(path, 7) == {
        "sequence": 7,
        "chain_hash": CHAIN_HASH.hex(),
        "frontier": ["00ff"],
    }
    assert read_snapshot_file(path, 8) is None, "the name and the head must agree"


def test_a_file_cut_at_any_byte_is_no_snapshot(tmp_path: Path) -> None:
    """Torn between write and use, wherever it was torn (S12.5)."""
    path = written(tmp_path, 7, b"the state")
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert read_snapshot_file(path, 7) is None, length
    path.write_bytes(whole + b"\0")
    assert read_snapshot_file(path, 7) is None, "longer than it was written"


def test_a_file_with_any_bit_changed_is_no_snapshot(tmp_path: Path) -> None:
    """A flipped bit in magic word, lengths, head, payload or checksum is seen (S12.5)."""
    seed = random.randrange(2**32)
    sys.stdout.write(f"seed {seed}\n")
    chance = random.Random(seed)
    path = written(tmp_path, 7, b"the state")
    whole = path.read_bytes()
    for _ in range(FLIPS_COUNT):
        changed = bytearray(whole)
        changed[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(bytes(changed))
        assert read_snapshot_file(path, 7) is None, f"seed {seed}"


def test_a_bad_one_is_told_once_and_the_one_before_it_comes(tmp_path: Path) -> None:
    """Newest first, whole ones only (S12.5)."""
    for sequence in (1, 2):
        written(tmp_path, sequence, b"%d" % sequence)
    path = dict(list_snapshot_files(tmp_path))[2]
    path.write_bytes(path.read_bytes()[:-1])
    notes: list[str] = []
    assert list(snapshots_in(tmp_path, notes)) == [(1, b"1")]
    assert list(snapshots_in(tmp_path, notes)) == [(1, b"1")]
    (note,) = notes
    assert path.name in note


def test_two_are_kept_and_older_ones_go_only_then(tmp_path: Path) -> None:
    """The one before the newest stays beside it (S12.5)."""
    for sequence in (1, 2, 3):
        written(tmp_path, sequence, b"x")
    assert [sequence for sequence, _ in list_snapshot_files(tmp_path)] == [3, 2]


def test_a_long_one_is_synced_piece_by_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more than a piece lies about unsynced: the journal's sync would wait for all of it."""
    unsynced, most = 0, 0
    write, sync = os.write, os.fdatasync

    def counted_write(descriptor: int, data: bytes) -> int:
        nonlocal unsynced, most
        written_bytes = write(descriptor, data)
        unsynced += written_bytes
        most = max(most, unsynced)
        return written_bytes

    def counted_sync(descriptor: int) -> None:
        nonlocal unsynced
        unsynced = 0
        sync(descriptor)

    monkeypatch.setattr(os, "write", counted_write)
    monkeypatch.setattr(os, "fdatasync", counted_sync)
    monkeypatch.setattr(snapshot, "SYNC_BYTES", 1_000)
    written(tmp_path, 1, *([b"x" * 300] * 40))
    assert 1_000 <= most <= 1_300


def test_the_last_room_is_the_journals(tmp_path: Path) -> None:
    """Looked at before every piece: what is free and what must stay free are named."""
    beside = tmp_path / SNAPSHOT_BESIDE_NAME
    with pytest.raises(StoreSnapshotError, match=r"are kept for the journal \(free some disk"):
        write_beside(beside, make_head(1, CHAIN_HASH), [b"x"], free_bytes_min=1 << 60)


def test_a_full_disk_gets_its_room_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written whole is removed at once: the journal needs the room (S12.3)."""
    write = os.write
    taken = 0

    def full(descriptor: int, data: bytes) -> int:
        nonlocal taken
        if taken >= 600:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken += len(data)
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    beside = tmp_path / SNAPSHOT_BESIDE_NAME
    with pytest.raises(StoreSnapshotError, match="No space left"):
        write_beside(beside, make_head(1, CHAIN_HASH), [b"x" * 100] * 10)
    assert list(tmp_path.iterdir()) == []


def test_nobody_is_followed_to_another_place(tmp_path: Path) -> None:
    """A link laid in the way is removed, not written through."""
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    beside = tmp_path / SNAPSHOT_BESIDE_NAME
    beside.symlink_to(target)
    write_beside(beside, make_head(1, CHAIN_HASH), [b"x"])
    assert target.read_bytes() == b"precious"
    assert not beside.is_symlink()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_snapshot_made_by_another_process_is_adopted(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its records are made power-durable first, and its file is taken away (S12.5)."""
    harness = MemoryHarness() if kind == "memory" else SqliteHarness(tmp_path, monkeypatch)
    store = harness.store
    store.append([(1, b"a"), (2, b"b")])
    head = store.snapshot_head()
    assert head == make_head(2, store.chain_hash, store.store_id)
    beside = tmp_path / "beside"
    write_beside(beside, head, [b"state"])
    await store.adopt_snapshot(2, beside)
    assert store.durable_sequence == 2
    assert store.latest_snapshot() == (2, b"state")
    with pytest.raises(StoreSnapshotError):
        await store.adopt_snapshot(2, beside)
    assert store.poisoned is None
    assert harness.die().latest_snapshot() == (2, b"state")
    harness.close()
