"""The KILL file: only what is certainly absent counts as absent (S10.4)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sidecar.service.kill_file import KillFile


def test_no_file_in_a_readable_directory_is_absent(tmp_path: Path) -> None:
    """The one case in which a reset may succeed."""
    look = KillFile(tmp_path).look()
    assert not look.is_present
    assert look.problem == ""
    assert look.sentence == f"{tmp_path / 'KILL'} is absent"


@pytest.mark.parametrize("make", ["touch", "mkdir", "link"])
def test_anything_of_that_name_is_present(tmp_path: Path, make: str) -> None:
    """A file, a directory, a link that leads nowhere: whoever made it meant it."""
    path = tmp_path / "KILL"
    if make == "link":
        path.symlink_to(tmp_path / "nowhere")
    else:
        getattr(path, make)()
    look = KillFile(str(tmp_path)).look()
    assert look.is_present
    assert look.problem == ""
    assert look.sentence == f"{path} is present"


@pytest.mark.parametrize("name", ["kill", "KILL.txt", "KILLED", "sub/KILL"])
def test_another_name_is_another_file(tmp_path: Path, name: str) -> None:
    """Only the exact name in the directory itself counts."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert not KillFile(tmp_path).look().is_present


def test_a_directory_that_is_gone_counts_as_present(tmp_path: Path) -> None:
    """ENOENT of the directory is not ENOENT of the file."""
    look = KillFile(tmp_path / "gone").look()
    assert look.is_present
    assert "cannot be read" in look.problem
    assert "counts as present" in look.sentence


def test_an_unreadable_directory_counts_as_present(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EACCES is no absence. A peer read a kill file there as clear."""

    def refuses(path: object) -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", refuses)
    look = KillFile(tmp_path).look()
    assert look.is_present
    assert "Permission denied" in look.sentence


def test_a_name_that_cannot_be_looked_at_counts_as_present(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the disk about the name itself is no absence either."""

    def fails(path: object) -> os.stat_result:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(os, "lstat", fails)
    assert KillFile(tmp_path).look().is_present


def test_a_file_that_came_between_two_looks_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is asked for once more after the listing that lacked it."""
    monkeypatch.setattr(os, "listdir", lambda _: [])
    (tmp_path / "KILL").touch()
    assert KillFile(tmp_path).look().is_present
