"""What a write-ahead log holds, read without SQLite: how many frames its last run wrote.

SQLite cuts a torn tail in silence. Comparing the frames of the current run (they carry the
header's salts) with those SQLite recovers says how many were cut (S12.4).

Rules:
1. Read only while no connection is open and the directory is ours, or while nobody runs.
2. Only the salts are compared; which frames are whole is for SQLite to say.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

WAL_HEADER_BYTES = 32
WAL_FRAME_HEADER_BYTES = 24
_WAL_MAGICS = (0x377F0682, 0x377F0683)
_HEADER = struct.Struct(">IIIIII")
_FRAME_HEADER = struct.Struct(">IIII")


def count_run_frames(path: Path) -> int:
    """Return the frames of the WAL's current run, one begun but not whole included; 0 if absent."""
    return sum(1 for _ in _run(path))


def pages_of_run(path: Path, frames_count: int) -> frozenset[int]:
    """Return the numbers of the pages in the first `frames_count` frames of the current run."""
    return frozenset(islice(_run(path), frames_count))


def _run(path: Path) -> Iterator[int]:
    """Yield the page number of each frame of the current run."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        header = file.read(WAL_HEADER_BYTES)
        if len(header) < WAL_HEADER_BYTES:
            return
        magic, _, page_bytes, _, salt_1, salt_2 = _HEADER.unpack_from(header)
        if magic not in _WAL_MAGICS:
            return
        while True:
            frame_header = file.read(WAL_FRAME_HEADER_BYTES)
            if len(frame_header) < _FRAME_HEADER.size:
                return
            page, _, *salts = _FRAME_HEADER.unpack_from(frame_header)
            if salts != [salt_1, salt_2]:
                return
            yield page
            file.seek(page_bytes, 1)
