"""The data directory itself: whose it is, what may lie in it, and whether it is still there.

Rules:
1. What somebody else could have written is refused, by name and with the command that mends it:
   a directory or file others may write, one that is not ours, a link in place of a file.
2. What somebody else may read is said, not refused: the journal holds no secret.
3. The names must go on leading to the files that were opened. Who moved, replaced or deleted them
   while we run has taken our memory away; writing on would please nobody who looks there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sidecar.store.errors import StoreError, StoreMissingError, StoreRepairUnfinishedError
from sidecar.store.lock import LOCK_FILE_NAME
from sidecar.store.snapshot import SNAPSHOT_GLOB
from sidecar.store.sqlite_database import DATABASE_FILE_NAME, WAL_FILE_NAME
from sidecar.store.watermark import WATERMARK_FILE_NAME
from sidecar.store.ways_out import way_out_of

DIRECTORY_MODE: Final = 0o700
FILE_NAMES: Final = (LOCK_FILE_NAME, DATABASE_FILE_NAME, WAL_FILE_NAME, WATERMARK_FILE_NAME)
REPAIRED_NAME: Final = "repaired"
"""What a repair made and has not carried out yet; while it is there nobody starts."""
_WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


def prepare_directory(directory: Path, *, must_exist: bool) -> list[str]:
    """Make `directory` for its owner alone, and judge what is in it; return what deserves a note.

    Raises StoreMissingError, StoreError.
    """
    if not must_exist:
        try:
            directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{directory}: {error.strerror} ({way_out_of(error)})") from error
    try:
        status = directory.stat()
    except OSError as error:
        raise StoreMissingError(
            f"{directory}: {error.strerror} (is it mounted? for a new one start without --existing)"
        ) from error
    if not stat.S_ISDIR(status.st_mode):
        raise StoreError(f"{directory}: is no directory (use another --data-dir)")
    if status.st_uid not in {os.geteuid(), 0}:
        raise StoreError(f"{directory}: belongs to user {status.st_uid} (use a directory of yours)")
    if status.st_mode & _WRITABLE_BY_OTHERS:
        raise StoreError(f"{directory}: others may write in it (chmod 700 {directory})")
    for path, found in _files(directory):
        _refuse_unless_ours(path, found)
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return [f"{directory} may be read by others (chmod 700 {directory})"]
    return []


def refuse_unfinished_repair(directory: Path) -> None:
    """Raise StoreRepairUnfinishedError where a repair was cut off behind its point of no return."""
    if (directory / REPAIRED_NAME).exists():
        raise StoreRepairUnfinishedError(
            f"{directory}: a repair was cut off (run `haltline store repair` again: it finishes)"
        )


def refuse_strange_files(directory: Path) -> None:
    """Raise StoreError where a link, a pipe or the like is in place of one of the store's files."""
    for _ in _files(directory):
        pass


def _files(directory: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the store's files that are there, each an ordinary one. Raises StoreError."""
    paths = [directory / name for name in FILE_NAMES]
    for path in [*paths, *directory.glob(SNAPSHOT_GLOB)]:
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror} ({way_out_of(error)})") from error
        if stat.S_ISLNK(status.st_mode):
            raise StoreError(
                f"{path}: is a symbolic link to {path.readlink()} (the store's files lie in its "
                "own directory: put the file itself there, or move the whole directory)"
            )
        if not stat.S_ISREG(status.st_mode):
            raise StoreError(f"{path}: is no ordinary file (move it away; restore the file)")
        yield path, status


def _refuse_unless_ours(path: Path, status: os.stat_result) -> None:
    if status.st_uid not in {os.geteuid(), 0}:
        raise StoreError(
            f"{path}: belongs to user {status.st_uid}, who could have written it "
            f"(look at it, then chown {os.geteuid()} {path})"
        )
    if status.st_mode & _WRITABLE_BY_OTHERS:
        raise StoreError(f"{path}: others may write it (look at it, then chmod 600 {path})")


class Place:
    """Which files the names of a directory led to when they were opened."""

    def __init__(self, directory: Path) -> None:
        """Remember them as they are now. Raises OSError."""
        self._paths = [directory / name for name in FILE_NAMES]
        self._identities = [_identity_of(path) for path in self._paths]

    def problem(self) -> str:
        """Say what is not where it was, empty while all is; a few microseconds, any thread."""
        for path, identity in zip(self._paths, self._identities, strict=True):
            try:
                found = _identity_of(path)
            except (FileNotFoundError, NotADirectoryError):
                return f"{path} was deleted while the sidecar ran, or moved"
            except OSError as error:
                return f"{path} cannot be looked at any more ({error.strerror})"
            if found != identity:
                return f"{path} was deleted while the sidecar ran, and is another file now"
        return ""


def _identity_of(path: Path) -> tuple[int, int]:
    status = os.stat(path, follow_symlinks=False)  # noqa: PTH116 - as quick as can be: at every sync
    return status.st_dev, status.st_ino
