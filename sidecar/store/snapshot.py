"""Snapshots as files: whole or absent, checked when read, the previous one kept beside (S12.5).

Rules:
1. Written beside, synced, renamed, directory synced: at no instant is a half one under its name.
2. A snapshot whose checksum does not hold is skipped with a note, and the one before it serves.
3. Older ones are removed only after the newer one is power-durable.
"""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

from sidecar.store.errors import StoreSnapshotError
from sidecar.store.store import SNAPSHOTS_KEPT_COUNT

_PREFIX = "snapshot-"
_SUFFIX = ".bin"
_TEMPORARY_FILE_NAME = "snapshot.writing"
_MAGIC = b"HLSNAP01"
_HEADER = struct.Struct(">8sQQ32s")


def write_snapshot_file(directory: Path, sequence: int, payload: bytes) -> None:
    """Keep `payload` as the state after record `sequence`, power-durable.

    Raises StoreSnapshotError where it could not be written; OSError where a sync failed, after
    which the disk is not to be trusted any more.
    """
    temporary = directory / _TEMPORARY_FILE_NAME
    try:
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise StoreSnapshotError(f"snapshot {sequence}: {error}") from error
    try:
        _write_all(descriptor, encode_snapshot(sequence, payload), sequence)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.rename(directory / f"{_PREFIX}{sequence:020d}{_SUFFIX}")
    sync_directory(directory)
    for _, path in list_snapshot_files(directory)[SNAPSHOTS_KEPT_COUNT:]:
        path.unlink(missing_ok=True)


def latest_snapshot_in(directory: Path, notes: list[str]) -> tuple[int, bytes] | None:
    """Return the newest whole snapshot in `directory`; each bad one adds a sentence to `notes`."""
    for sequence, path in list_snapshot_files(directory):
        payload = read_snapshot_file(path, sequence)
        if payload is not None:
            return sequence, payload
        note = f"{path.name} is damaged and was skipped; the one before it, or the journal, serves"
        if note not in notes:
            notes.append(note)
    return None


def list_snapshot_files(directory: Path) -> list[tuple[int, Path]]:
    """Return (sequence, path) of every snapshot by name, newest first, unread."""
    found = []
    for path in directory.glob(f"{_PREFIX}*{_SUFFIX}"):
        digits = path.name[len(_PREFIX) : -len(_SUFFIX)]
        if digits.isascii() and digits.isdigit():
            found.append((int(digits), path))
    return sorted(found, reverse=True)


def read_snapshot_file(path: Path, sequence: int) -> bytes | None:
    """Return the payload, or None unless the file is whole and is the snapshot of `sequence`."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    payload = data[_HEADER.size :]
    return payload if data == encode_snapshot(sequence, payload) else None


def encode_snapshot(sequence: int, payload: bytes) -> bytes:
    """Return the file's bytes."""
    checksum = hashlib.sha256(sequence.to_bytes(8, "big") + payload).digest()
    return _HEADER.pack(_MAGIC, sequence, len(payload), checksum) + payload


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` power-durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes, sequence: int) -> None:
    """Write `data`; a full disk is no reason to distrust the journal, so it has its own error."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        raise StoreSnapshotError(f"snapshot {sequence}: {error} (free some disk space)") from error
