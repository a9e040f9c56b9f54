"""What the tests of the disk do to the machine they run on: small disks, and a root that obeys.

Rules:
- A disk of a few pages is a tmpfs, mounted by the test and unmounted at its end; that takes root.
  Where it cannot be had the test says so, and in CI that fails.
- Root is asked by no permission. A process of root without CAP_DAC_OVERRIDE is: it owns the files
  and still gets EACCES where their mode says so. `obeying()` starts a process that way.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

_CAPABILITIES: Final = "-dac_override,-dac_read_search"


def obeying() -> tuple[str, ...]:
    """Return the words before a command that make it obey permissions; none where it does."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("NOT RUN: root obeys no permission here, and there is no setpriv to make it")
    return ("setpriv", f"--bounding-set={_CAPABILITIES}", f"--inh-caps={_CAPABILITIES}")


@contextlib.contextmanager
def small_disk(place: Path, size_bytes: int) -> Iterator[Path]:
    """Give a disk of its own at `place`, with room for so much."""
    place.mkdir(mode=0o700)
    options = f"size={size_bytes},mode=700"
    problem = _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place))
    if problem:
        pytest.skip(f"NOT RUN: no small disk can be mounted here: {problem}")
    try:
        yield place
    finally:
        while place.is_mount():  # one that a test mounted over it, and the disk itself
            assert _run("umount", "--lazy", str(place)) == ""


def remount(place: Path, how: str) -> None:
    """Change the disk at `place`: `ro` makes it read-only, `rw` lets it be written."""
    assert _run("mount", "-o", f"remount,{how}", str(place)) == ""


def mount_over(place: Path) -> None:
    """Hide the disk at `place` behind another, empty one."""
    assert _run("mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", str(place)) == ""


def _run(command: str, *arguments: str) -> str:
    """Run a command of the machine's; return what went wrong, empty where nothing did."""
    path = shutil.which(command)
    if path is None:
        return f"there is no command {command}"
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    return (done.stderr.strip() or f"{command} failed") if done.returncode else ""


def fill(directory: Path) -> Path:
    """Fill the disk to its last byte and return the file that did it."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)
    return filler
