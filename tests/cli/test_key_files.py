"""A private key that others could have written starts nothing; one they may read is said."""

import os
from pathlib import Path

import pytest

from sidecar.cli.failures import CommandFailed
from sidecar.cli.key_files import judge_key_file
from tests.cli.running import haltline
from tests.server.certificates import write_certificates

NOBODY = 65534


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A key as it should be: its owner's alone."""
    (tmp_path / "keys").mkdir(mode=0o700)
    path = tmp_path / "keys" / "server.key"
    path.touch(mode=0o600)
    return path


def test_a_key_of_the_owners_alone_is_nothing_to_speak_of(key: Path) -> None:
    """0600 in a directory nobody else may write; a missing one is told by who loads it."""
    assert judge_key_file(key) == ""
    assert judge_key_file(key.with_name("none")) == ""


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_others_may_read_is_said(key: Path, mode: int) -> None:
    """A warning with the command; groups are used for that on purpose."""
    key.chmod(mode)
    assert f"chmod 600 {key}" in judge_key_file(key)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o1666])
def test_a_key_others_may_write_is_refused(key: Path, mode: int) -> None:
    """Whoever wrote it holds it: a new key, then chmod."""
    key.chmod(mode)
    with pytest.raises(CommandFailed, match="others may write it") as refused:
        judge_key_file(key)
    assert f"chmod 600 {key}" in refused.value.way_out


def test_a_key_in_a_directory_others_may_write_is_refused(key: Path) -> None:
    """They could have put another file of that name there; in a sticky one only their own."""
    key.parent.chmod(0o777)
    with pytest.raises(CommandFailed, match="others may write it"):
        judge_key_file(key)
    key.parent.chmod(0o1777)
    assert judge_key_file(key) == ""


def test_a_key_of_somebody_else_is_refused(key: Path) -> None:
    """Its owner could have written it. Giving a file away takes root; else it is said."""
    if os.geteuid() != 0:
        pytest.skip("NOT RUN: only root can give a file away")
    os.chown(key, NOBODY, NOBODY)
    with pytest.raises(CommandFailed, match=f"belongs to user {NOBODY}"):
        judge_key_file(key)


def test_serve_refuses_before_anything_is_made(tmp_path: Path) -> None:
    """One sentence, the way out, no store."""
    files = write_certificates(tmp_path)
    files.private_key.chmod(0o622)
    config = tmp_path / "haltline.toml"
    lines = (
        "[server.tls]",
        f'certificate_file = "{files.certificate}"',
        f'key_file = "{files.private_key}"',
    )
    config.write_text("\n".join(lines), encoding="utf-8")
    directory = tmp_path / "d"
    started = haltline("serve", "--no-http", "--data-dir", str(directory), "--config", str(config))
    assert started.code == 1
    assert "others may write it, and could have put the private key there" in started.err
    assert not directory.exists()
