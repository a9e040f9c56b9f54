"""Private keys on the disk: what others could have written is refused, what they may read is said.

Rules:
- A key that somebody else could have put there proves nothing about this sidecar: no start.
- A key that others may read was perhaps read: a warning names the command. Groups are used for
  that on purpose, so it is no refusal.
- A key that is missing or cannot be looked at is told by whoever loads it.
"""

import os
import stat
from pathlib import Path

from sidecar.cli.failures import CommandFailed, Exit


def judge_key_file(path: Path) -> str:
    """Return what is to be said of the key at `path`, empty where nothing is.

    Raises CommandFailed where others could have written it, or its link's target, or its directory.
    """
    try:
        status, directory = path.stat(), path.resolve().parent.stat()
    except OSError:
        return ""
    own = {os.geteuid(), 0}
    for place, found, way_out in (
        (path, status, f"chmod 600 {path}"),
        (path.resolve().parent, directory, f"chmod go-w {path.resolve().parent}"),
    ):
        is_sticky = stat.S_ISDIR(found.st_mode) and bool(found.st_mode & stat.S_ISVTX)
        if found.st_uid not in own:
            raise CommandFailed(
                Exit.DENIED,
                f"{place}: belongs to user {found.st_uid}, who could have written the private key",
                reason="CONFIGURATION",
                way_out=f"make a new key, or chown {os.geteuid()} {place}",
            )
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not is_sticky:
            raise CommandFailed(
                Exit.DENIED,
                f"{place}: others may write it, and could have put the private key there",
                reason="CONFIGURATION",
                way_out=f"make a new key, then {way_out}",
            )
    if status.st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return f"{path}: others may read this private key (chmod 600 {path}, and make a new one)"
    return ""
