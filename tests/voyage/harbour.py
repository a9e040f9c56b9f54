"""Puts the store's real code on the simulated disk: a VFS for SQLite, and `os` for the rest.

Rules:
1. Reading is real; every write, truncation, deletion and sync passes here first.
2. No sync reaches the machine's own disk. Only directories named here are simulated.
3. One process has one checksum VFS, standing on whichever VFS was there first: voyages are sailed
   in processes of their own (`campaign.py`), never in that of the other tests.
"""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from unittest.mock import patch

import apsw

from sidecar.service import service
from sidecar.store import poison_mark, snapshot, sqlite_database, sqlite_writer, watermark
from tests.voyage.disk import Disk, SimulatedFile
from tests.voyage.loop import OneThread

VFS_NAME: Final = "haltline-voyage"
BASE_VFS: Final = "unix-excl"
REPLAYED_COUNT_FOR_SNAPSHOT: Final = 25
_OWN_NAME_FLAGS: Final = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL

_disks: dict[str, Disk] = {}


def _disk_of(path: str | os.PathLike[str]) -> Disk | None:
    name = os.fspath(path)
    found = _disks.get(os.path.dirname(name))  # noqa: PTH120 - asked at every open, of a text
    return found or _disks.get(name)


def _sqlite_error(number: int) -> apsw.Error:
    return apsw.FullError("simulated") if number == errno.ENOSPC else apsw.IOError("simulated")


