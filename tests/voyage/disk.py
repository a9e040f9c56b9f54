"""A disk that remembers what it was told to keep: what a loss of power may leave of a directory.

Rules:
1. The files are real, in a directory of one life; beside each stands what of it is durable, and
   per sector every version written since. A kill leaves the files, a power cut draws from both.
2. A successful sync makes the dirty pages durable. A failed one marks them clean all the same: no
   later sync brings them back, and each may or may not be on the disk (S12.3).
3. Names become durable when the directory is synced; between two such syncs either all or none.
4. From the instant of death on nothing is noted any more, whatever the ghost of the process does.
"""

from __future__ import annotations

import errno
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

SECTOR: Final = 512
PAGE_SECTORS: Final = 8
KILL_FILE: Final = "KILL"
LOCK_FILE: Final = "lock"


class Ending(StrEnum):
    """How a life of the sidecar ends."""

    KILL = "kill -9"
    CUT = "power cut"
    STOP = "clean stop"


class Tearing(StrEnum):
    """Which unsynced sectors a power cut leaves."""

    NONE = "none of them"
    ALL = "all of them"
    EACH = "each by chance"
    TORN = "all but a few"


@dataclass(slots=True)
class SimulatedFile:
    """One file: its bytes now, those that are durable, and what each sector was in between."""

    now: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    versions: dict[int, list[bytes]] = field(default_factory=dict)
    dirty: set[int] = field(default_factory=set)
    sizes: list[int] = field(default_factory=list)

    def write(self, offset: int, data: bytes) -> None:
        """Take bytes into the page cache."""
        end = offset + len(data)
        if end > len(self.now):
            self.now.extend(bytes(end - len(self.now)))
            self.sizes.append(end)
        self.now[offset:end] = data
        for sector in range(offset // SECTOR, -(-end // SECTOR)):
            self._touch(sector)

    def truncate(self, size: int) -> None:
        """Cut or extend the file."""
        last = -(-len(self.now) // SECTOR)
        if size <= len(self.now):
            del self.now[size:]
        else:
            self.now.extend(bytes(size - len(self.now)))
        self.sizes.append(size)
        for sector in range(size // SECTOR, last):
            self._touch(sector)

    def _touch(self, sector: int) -> None:
        found = bytes(self.now[sector * SECTOR : (sector + 1) * SECTOR]).ljust(SECTOR, b"\0")
        self.versions.setdefault(sector, []).append(found)
        self.dirty.add(sector)
        first = sector - sector % PAGE_SECTORS
        # A page is written as a whole: what a failed sync left behind in it goes along.
        self.dirty.update(s for s in range(first, first + PAGE_SECTORS) if s in self.versions)

    def sync(self) -> None:
        """Make what is dirty durable, and the size."""
        size = len(self.now)
        if len(self.durable) < size:
            self.durable.extend(bytes(size - len(self.durable)))
        del self.durable[size:]
        for sector in self.dirty:
            start = sector * SECTOR
            found = self.now[start : start + SECTOR]
            self.durable[start : start + len(found)] = found
            del self.versions[sector]
        self.dirty.clear()
        self.sizes.clear()

    def fail_sync(self) -> None:
        """Mark everything clean without having kept it (rule 2)."""
        self.dirty.clear()

    def after_power_cut(self, chance: random.Random, tearing: Tearing) -> bytes:
        """Return what the disk holds when the machine comes back."""
        if tearing is Tearing.NONE or not (self.versions or self.sizes):
            return bytes(self.durable)
        sizes = [len(self.durable), *self.sizes]
        size = sizes[-1] if tearing is not Tearing.EACH else chance.choice(sizes)
        left = bytearray(self.durable[:size].ljust(size, b"\0"))
        for sector, versions in self.versions.items():
            if tearing is Tearing.EACH:
                drawn = chance.randrange(len(versions) + 1)
            else:
                is_lost = tearing is Tearing.TORN and chance.random() < 0.1
                drawn = 0 if is_lost else len(versions)
            start = sector * SECTOR
            if drawn and start < size:
                left[start : start + SECTOR] = versions[drawn - 1]
        return bytes(left[:size])


@dataclass(slots=True)
class Fault:
    """An error the disk answers with at the nth operation of its kind, and from then on where it
    is lasting; a full disk refuses only what grows.
    """

    operation: str
    number: int
    error: int
    is_lasting: bool

    @property
    def words(self) -> str:
        """Return it for the trace."""
        since = " and later" if self.is_lasting else ""
        return f"{errno.errorcode[self.error]} at {self.operation} {self.number}{since}"


@dataclass(slots=True)
class Wreck:
    """What one life leaves to the next: files by name, and the names that are durable."""

    files: dict[str, SimulatedFile] = field(default_factory=dict)
    durable_names: dict[str, SimulatedFile] = field(default_factory=dict)
    has_kill_file: bool = False

    def after_power_cut(self, chance: random.Random) -> Wreck:
        """Return what is left when power comes back: what was durable, and what chance adds."""
        tearing = chance.choice(list(Tearing))
        names = self.durable_names if chance.random() < 0.5 else self.files
        left = {}
        for name, file in sorted(names.items()):
            data = file.after_power_cut(chance, tearing)
            left[name] = SimulatedFile(now=bytearray(data), durable=bytearray(data))
        return Wreck(files=left, durable_names=dict(left), has_kill_file=self.has_kill_file)


class Disk:
    """The disk under one life of the sidecar, in one real directory."""

    def __init__(self, directory: Path, wreck: Wreck) -> None:
        """Lay the files of `wreck` out in `directory`, which is empty."""
        self.directory = directory
        self.is_dead = False
        self.operations: Counter[str] = Counter()
        self.fault: Fault | None = None
        self.faults_count = 0
        self.die_at_operation = 0
        self.on_death: Callable[[], None] = lambda: None
        self._operations_count = 0
        self._files: dict[int, SimulatedFile] = {}
        self._durable_names = dict(wreck.durable_names)
        for name, file in wreck.files.items():
            path = directory / name
            path.write_bytes(file.now)
            path.chmod(0o600)
            self._files[path.stat().st_ino] = file
        if wreck.has_kill_file:
            (directory / KILL_FILE).touch()

    def file_at(self, path: Path) -> SimulatedFile:
        """Return the file at `path`, which exists, noted from now on if it was not."""
        status = path.stat()
        file = self._files.get(status.st_ino)
        if file is None or len(file.now) != status.st_size:
            # A number of a file long gone, given to a new one.
            file = self._files[status.st_ino] = SimulatedFile()
        return file

    def begin(self, operation: str, *, extends: bool = False) -> int:
        """Count an operation before it is done; return the errno it must fail with, or 0."""
        if self.is_dead:
            return 0
        self._operations_count += 1
        self.operations[operation] += 1
        if self._operations_count == self.die_at_operation:
            self.die()
            return 0
        fault = self.fault
        if fault is None or fault.operation != operation:
            return 0
        if fault.error == errno.ENOSPC and not extends:
            return 0
        late = self.operations[operation] - fault.number
        if late < 0 or (late and not fault.is_lasting):
            return 0
        self.faults_count += 1
        return fault.error

    def sync_names(self) -> None:
        """Make the directory's names durable."""
        if not self.is_dead:
            self._durable_names = self._names()

    def die(self) -> None:
        """Stop noting anything: the process or the machine is gone."""
        if not self.is_dead:
            self.is_dead = True
            self._last = Wreck(self._names(), self._durable_names, self.has_kill_file)
            self.on_death()

    @property
    def has_kill_file(self) -> bool:
        """Say whether a person has put a file KILL there."""
        return (self.directory / KILL_FILE).exists()

    @property
    def wreck(self) -> Wreck:
        """Return what stood there at the death."""
        return self._last

    def _names(self) -> dict[str, SimulatedFile]:
        found = {}
        for path in sorted(self.directory.iterdir()):
            if path.name in {KILL_FILE, LOCK_FILE}:
                continue
            file = self.file_at(path)
            if path.read_bytes() != file.now:
                raise AssertionError(f"{path.name}: something wrote past the simulated disk")
            found[path.name] = file
        return found
