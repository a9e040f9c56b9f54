"""A second witness of how far the journal went, so that a tail cut off is seen (S12.4).

SQLite recovers a WAL up to its first bad frame and says nothing: a flipped bit in the middle, a
deleted WAL or a deleted database would all read as a shorter, healthy journal. This small file
remembers what had been acknowledged, and the start compares.

Rules:
1. `written` and `durable` are moved after the fact they state, never before. So `durable` can lag
   behind the journal, and a journal behind `durable` has lost records.
2. `written` binds on the same boot only: after a loss of power this file's pages may be newer than
   the journal's. `durable` always binds.
3. No sync of its own: a kill -9 leaves what was written, a power cut may leave an older word.
4. `poisoned` is set at the first failure and cleared only when recovery was settled. Where it
   cannot be written, `poison_mark` says it in its stead.
5. A file whose checksums do not hold counts as missing; a store without one must reconcile.
6. The part that moves is one small write at a fixed place: it costs about a microsecond a record.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

from sidecar.store.poison_mark import is_mark_left, leave_marks, remove_marks
from sidecar.store.recovery import is_same_boot
from sidecar.store.store import ClockKind

WATERMARK_FILE_NAME = "watermark"
_MAGIC = b"HLMARK01"
_IDENTITY = struct.Struct(">8s32s8s40s")  # magic, store id, clock kind, boot id; a SHA-256 follows
_MOVING_OFFSET = 256
_MOVING = struct.Struct(">QQQ")  # written, durable, poisoned; a CRC-32 follows
_CHECKSUM = struct.Struct(">I")
_FILE_BYTES = _MOVING_OFFSET + _MOVING.size + _CHECKSUM.size
_CLOCK_KINDS: dict[bytes, ClockKind] = {b"wall": "wall", b"driven": "driven"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What the watermark file says."""

    store_id: str
    clock_kind: ClockKind
    boot_id: str
    written_sequence: int = 0
    durable_sequence: int = 0
    is_poisoned: bool = False


class Watermark:
    """The open watermark file of one store."""

    def __init__(self, directory: Path, marks: Marks) -> None:
        """Open the file, creating it if need be, and write `marks`, power-durable."""
        self._directory = directory
        self._store_id = marks.store_id
        self._written = marks.written_sequence
        self._durable = marks.durable_sequence
        self._is_poisoned = marks.is_poisoned
        path = directory / WATERMARK_FILE_NAME
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        os.pwrite(self._descriptor, encode(marks), 0)
        os.fsync(self._descriptor)

    def set_written(self, sequence: int) -> None:
        """Records up to `sequence` have been written. Raises OSError."""
        self._written = sequence
        self._write()

    def set_durable(self, sequence: int) -> None:
        """Records up to `sequence` are power-durable. Raises OSError."""
        self._durable = sequence
        self._write()

    def set_poisoned(self, *, is_poisoned: bool) -> None:
        """The store was poisoned, or that was settled; power-durable. Raises OSError."""
        self._is_poisoned = is_poisoned
        try:
            self._write()
            os.fsync(self._descriptor)
        except OSError as error:
            if is_poisoned:
                for problem in leave_marks(self._directory, self._store_id):
                    error.add_note(f"nor can it be said beside it: {problem}")
            raise
        if not is_poisoned:
            remove_marks(self._directory, self._store_id)

    def close(self) -> None:
        """Close the file; the last marks are written already."""
        os.close(self._descriptor)

    def _write(self) -> None:
        moving = _encode_moving(self._written, self._durable, is_poisoned=self._is_poisoned)
        os.pwrite(self._descriptor, moving, _MOVING_OFFSET)


def encode(marks: Marks) -> bytes:
    """Return the file's bytes for `marks`."""
    identity = _IDENTITY.pack(
        _MAGIC, marks.store_id.encode(), marks.clock_kind.encode(), marks.boot_id.encode()
    )
    identity += hashlib.sha256(identity).digest()
    moving = _encode_moving(
        marks.written_sequence, marks.durable_sequence, is_poisoned=marks.is_poisoned
    )
    return identity.ljust(_MOVING_OFFSET, b"\0") + moving


def decode(data: bytes) -> Marks | None:
    """Return what `data` says, or None unless it is whole."""
    identity, moving = data[: _IDENTITY.size], data[_MOVING_OFFSET : _MOVING_OFFSET + _MOVING.size]
    checksum = data[_IDENTITY.size : _IDENTITY.size + hashlib.sha256().digest_size]
    if len(data) != _FILE_BYTES or hashlib.sha256(identity).digest() != checksum:
        return None
    if _CHECKSUM.pack(zlib.crc32(moving)) != data[_MOVING_OFFSET + _MOVING.size :]:
        return None
    magic, store_id, clock_kind, boot_id = (
        part.rstrip(b"\0") for part in _IDENTITY.unpack(identity)
    )
    known_clock_kind = _CLOCK_KINDS.get(clock_kind)
    if magic != _MAGIC or known_clock_kind is None:
        return None
    written, durable, poisoned = _MOVING.unpack(moving)
    return Marks(
        store_id=store_id.decode(),
        clock_kind=known_clock_kind,
        boot_id=boot_id.decode(),
        written_sequence=written,
        durable_sequence=durable,
        is_poisoned=bool(poisoned),
    )


def read_marks(directory: Path) -> Marks | None:
    """Return what the file in `directory` says, or None where it is missing or not whole.

    A mark of `poison_mark` counts as the file's own word.
    """
    try:
        marks = decode((directory / WATERMARK_FILE_NAME).read_bytes())
    except FileNotFoundError:
        return None
    if marks is not None and is_mark_left(directory, marks.store_id):
        return replace(marks, is_poisoned=True)
    return marks


def acknowledged_by(marks: Marks, boot_id_now: str) -> int:
    """Return the sequence a journal must reach to be whole (rule 2)."""
    if is_same_boot(marks.boot_id, boot_id_now):
        return max(marks.written_sequence, marks.durable_sequence)
    return marks.durable_sequence


def _encode_moving(written: int, durable: int, *, is_poisoned: bool) -> bytes:
    moving = _MOVING.pack(written, durable, is_poisoned)
    return moving + zlib.crc32(moving).to_bytes(_CHECKSUM.size, "big")