class VoyageFile(apsw.VFSFile):
    """One file as SQLite has it open."""

    def __init__(self, name: Any, flags: list[int]) -> None:  # noqa: ANN401 - apsw's own signature
        """Open the real file, and note it where its directory is simulated."""
        super().__init__(BASE_VFS, name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._disk = _disk_of(path) if path else None
        self._owes_name = bool(flags[0] & _OWN_NAME_FLAGS)
        self._file: SimulatedFile | None = None
        if self._disk is not None:
            self._file = self._disk.file_at(Path(path))

    def _begin(self, operation: str, *, extends: bool = False) -> None:
        if self._disk is not None:
            number = self._disk.begin(operation, extends=extends)
            if number:
                raise _sqlite_error(number)

    @property
    def _noted(self) -> SimulatedFile | None:
        return None if self._disk is None or self._disk.is_dead else self._file

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's own name
        """Read, unless the disk refuses."""
        self._begin("read")
        return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: ANN401, N802 - apsw's own signature
        """Write into the page cache."""
        file = self._noted
        extends = file is not None and offset + len(data) > len(file.now)
        self._begin("write", extends=extends)
        file = self._noted
        super().xWrite(data, offset)
        if file is not None:
            file.write(offset, bytes(data))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's own name
        """Cut the file."""
        self._begin("write")
        file = self._noted
        super().xTruncate(newsize)
        if file is not None:
            file.truncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's own name
        """Make the file durable; a log or journal takes its own name along the first time."""
        del flags
        file = self._noted
        try:
            self._begin("sync")
        except apsw.Error:
            if file is not None:
                file.fail_sync()
            raise
        if self._noted is not None and self._disk is not None:
            self._noted.sync()
            if self._owes_name:
                self._owes_name = False
                self._disk.sync_names()


class VoyageVfs(apsw.VFS):
    """The file system under SQLite; its chance is the voyage's."""

    def __init__(self) -> None:
        """Stand on the VFS that serves."""
        super().__init__(VFS_NAME, BASE_VFS)
        self.seed = 0

    def xOpen(self, name: Any, flags: list[int]) -> VoyageFile:  # noqa: ANN401, N802 - apsw's own
        """Open a file."""
        return VoyageFile(name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - apsw's own
        """Remove a name."""
        disk = _disk_of(filename)
        number = disk.begin("write") if disk is not None else 0
        if number:
            raise _sqlite_error(number)
        super().xDelete(filename, False)  # noqa: FBT003 - apsw takes it by position
        if syncdir and disk is not None:
            disk.sync_names()

    def xRandomness(self, numbytes: int) -> bytes:  # noqa: N802 - SQLite's own name
        """Give SQLite the same chance in every run of one seed."""
        return self.seed.to_bytes(8, "big").ljust(numbytes, b"\1")[:numbytes]


class VoyageOs:
    """The module `os` as the store's files see it."""

    def __init__(self) -> None:
        """Nothing is open."""
        self._open: dict[int, tuple[Disk, SimulatedFile | None]] = {}
        self._offsets: dict[int, int] = {}

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever `os` has
        """Be `os` in everything else."""
        return getattr(os, name)

    def open(self, path: Any, flags: int, mode: int = 0o777) -> int:  # noqa: ANN401 - as os.open
        """Open for real, and note it where the directory is simulated."""
        disk = _disk_of(path)
        if disk is not None and flags & os.O_CREAT:
            _raise_for(disk.begin("write"), path)
        descriptor = os.open(path, flags, mode)
        if disk is not None:
            is_file = not flags & os.O_DIRECTORY
            self._open[descriptor] = (disk, disk.file_at(Path(path)) if is_file else None)
            self._offsets[descriptor] = 0
        return descriptor

    def close(self, descriptor: int) -> None:
        """Close for real."""
        self._open.pop(descriptor, None)
        os.close(descriptor)

    def write(self, descriptor: int, data: Any) -> int:  # noqa: ANN401 - as os.write
        """Write behind what was written."""
        offset = self._offsets.get(descriptor, 0)
        written = self.pwrite(descriptor, data, offset)
        self._offsets[descriptor] = offset + written
        return written

    def pwrite(self, descriptor: int, data: Any, offset: int) -> int:  # noqa: ANN401 - as os.pwrite
        """Write into the page cache."""
        disk, file = self._open.get(descriptor, (None, None))
        if disk is not None and file is not None:
            extends = offset + len(data) > len(file.now)
            _raise_for(disk.begin("write", extends=extends), "pwrite")
        written = os.pwrite(descriptor, data, offset)
        if disk is not None and file is not None and not disk.is_dead:
            file.write(offset, bytes(data[:written]))
        return written

    def fsync(self, descriptor: int) -> None:
        """Make the file, or the directory's names, durable."""
        disk, file = self._open.get(descriptor, (None, None))
        if disk is None:
            os.fsync(descriptor)
            return
        number = disk.begin("sync")
        if disk.is_dead:
            return
        if number:
            if file is not None:
                file.fail_sync()
            _raise_for(number, "fsync")
        if file is not None:
            file.sync()
        else:
            disk.sync_names()

    fdatasync = fsync


def _raise_for(number: int, what: object) -> None:
    if number:
        raise OSError(number, os.strerror(number), str(what))


class Harbour:
    """Where the disks of a process are moored."""

    def __init__(self, vfs: VoyageVfs) -> None:
        """Use `open_harbour`."""
        self._vfs = vfs

    def begin_history(self, seed: int) -> None:
        """Let SQLite's own chance begin anew."""
        self._vfs.seed = seed
        apsw.randomness(0)

    @contextmanager
    def moored(self, disk: Disk, memory: Path) -> Iterator[None]:
        """Simulate `disk`'s directory; `memory` stands for the machine's own."""
        _disks[str(disk.directory)] = disk
        try:
            with patch.object(poison_mark, "MEMORY_DIRECTORY", memory):
                yield
        finally:
            del _disks[str(disk.directory)]


@functools.cache
def _vfs() -> VoyageVfs:
    """Return the VFS of this process, made before SQLite's checksums stand on another one."""
    if sqlite_database._CHECKSUM_VFS in apsw.vfs_names():  # noqa: SLF001 - the seam of this test
        raise RuntimeError("voyages need a process of their own: use tests.voyage.campaign")
    return VoyageVfs()


@contextmanager
def open_harbour() -> Iterator[Harbour]:
    """Put the store of this process on simulated disks."""
    vfs = _vfs()
    default_vfs = apsw.vfs_names()[0]
    store_os = VoyageOs()
    modules: tuple[ModuleType, ...] = (poison_mark, snapshot, sqlite_writer, watermark)
    with ExitStack() as stack:
        stack.enter_context(patch.object(sqlite_database, "_ONE_PROCESS_VFS", VFS_NAME))
        stack.enter_context(patch.object(sqlite_writer, "ThreadPoolExecutor", OneThread))
        stack.enter_context(
            patch.object(service, "REPLAYED_COUNT_FOR_SNAPSHOT", REPLAYED_COUNT_FOR_SNAPSHOT)
        )
        for module in modules:
            stack.enter_context(patch.object(module, "os", store_os))
        apsw.set_default_vfs(VFS_NAME)
        try:
            yield Harbour(vfs)
        finally:
            apsw.set_default_vfs(default_vfs)
