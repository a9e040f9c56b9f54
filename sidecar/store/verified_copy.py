"""Copies a whole directory and proves the copy before anybody relies on it.

Rules:
1. The copy appears under its name only when every file was written, synced and read back alike.
2. Links are copied as links and never followed; sockets and pipes are nobody's memory and left out.
3. Nothing in the source is changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from sidecar.store.directory import DIRECTORY_MODE
from sidecar.store.errors import StoreError
from sidecar.store.snapshot import sync_directory
from sidecar.store.ways_out import way_out_of

_COPYING_SUFFIX = ".copying"


def copy_verified(source: Path, destination: Path) -> None:
    """Make `destination` a copy of `source`, power-durable. Raises StoreError."""
    building = destination.with_name(destination.name + _COPYING_SUFFIX)
    try:
        if destination.exists():
            raise StoreError(f"{destination}: exists already (try again, or move it away)")
        building.mkdir(mode=DIRECTORY_MODE)
        _copy_into(source, building)
        building.rename(destination)
        sync_directory(destination.parent)
    except OSError as error:
        raise StoreError(
            f"copy of {source} to {building}: {error} ({way_out_of(error)}; or choose another "
            "place with --copy-to; nothing was changed, what is half copied may be removed)"
        ) from error


def bytes_of(directory: Path) -> int:
    """Return how much room a copy of `directory` takes, in bytes. Raises OSError."""
    return sum(path.lstat().st_size for path in _entries(directory) if _is_file(path))


def _copy_into(source: Path, destination: Path) -> None:
    directories = [destination]
    for path in _entries(source):
        target = destination / path.relative_to(source)
        if path.is_symlink():
            target.symlink_to(path.readlink())
        elif path.is_dir():
            target.mkdir(mode=DIRECTORY_MODE)
            directories.append(target)
        elif _is_file(path):
            _copy_file(path, target)
    for directory in reversed(directories):
        sync_directory(directory)


def _copy_file(path: Path, target: Path) -> None:
    shutil.copy2(path, target, follow_symlinks=False)
    descriptor = os.open(target, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if _digest(path) != _digest(target):
        raise StoreError(
            f"{target}: is not what was copied from {path} (the disk fails: copy to another one "
            "with --copy-to)"
        )


def _entries(directory: Path) -> Iterator[Path]:
    """Yield everything below `directory`, each directory before what is in it."""
    for path in sorted(directory.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _entries(path)


def _is_file(path: Path) -> bool:
    return stat.S_ISREG(path.lstat().st_mode)


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
