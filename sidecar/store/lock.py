"""One owner of a data directory, held by flock for as long as the process lives (S12.8).

Rules:
1. The kernel's lock decides, the file's text only names the holder: a stale text locks nobody out.
2. The lock is taken before anything else in the directory is opened, and let go of last.
3. The file stays when the lock is released: removing it would let two owners lock two files.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sidecar.store.errors import StoreError, StoreHeldError
from sidecar.store.ways_out import way_out_of

LOCK_FILE_NAME = "lock"
HOLDER_BYTES_MAX = 16 * 1024
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a data directory, as they said themselves."""

    name: str
    since: str
    """RFC 3339, UTC."""
    listen: tuple[str, ...] = ()
    pid: int | None = field(default_factory=os.getpid)
    host: str = field(default_factory=socket.gethostname)


class DirectoryLock:
    """The exclusive lock on one data directory."""

    def __init__(self, directory: Path, descriptor: int) -> None:
        """Use `acquire`; `descriptor` is open and locked."""
        self._directory = directory
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, directory: Path, holder: Holder) -> DirectoryLock:
        """Return the lock on `directory`, with `holder` named in it.

        Raises StoreHeldError naming who has it.
        """
        path = directory / LOCK_FILE_NAME
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreError(f"{path}: {error} ({way_out_of(error)})") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(asdict(holder)).encode(), 0)
        except BlockingIOError as error:
            os.close(descriptor)
            raise _held(directory) from error
        except OSError as error:
            os.close(descriptor)
            raise StoreError(f"{path}: {error} ({way_out_of(error)})") from error
        return cls(directory, descriptor)

    def release(self) -> None:
        """Let go of the directory; a second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def raise_if_held(directory: Path) -> None:
    """Raise StoreHeldError if a running process owns `directory`; nothing is written or kept."""
    try:
        descriptor = os.open(directory / LOCK_FILE_NAME, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _held(directory) from error
    finally:
        os.close(descriptor)


def read_holder(directory: Path) -> Holder:
    """Return what the lock file says of its last holder; unknown fields say so."""
    try:
        with (directory / LOCK_FILE_NAME).open("rb") as file:
            fields = json.loads(file.read(HOLDER_BYTES_MAX))
        return Holder(
            name=str(fields["name"]),
            since=str(fields["since"]),
            listen=tuple(str(address) for address in fields["listen"]),
            pid=int(fields["pid"]),
            host=str(fields["host"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Holder(name=UNKNOWN, since=UNKNOWN, pid=None, host=UNKNOWN)


def _held(directory: Path) -> StoreHeldError:
    holder = read_holder(directory)
    return StoreHeldError(
        directory=str(directory),
        pid=holder.pid,
        name=holder.name,
        host=holder.host,
        since=holder.since,
    )
