"""Where a sidecar of a given name lives: its directory, its socket, its default ports.

Rules:
- Never the working directory: a sidecar started elsewhere must find the same latches again.
- The directory is the owner's alone (0700), its `run` directory the group's too (0750).
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

DEFAULT_NAME: Final = "default"
DEFAULT_TCP: Final = "127.0.0.1:50051"
DEFAULT_HTTP: Final = "127.0.0.1:8080"
SOCKET_PATH_BYTES_MAX: Final = 107
"""What the kernel takes as the path of a Unix socket, without its final zero."""


def data_directory(name: str, environment: Mapping[str, str]) -> Path:
    """Return `$XDG_STATE_HOME/haltline/NAME`; a relative or absent base is `~/.local/state`."""
    base = environment.get("XDG_STATE_HOME", "")
    if not base.startswith("/"):
        base = os.path.join(environment.get("HOME") or str(Path.home()), ".local", "state")  # noqa: PTH118 - HOME may be relative; Path would not mend that either
    return Path(base).absolute() / "haltline" / name


def socket_path(directory: Path) -> Path:
    """Return the socket of the sidecar that owns `directory`."""
    return directory / "run" / "haltline.sock"


def default_target(name: str, directory: Path) -> str:
    """Return where to call: the socket, or for `default` its port where there is no socket.

    The port serves people who may not read the owner's directory.
    """
    path = socket_path(directory)
    if name == DEFAULT_NAME and not _exists(path):
        return DEFAULT_TCP
    return f"unix:{path}"


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True
