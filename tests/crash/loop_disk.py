"""A disk of its own whose power can be cut: ext4 in a file, through a loop device.

Rules:
- `cut` shuts the file system down without flushing its journal (FS_IOC_SHUTDOWN, NOLOGFLUSH): what
  was not synced is lost when it is unmounted, as it is with the power; nothing can be written then.
- `remount` is the machine coming back: the kernel replays ext4's journal.
- Whatever happens, nothing stays behind: no mount, no loop device, no image.
- It needs root, loop devices and mkfs.ext4; where they are not to be had, the tests say so aloud.
"""

import contextlib
import fcntl
import functools
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

IMAGE_BYTES: Final = 64 * 1024 * 1024
FS_IOC_SHUTDOWN: Final = 0x8004587D
NO_LOG_FLUSH: Final = 2
TOOLS: Final = ("mkfs.ext4", "mount", "umount", "losetup")
_COMMAND_SECONDS_MAX: Final = 60


class LoopDisk:
    """One mounted file system."""

    def __init__(self, image: Path, mount_point: Path) -> None:
        """Use `loop_disk`."""
        self._image = image
        self.mount_point = mount_point

    def cut(self) -> None:
        """Cut the power: from here on nothing reaches the disk."""
        descriptor = os.open(self.mount_point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def remount(self) -> None:
        """Have the power back; nobody may have a file open here."""
        _run("umount", str(self.mount_point))
        self.mount()

    def mount(self) -> None:
        """Mount the image as it stands."""
        _run("mount", "-o", "loop", str(self._image), str(self.mount_point))


@contextlib.contextmanager
def loop_disk(directory: Path) -> Iterator[LoopDisk]:
    """Give a new, empty, mounted disk below `directory`, and take all of it away again."""
    image, mount_point = directory / "disk.img", directory / "disk"
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    mount_point.mkdir()
    disk = LoopDisk(image, mount_point)
    try:
        _run("mkfs.ext4", "-q", str(image))
        disk.mount()
        yield disk
    finally:
        _take_away(image, mount_point)


def _take_away(image: Path, mount_point: Path) -> None:
    """Unmount, detach, remove; a disk that is still in use goes as soon as it is not."""
    if mount_point.is_mount():
        done = subprocess.run(["umount", str(mount_point)], capture_output=True, check=False)  # noqa: S607 - found on the path, as everywhere
        if done.returncode != 0:
            _run("umount", "-l", str(mount_point))
    for device in _run("losetup", "-n", "-O", "NAME", "-j", str(image)).split():
        _run("losetup", "-d", device)
    image.unlink(missing_ok=True)
    mount_point.rmdir()


def _run(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=_COMMAND_SECONDS_MAX
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
    return done.stdout


@functools.cache
def why_no_power_can_be_cut() -> str:
    """Return what is missing to cut power here, empty where a cut was tried and worked."""
    if os.geteuid() != 0:
        return "only root may mount a loop device"
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        return f"{', '.join(absent)} is absent (see ops/ci-packages)"
    try:
        with tempfile.TemporaryDirectory() as directory, loop_disk(Path(directory)) as disk:
            disk.cut()
            disk.remount()
    except (OSError, AssertionError, subprocess.TimeoutExpired) as error:
        return f"a cut was tried and failed: {error}"
    return ""


needs_power_cuts = pytest.mark.skipif(
    bool(why_no_power_can_be_cut()),
    reason=f"NO POWER WAS CUT, nothing is known of it here: {why_no_power_can_be_cut()}",
)
