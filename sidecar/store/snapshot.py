"""Snapshots as files: whole or absent, checked when read, the previous one kept beside (S12.5).

A file is a magic word, the length of its head, the head (JSON), the payload, and the SHA-256 of all
that. The head says of which record it is and what a start must know of the journal up to there;
a name in it that is not known here is left alone.

Rules:
1. Written beside, synced, renamed, directory synced: at no instant is a half one under its name.
2. A snapshot whose checksum does not hold is skipped with a note, and the one before it serves.
3. Older ones are removed only after the newer one is power-durable.
4. What is written is synced piece by piece: a large file that lies about unsynced would make the
   journal's next sync wait for all of it.
5. A snapshot names its store and the chain's hash at its record. One that lies in another store's
   directory, or beside a journal that tells another past, is not taken for this one's state.
6. A snapshot never takes the last room of the disk from the journal.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeAlias

from sidecar.store.errors import StoreSnapshotError
from sidecar.store.store import SNAPSHOTS_KEPT_COUNT

SNAPSHOT_BESIDE_NAME: Final = "snapshot.writing"
SYNC_BYTES: Final = 4 * 1024 * 1024
HEAD_BYTES_MAX: Final = 1024 * 1024
_PREFIX: Final = "snapshot-"
_SUFFIX: Final = ".bin"
SNAPSHOT_GLOB: Final = f"{_PREFIX}*{_SUFFIX}"
_MAGIC: Final = b"HLSNAP02"
_LENGTH: Final = struct.Struct(">I")
_CHECKSUM_BYTES: Final = hashlib.sha256().digest_size

Head: TypeAlias = Mapping[str, Any]
"""`sequence`, `chain_hash` in hex: the journal's at that record, `store_id`; more may follow."""


HashOf: TypeAlias = Callable[[int], bytes | None]
"""The hash of the chain up to a record, as the journal has it; None where it has no such record."""


def make_head(sequence: int, chain_hash: bytes, store_id: str = "") -> dict[str, Any]:
    """Return the head of a snapshot of the state after record `sequence`."""
    head: dict[str, Any] = {"sequence": sequence, "chain_hash": chain_hash.hex()}
    return {**head, "store_id": store_id} if store_id else head


def hash_in(head: Head) -> bytes:
    """Return the chain's hash that a head names, empty where it names none."""
    try:
        return bytes.fromhex(head["chain_hash"])
    except (KeyError, TypeError, ValueError):
        return b""


def is_foreign(head: Head, store_id: str) -> bool:
    """Say whether a head names another store; one that names none is taken for ours."""
    return head.get("store_id", store_id) not in {store_id, ""}


def write_beside(path: Path, head: Head, parts: Iterable[bytes], free_bytes_min: int = 0) -> int:
    """Write a whole snapshot file at `path`, synced; return its size.

    Raises StoreSnapshotError where it could not be written; OSError where a sync failed, after
    which the disk is not to be trusted any more.
    """
    sequence = head["sequence"]
    try:
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StoreSnapshotError(f"snapshot {sequence}: {error}") from error
    size = unsynced = 0
    try:
        for data in _pieces(head, parts):
            if unsynced >= SYNC_BYTES or not size:
                os.fdatasync(descriptor)
                _leave_room(descriptor, sequence, free_bytes_min)
                unsynced = 0
            _write_all(descriptor, data, sequence)
            size += len(data)
            unsynced += len(data)
        os.fsync(descriptor)
    except BaseException:
        # Half a file is of no use to anybody, and the journal may need its room.
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return size


def keep(directory: Path, sequence: int, beside: Path) -> None:
    """Give the whole file at `beside` the name under which it counts; remove what is older.

    Raises StoreSnapshotError where it is not there; OSError where a sync failed.
    """
    try:
        beside.rename(directory / f"{_PREFIX}{sequence:020d}{_SUFFIX}")
    except OSError as error:
        raise StoreSnapshotError(f"snapshot {sequence}: {error}") from error
    sync_directory(directory)
    for _, path in list_snapshot_files(directory)[SNAPSHOTS_KEPT_COUNT:]:
        path.unlink(missing_ok=True)


def snapshots_in(directory: Path, notes: list[str]) -> Iterator[tuple[int, bytes]]:
    """Yield (sequence, payload) of whole snapshots, newest first; a bad one adds to `notes`."""
    for sequence, path in list_snapshot_files(directory):
        payload = read_snapshot_file(path, sequence)
        if payload is not None:
            yield sequence, payload
            continue
        note = f"{path.name} is damaged and was skipped; the one before it, or the journal, serves"
        if note not in notes:
            notes.append(note)


