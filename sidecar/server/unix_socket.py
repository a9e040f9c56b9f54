"""A Unix socket has one owner: the holder of the flock on PATH.lock.

Rules:
1. Locked before anything is touched; a socket file left by a crash is removed only under the lock.
2. The lock file stays for ever (removing it would let two hold "the" lock); it names its holder.
3. The directory is made 0750, the socket 0660: the group may ask, others may not.

The story: grpc removes any socket file before it binds. Without the lock a second server would
take the path from under the first, which went on deciding for whoever was already connected.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from pathlib import Path
from typing import Final

from sidecar.addresses import AddressError, AddressHeldError

DIRECTORY_MODE: Final = 0o750
SOCKET_MODE: Final = 0o660
_LOCK_MODE: Final = 0o640
_HOLDER_BYTES_MAX: Final = 4_096


class UnixSocketOwner:
    """Owns one socket path until `release`."""

    def __init__(self, path: Path, *, holder: str) -> None:
        """`holder` is how a second server will name us."""
        self._path = path
        self._lock_path = path.with_name(path.name + ".lock")
        self._holder = holder
        self._lock_descriptor: int | None = None

    def acquire(self) -> None:
        """Make the directory, take the lock, remove a stale socket.

        AddressHeldError naming the holder; AddressError where the path is something else.
        """
        try:
            self._make_directory()
            self._lock()
            self._remove_stale()
        except OSError as error:
            self.release()
            raise AddressError(f"unix:{self._path}: {error.strerror or error}") from error
        except AddressError:
            self.release()
            raise

    def restrict(self) -> None:
        """Set the mode of the socket, once it is bound."""
        self._path.chmod(SOCKET_MODE)

    def release(self) -> None:
        """Remove the socket and let go of the lock; a second call does nothing."""
        if self._lock_descriptor is None:
            return
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(self._path.lstat().st_mode):
                self._path.unlink()
        os.close(self._lock_descriptor)
        self._lock_descriptor = None

    def _make_directory(self) -> None:
        directory = self._path.parent
        if directory.is_dir():
            return
        directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        directory.chmod(DIRECTORY_MODE)  # whatever the umask took away

    def _lock(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._lock_path, flags, _LOCK_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _read_holder(descriptor)
            os.close(descriptor)
            raise AddressHeldError(
                f"unix:{self._path} is held by {holder} (stop that one, or listen elsewhere)"
            ) from error
        except OSError:
            os.close(descriptor)
            raise
        self._lock_descriptor = descriptor
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"holder": self._holder, "pid": os.getpid()}).encode(), 0)

    def _remove_stale(self) -> None:
        try:
            mode = self._path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise AddressError(
                f"unix:{self._path}: something that is no socket is there; "
                "remove it yourself, or listen elsewhere"
            )
        self._path.unlink()


def _read_holder(descriptor: int) -> str:
    try:
        found = json.loads(os.pread(descriptor, _HOLDER_BYTES_MAX, 0))
        return f"{found['holder']!r}, pid {found['pid']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
