"""Says that a store was poisoned where not even its watermark can say so (S12.3, S12.4).

A disk that refuses a write may well refuse the one that would tell of it. A restart on the same
boot would then read as that of a crashed process, and exits approved from memory would be forgotten
in silence.

Rules:
1. It is left only when the watermark could not be marked, and in every place that takes it: beside
   the watermark, which outlives a reboot, and in the machine's memory, which outlives the disk.
2. A mark in either place is believed; in memory, where anybody may write, only one of our own user.
   What cannot be looked at counts as a mark.
3. It goes when recovery was settled, after the watermark says so.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

POISON_MARK_FILE_NAME: Final = "poisoned"
MEMORY_DIRECTORY = Path("/dev/shm")  # noqa: S108 - a name of our own in it, and its owner is looked at


def leave_marks(directory: Path, store_id: str) -> list[str]:
    """Leave a mark in every place that takes one; return why others did not."""
    problems = []
    for place in _places(directory, store_id):
        try:
            descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            problems.append(f"{place}: {error}")
    return problems


def is_mark_left(directory: Path, store_id: str) -> bool:
    """Say whether an earlier process left a mark anywhere (rule 2)."""
    beside, in_memory = _places(directory, store_id)
    return _owner_of(beside) is not None or _owner_of(in_memory) in {os.geteuid(), _UNKNOWN}


def remove_marks(directory: Path, store_id: str) -> None:
    """Remove our marks. Raises OSError."""
    beside, in_memory = _places(directory, store_id)
    beside.unlink(missing_ok=True)
    if _owner_of(in_memory) == os.geteuid():
        in_memory.unlink(missing_ok=True)


_UNKNOWN: Final = -1


def _places(directory: Path, store_id: str) -> tuple[Path, Path]:
    in_memory = MEMORY_DIRECTORY / f"haltline-{store_id}.{POISON_MARK_FILE_NAME}"
    return directory / POISON_MARK_FILE_NAME, in_memory


def _owner_of(place: Path) -> int | None:
    """Return whose file it is, None where there is none."""
    try:
        return place.lstat().st_uid
    except FileNotFoundError:
        return None
    except OSError:
        return _UNKNOWN
