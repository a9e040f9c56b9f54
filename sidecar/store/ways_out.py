"""What a person can do about what the kernel said, in one table."""

from __future__ import annotations

import errno
from typing import Final

WAY_OUT_UNKNOWN: Final = "check the disk, and the owner and mode of the directory"
_WAY_OUT_OF_ERROR: Final = {
    errno.ENOSPC: "free some disk space, then start again",
    errno.EDQUOT: "free some of the quota, then start again",
    errno.EROFS: "the file system is read-only: remount it for writing, or restore a backup "
    "elsewhere",
    errno.EACCES: "run as the owner of the directory, and let the owner write: chmod 700 the "
    "directory, chmod 600 its files",
    errno.EPERM: "it may not be written even by its owner: lsattr shows an immutable file",
    errno.EIO: "the disk fails: save a copy now, then restore it on a healthy one",
    errno.ENOLCK: "use a local file system: this one has no locks",
    errno.EEXIST: "a file is in its place: move it away, or use another --data-dir",
    errno.ENOTDIR: "a file is in its place: move it away, or use another --data-dir",
    errno.ELOOP: "the store's files are no symbolic links: put the file itself there",
}


def way_out_of(error: OSError) -> str:
    """Return what to do about an error of the kernel's."""
    return _WAY_OUT_OF_ERROR.get(error.errno or 0, WAY_OUT_UNKNOWN)