def proved_snapshots_in(
    directory: Path, *, store_id: str, hash_of: HashOf, notes: list[str]
) -> Iterator[tuple[int, bytes]]:
    """Yield the whole snapshots of this very journal, newest first; others add to `notes`."""
    for sequence, path in list_snapshot_files(directory):
        fault = _fault_of(read_head(path, sequence), sequence, store_id, hash_of)
        payload = None if fault else read_snapshot_file(path, sequence)
        if payload is not None:
            yield sequence, payload
            continue
        fault = fault or "is damaged"
        note = f"{path.name} {fault} and was skipped; the one before it, or the journal, serves"
        if note not in notes:
            notes.append(note)


def _fault_of(head: Head | None, sequence: int, store_id: str, hash_of: HashOf) -> str:
    if head is None:
        return "is damaged"
    if is_foreign(head, store_id):
        return f"is of another store ({head['store_id']})"
    chain_hash = hash_of(sequence)
    if chain_hash is None:
        return "is of a record that the journal cannot show"
    if chain_hash != hash_in(head):
        return "is of another past than the journal's"
    return ""


def foreign_notes(directory: Path, store_id: str) -> list[str]:
    """Return a sentence about each snapshot that is of another store."""
    return [
        f"{path.name} is of another store ({head['store_id']}) and is left out"
        for sequence, path in list_snapshot_files(directory)
        if (head := read_head(path, sequence)) is not None and is_foreign(head, store_id)
    ]


def set_foreign_aside(directory: Path, store_id: str) -> None:
    """Rename whole snapshots of other stores, so that nobody begins from them. Raises OSError."""
    for sequence, path in list_snapshot_files(directory):
        head = read_head(path, sequence)
        if head is not None and is_foreign(head, store_id):
            path.rename(path.with_name(f"{path.name}.foreign"))


def list_snapshot_files(directory: Path) -> list[tuple[int, Path]]:
    """Return (sequence, path) of every snapshot by name, newest first, unread."""
    found = []
    for path in directory.glob(SNAPSHOT_GLOB):
        digits = path.name[len(_PREFIX) : -len(_SUFFIX)]
        if digits.isascii() and digits.isdigit():
            found.append((int(digits), path))
    return sorted(found, reverse=True)


def read_head(path: Path, sequence: int) -> dict[str, Any] | None:
    """Return the head, or None unless it is one of `sequence`; the checksum is not looked at."""
    try:
        with path.open("rb") as file:
            prefix = file.read(len(_MAGIC) + _LENGTH.size)
            if len(prefix) < len(_MAGIC) + _LENGTH.size or not prefix.startswith(_MAGIC):
                return None
            (length,) = _LENGTH.unpack_from(prefix, len(_MAGIC))
            head = json.loads(file.read(min(length, HEAD_BYTES_MAX)))
    except (OSError, ValueError):
        return None
    is_ours = isinstance(head, dict) and head.get("sequence") == sequence
    return head if is_ours else None


def read_snapshot_file(path: Path, sequence: int) -> bytes | None:
    """Return the payload, or None unless the file is whole and is the snapshot of `sequence`."""
    if read_head(path, sequence) is None:
        return None
    try:
        data = path.read_bytes()
    except OSError:
        return None
    view = memoryview(data)
    begins = len(_MAGIC) + _LENGTH.size + _LENGTH.unpack_from(data, len(_MAGIC))[0]
    ends = len(data) - _CHECKSUM_BYTES
    if begins > ends or hashlib.sha256(view[:ends]).digest() != view[ends:]:
        return None
    return bytes(view[begins:ends])


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` power-durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pieces(head: Head, parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes of the file in order, the checksum last."""
    told = json.dumps(dict(head)).encode()
    checksum = hashlib.sha256()
    for data in chain([_MAGIC + _LENGTH.pack(len(told)) + told], parts):
        checksum.update(data)
        yield data
    yield checksum.digest()


def _leave_room(descriptor: int, sequence: int, free_bytes_min: int) -> None:
    status = os.fstatvfs(descriptor)
    free_bytes = status.f_bavail * status.f_frsize
    if free_bytes < free_bytes_min + SYNC_BYTES:
        raise StoreSnapshotError(
            f"snapshot {sequence}: {free_bytes} bytes are free, {free_bytes_min} are kept for the "
            "journal (free some disk space)"
        )


def _write_all(descriptor: int, data: bytes, sequence: int) -> None:
    """Write `data`; a full disk is no reason to distrust the journal, so it has its own error."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        raise StoreSnapshotError(f"snapshot {sequence}: {error} (free some disk space)") from error
