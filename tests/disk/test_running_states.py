"""What a sidecar does when its disk goes wrong under it: the real process, the real disk."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from haltline.v1 import kill_switch_pb2, short_status_pb2, status_pb2

from tests.cli.running import SECRET, RunningSidecar, haltline, running
from tests.disk.machine import fill, mount_over, obeying, remount, small_disk
from tests.scenarios.real_sidecar import APPROVED, CALL_SECONDS_MAX, Line, an_order, line_to

DISK_BYTES = 1024 * 1024
WAIT_SECONDS = 20.0
MODE_HALTED = short_status_pb2.TRADING_MODE_HALTED


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator has the secret; the machine's own are nobody's business."""
    monkeypatch.delenv("KILL_SWITCH_RESET_SECRET", raising=False)
    monkeypatch.delenv("HALTLINE_TARGET", raising=False)
    monkeypatch.setenv("KILL_SWITCH_SECRET", SECRET)


@pytest.fixture
def no_reserve(tmp_path: Path) -> Path:
    """A configuration that keeps no room free: a small disk is large enough."""
    file = tmp_path / "haltline.toml"
    file.write_text("[store]\ndisk_free_min_bytes = 0\n", encoding="utf-8")
    return file


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte."""
    with small_disk(tmp_path / "disk", DISK_BYTES) as mounted:
        yield mounted


def until_poisoned(line: Line) -> status_pb2.Status:
    """Return the status once it says so; nobody but the sidecar itself does anything meanwhile."""
    until = time.monotonic() + WAIT_SECONDS
    status = line.status()
    while not status.store.poisoned:
        assert time.monotonic() < until, f"not poisoned in {WAIT_SECONDS} s: {status}"
        time.sleep(0.01)
        status = line.status()
    return status


def kill(line: Line) -> kill_switch_pb2.TriggerKillResponse:
    """Stop everything."""
    request = kill_switch_pb2.TriggerKillRequest(reason="drill", triggered_by="test")
    return line.safety.TriggerKill(request, timeout=CALL_SECONDS_MAX)


def assert_stops_hold(sidecar: RunningSidecar) -> None:
    """A poisoned sidecar still stops, gives nothing back, and ends with a code that is not 0."""
    with line_to(sidecar) as line:
        answer = kill(line)
        assert not answer.durable
        denied = line.check(an_order())
        assert denied.verdict != APPROVED
        assert line.status().trading_mode == MODE_HALTED
    refused = haltline("reset", "kill", *sidecar.at, "--by", "me", "--reason", "x")
    assert refused.code == 1
    assert sidecar.stop() == 1
    assert "takes no writes" in sidecar.logs[-1]
    assert "Traceback" not in sidecar.logs[-1]


def test_a_full_disk_poisons_stops_and_starts_again_when_there_is_room(
    disk: Path, no_reserve: Path
) -> None:
    """ENOSPC on a write: denied from there on, kills hold; with room again RECONCILE (S12.3)."""
    with running(
        disk, "--equity", "100000", "--assume-flat", "--config", str(no_reserve)
    ) as sidecar:
        with line_to(sidecar) as line:
            approved = an_order()
            assert line.check(approved).verdict == APPROVED
            filler = fill(disk)
            while line.check(an_order()).verdict == APPROVED:
                assert line.status().reservations.open_count < 5_000
            status = until_poisoned(line)
            assert "full" in status.store.poisoned_why
        assert_stops_hold(sidecar)
        filler.unlink()
        sidecar.start("--config", str(no_reserve))
        with line_to(sidecar) as line:
            status = line.status()
            assert status.recovery.state == status_pb2.RECOVERY_STATE_RECONCILE
            assert status.recovery.denies_reducing
            assert status.reservations.open_count >= 1
        assert sidecar.stop() == 0


def test_a_disk_without_room_denies_what_raises_and_ends_by_itself(
    disk: Path, tmp_path: Path
) -> None:
    """STORE_LOW comes before the disk is full: shown, denied, gone when there is room (S4.2)."""
    config = tmp_path / "reserve.toml"
    config.write_text("[store]\ndisk_free_min_bytes = 300000\n", encoding="utf-8")
    with (
        running(disk, "--equity", "100000", "--assume-flat", "--config", str(config)) as sidecar,
        line_to(sidecar) as line,
    ):
        assert line.check(an_order()).verdict == APPROVED
        filler = disk / "filler"
        filler.write_bytes(b"x" * 700_000)
        while not line.status().store.low:
            time.sleep(0.01)
        denied = line.check(an_order())
        assert [violation.message for violation in denied.violations] != []
        assert denied.verdict != APPROVED
        filler.unlink()
        while line.status().store.low:
            time.sleep(0.01)
        assert line.check(an_order()).verdict == APPROVED
        assert sidecar.stop() == 0


def test_a_disk_that_is_full_at_the_start_says_what_to_free(disk: Path, no_reserve: Path) -> None:
    """No room for a new store: one sentence with the way out, and nothing half made is a store."""
    sidecar = RunningSidecar(directory=disk / "d")
    filler = fill(disk)
    started = haltline("serve", "--no-http", *sidecar.at, "--config", str(no_reserve))
    assert started.code == 1
    assert "free some disk space" in started.err
    assert "Traceback" not in started.err
    filler.unlink()
    try:
        assert "new store" in sidecar.start("--config", str(no_reserve))
        assert sidecar.stop() == 0
    finally:
        sidecar.close()


def test_a_read_only_disk_starts_nothing_and_can_be_read(disk: Path, no_reserve: Path) -> None:
    """EROFS at a start names the way out; `haltline safety` and `store info` still read (S12)."""
    with running(disk, "--equity", "100000", "--config", str(no_reserve)) as sidecar:
        with line_to(sidecar) as line:
            assert kill(line).durable
        assert sidecar.stop() == 0
        remount(disk, "ro")
        started = haltline("serve", "--no-http", *sidecar.at)
        assert started.code == 1
        assert "read-only" in started.err
        assert "remount" in started.err
        told = haltline("safety", *sidecar.at)
        assert told.code == 1
        assert "Kill Switch: ACTIVE (HALT)" in told.out
        assert haltline("store", "info", *sidecar.at).code == 0
        remount(disk, "rw")
        assert "trading mode HALTED" in sidecar.start("--config", str(no_reserve))
        assert sidecar.stop() == 0


def remove(directory: Path) -> None:
    """Delete the directory, as a hasty hand does."""
    shutil.rmtree(directory)


def move(directory: Path) -> None:
    """Move it away."""
    directory.rename(directory.with_name("elsewhere"))


def replace(directory: Path) -> None:
    """Move it away and put an empty one in its place."""
    move(directory)
    directory.mkdir(mode=0o700)


def delete_lock(directory: Path) -> None:
    """Remove the lock, so that a second owner could lock another file of that name."""
    (directory / "lock").unlink()


def restore_a_copy_over_it(directory: Path) -> None:
    """Put a copy of the journal in the place of the one that is open."""
    copied = directory / "copied"
    shutil.copy2(directory / "journal.db", copied)
    copied.rename(directory / "journal.db")


@pytest.mark.parametrize("happens", [remove, move, replace, delete_lock, restore_a_copy_over_it])
def test_a_data_directory_that_goes_away_is_noticed(
    tmp_path: Path, happens: Callable[[Path], None]
) -> None:
    """Without any order or report coming in: poisoned, and no directory is made anew (S12.3)."""
    directory = tmp_path / "d"
    sidecar = RunningSidecar(directory=directory)
    try:
        sidecar.start("--equity", "100000", "--assume-flat", "--listen", f"unix:{tmp_path}/s")
        line = Line(tmp_path / "s")
        with line.channel:
            happens(directory)
            status = until_poisoned(line)
            assert "while the sidecar ran" in status.store.poisoned_why
            assert line.check(an_order()).verdict != APPROVED
            assert not kill(line).durable
            assert line.status().trading_mode == MODE_HALTED
        assert sidecar.stop() == 1
        assert "Traceback" not in sidecar.logs[-1]
        if happens in {remove, move}:
            assert not directory.exists()
        if happens is replace:
            assert list(directory.iterdir()) == []
    finally:
        sidecar.close()


def test_a_disk_mounted_over_the_directory_is_noticed(disk: Path, no_reserve: Path) -> None:
    """The names lead to another disk now: poisoned, and the KILL file cannot be ruled out there."""
    socket = disk.parent / "s"
    sidecar = RunningSidecar(directory=disk)
    try:
        sidecar.start("--config", str(no_reserve), "--listen", f"unix:{socket}")
        mount_over(disk)
        line = Line(socket)
        with line.channel:
            assert "while the sidecar ran" in until_poisoned(line).store.poisoned_why
        assert list(disk.iterdir()) == []
        assert sidecar.stop() == 1
    finally:
        sidecar.close()


def test_an_unreadable_directory_counts_as_a_kill_file(tmp_path: Path) -> None:
    """EACCES while running: what cannot be ruled out halts, and no reset succeeds (S10.4).

    The process is root's without CAP_DAC_OVERRIDE where the tests run as root.
    """
    directory = tmp_path / "d"
    sidecar = RunningSidecar(directory=directory, wrapper=obeying())
    try:
        sidecar.start("--equity", "100000", "--assume-flat", "--listen", f"unix:{tmp_path}/s")
        line = Line(tmp_path / "s")
        with line.channel:
            assert line.check(an_order()).verdict == APPROVED
            directory.chmod(0o000)
            while line.status().trading_mode != MODE_HALTED:
                time.sleep(0.01)
            reasons = [kill.reason for kill in line.status().kill_switch.activations]
            poisoned = until_poisoned(line).store.poisoned_why
            directory.chmod(0o700)
        assert any("counts as present" in reason for reason in reasons)
        assert "Permission denied" in poisoned
        assert sidecar.stop() == 1
    finally:
        directory.chmod(0o700)
        sidecar.close()


@pytest.mark.parametrize("mode", [0o500, 0o000])
def test_a_directory_that_may_not_be_written_is_refused_at_the_start(
    tmp_path: Path, mode: int
) -> None:
    """One sentence with the way out, exit code 1, and the directory as it was."""
    directory = tmp_path / "d"
    directory.mkdir(mode=0o700)
    directory.chmod(mode)
    for command, code in (("serve", 1), ("safety", 3)):
        done = subprocess.run(
            [*obeying(), *words(command, directory)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code
        assert "Traceback" not in done.stderr
        if command == "serve" or not mode:
            assert "Permission denied" in done.stderr
            assert "(run as the owner" in done.stderr
    directory.chmod(0o700)
    assert list(directory.iterdir()) == []


def test_a_lock_that_may_not_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    """A lock file without its owner's write bit: the way out is named, and nothing is opened."""
    directory = tmp_path / "d"
    directory.mkdir(mode=0o700)
    lock = directory / "lock"
    lock.touch(mode=0o400)
    command = [*obeying(), *words("serve", directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "lock: [Errno 13] Permission denied" in done.stderr
    assert "chmod 600" in done.stderr
    assert list(directory.iterdir()) == [lock]


def words(command: str, directory: Path) -> list[str]:
    """Return the words of a command on a directory."""
    http = ["--no-http"] if command == "serve" else []
    return [sys.executable, "-m", "sidecar", command, *http, "--data-dir", str(directory)]


def test_the_lock_is_free_after_kill_9(tmp_path: Path) -> None:
    """A second sidecar is refused by the holder's name; a dead one holds nothing (S12.8)."""
    with running(tmp_path / "d", "--equity", "100000") as sidecar:
        second = haltline("serve", "--no-http", *sidecar.at, "--listen", f"unix:{tmp_path}/s")
        assert second.code == 1
        assert sidecar.process is not None
        assert f"is held by 'default', pid {sidecar.process.pid} on " in second.err
        assert not (tmp_path / "s").exists()
        sidecar.close()
        assert "recovered" in sidecar.start()
        assert [path.name for path in tmp_path.iterdir()] == ["d"]
        assert sidecar.stop() == 0
