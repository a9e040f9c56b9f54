"""A real sidecar whose file is changed under it: SIGHUP, `config reload`, `config show` (S1.1)."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from haltline.v1 import status_pb2

from sidecar.core.events import ConfigurationApplied
from sidecar.service.records import Record, decode_record
from sidecar.store.read_only import open_read_only
from tests.cli.running import SECRET, RunningSidecar, haltline, running
from tests.scenarios.real_sidecar import line_to

WHO = ("--by", "bob", "--reason", "the week is quiet")
WAIT_SECONDS_MAX = 20.0
BEFORE = "[position_limits]\nper_symbol_ratio = 0.2\n"
TIGHTER = "[position_limits]\nper_symbol_ratio = 0.005\n"
LOOSER = "[position_limits]\nper_symbol_ratio = 0.3\nmax_positions = 3\n"
FAULTY = "[position_limits]\nper_symbol_ratio = 3\nmax_position = 1\n"
BUY = ("--strategy", "m", "--symbol", "A", "--side", "buy", "--quantity", "10", "--price", "100")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file the sidecar is started with."""
    path = tmp_path / "haltline.toml"
    path.write_text(BEFORE, "utf-8")
    return path


@pytest.fixture
def configured(tmp_path: Path, file: Path) -> Iterator[RunningSidecar]:
    """A sidecar started with the file."""
    with running(tmp_path / "d", "--equity", "100000", "--config", str(file)) as sidecar:
        yield sidecar


def shown(sidecar: RunningSidecar) -> dict[str, Any]:
    """Return what `config show` prints."""
    answer: dict[str, Any] = json.loads(haltline("config", "show", *sidecar.at, "--json").out)
    return answer


def checked(file: Path) -> str:
    """Return the hash of what the file says now."""
    digest: str = json.loads(haltline("config", "check", str(file), "--json").out)["config_hash"]
    return digest


def hang_up(sidecar: RunningSidecar) -> None:
    """Send SIGHUP."""
    assert sidecar.process is not None
    os.kill(sidecar.process.pid, signal.SIGHUP)


def wait_until(condition: Callable[[], object]) -> None:
    """Return once the condition holds; fail after a while."""
    until = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        assert time.monotonic() < until, "it did not come in time"
        time.sleep(0.02)


def journal(sidecar: RunningSidecar) -> list[Record]:
    """Return the records of a sidecar that is down."""
    with open_read_only(sidecar.directory) as store:
        return [decode_record(payload) for _, payload in store.read(1)]


def applied(records: list[Record]) -> list[ConfigurationApplied]:
    """Return what came into force, in order."""
    events = [event for record in records for event in record.events]
    return [event for event in events if isinstance(event, ConfigurationApplied)]


def test_a_signal_has_a_tighter_file_read(configured: RunningSidecar, file: Path) -> None:
    """SIGHUP ends nothing: the next order meets the new limit, and `config show` its hash."""
    assert haltline("check", *configured.at, *BUY, "--dry-run").code == 0
    file.write_text(TIGHTER, "utf-8")
    hang_up(configured)
    wait_until(lambda: shown(configured)["config_hash"] == checked(file))
    assert "per_symbol_ratio = 0.005" in shown(configured)["toml"]
    assert haltline("check", *configured.at, *BUY, "--dry-run").code == 1
    assert configured.stop() == 0
    assert applied(journal(configured))[-1].applied_by == "SIGHUP"


@pytest.mark.usefixtures("operator")
def test_a_signal_loosens_nothing_and_takes_no_faulty_file(
    configured: RunningSidecar, file: Path
) -> None:
    """Both are in the log with every key, and what was in force goes on (S1.1)."""
    before = checked(file)
    for text in (LOOSER, FAULTY):
        seen = revision(configured)
        file.write_text(text, "utf-8")
        hang_up(configured)
        # What health says of the file is a change like any other.
        wait_until(partial(is_newer, configured, seen))
        assert shown(configured)["config_hash"] == before
    assert configured.stop() == 0
    assert configured.logs[-1].count("SIGHUP changed nothing") == 2
    for key in ("position_limits.per_symbol_ratio", "position_limits.max_position:"):
        assert key in configured.logs[-1]
    assert len(applied(journal(configured))) == 1


def is_newer(sidecar: RunningSidecar, seen: int) -> bool:
    """Say whether anything changed since."""
    return revision(sidecar) > seen


def revision(sidecar: RunningSidecar) -> int:
    """Return how often anything changed that a status shows."""
    with line_to(sidecar) as line:
        frames = line.safety.StreamStatus(status_pb2.StreamStatusRequest(), timeout=20)
        first = next(frames)
        frames.cancel()
    return first.revision


def test_a_faulty_file_is_told_in_answer_and_log(configured: RunningSidecar, file: Path) -> None:
    """Exit code 1, every fault by name, the way out; what was in force stays."""
    before = checked(file)
    file.write_text(FAULTY, "utf-8")
    ran = haltline("config", "reload", *configured.at, *WHO)
    assert ran.code == 1
    faulty = ("position_limits.per_symbol_ratio", "position_limits.max_position")
    assert all(key in ran.err for key in faulty)
    assert "haltline config check FILE" in ran.err
    assert shown(configured)["config_hash"] == before
    assert shown(configured)["file"]["error"]["reason"] == "CONFIGURATION_FAULTY"
    assert "its file was not compared" in haltline("config", "show", *configured.at).out
    assert configured.stop() == 0
    assert all(key in configured.logs[-1] for key in faulty)


def test_a_faulty_file_shows_in_safety_until_it_is_mended(
    configured: RunningSidecar, file: Path
) -> None:
    """What /readyz tells of the file, `safety` tells after the block; nothing is stopped by it."""
    file.write_text(FAULTY, "utf-8")
    hang_up(configured)
    wait_until(lambda: "NOT WELL: configuration: " in haltline("safety", *configured.at).out)
    ran = haltline("safety", *configured.at)
    block, _, rest = ran.out.partition("Max positions: 10\n")
    assert ran.code == 0
    assert "NOT WELL" not in block
    assert "position_limits.per_symbol_ratio" in rest
    file.write_text(BEFORE, "utf-8")
    hang_up(configured)
    wait_until(lambda: "NOT WELL" not in haltline("safety", *configured.at).out)


def test_a_looser_file_needs_the_secret(
    configured: RunningSidecar, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it the refusal names the keys; with it, it is in force and journalled (S1.1, S13)."""
    file.write_text(LOOSER, "utf-8")
    before = shown(configured)
    assert before["file"]["needs_proof"]
    assert "its file differs in 2 keys" in haltline("config", "show", *configured.at).out
    ran = haltline("config", "reload", *configured.at, *WHO)
    assert ran.code == 1
    assert "position_limits.per_symbol_ratio" in ran.err
    assert "KILL_SWITCH_SECRET" in ran.err
    assert shown(configured)["config_hash"] == before["config_hash"]
    monkeypatch.setenv("KILL_SWITCH_SECRET", SECRET)
    dry = haltline("config", "reload", "--dry-run", *configured.at)
    assert (dry.code, "Needs operator proof" in dry.out) == (0, True)
    ran = haltline("config", "reload", *configured.at, *WHO, "--expect", "another")
    assert (ran.code, "not the one that was looked at" in ran.err) == (1, True)
    ran = haltline("config", "reload", *configured.at, *WHO, "--expect", checked(file))
    assert ran.code == 0
    assert "LOOSENS: position_limits.per_symbol_ratio: 0.2 -> 0.3" in ran.out
    assert "TIGHTENS: position_limits.max_positions: 10 -> 3" in ran.out
    assert "Trading mode now: NORMAL" in ran.out
    assert shown(configured)["config_hash"] == checked(file)
    assert "its file says the same" in haltline("config", "show", *configured.at).out
    again = haltline("config", "reload", *configured.at, *WHO)
    assert (again.code, "in force already" in again.out) == (0, True)
    assert configured.stop() == 0
    event = applied(journal(configured))[-1]
    assert (event.applied_by, event.reason) == ("bob", "the week is quiet")
    assert (event.previous_hash, event.config_hash) == (before["config_hash"], checked(file))


def test_a_reload_says_who_and_why(sidecar: RunningSidecar) -> None:
    """Exit code 2 before anything is sent, but for a dry run."""
    assert haltline("config", "reload", *sidecar.at).code == 2
    ran = haltline("config", "reload", *sidecar.at, "--dry-run")
    assert ran.code == 1
    assert "restart the sidecar with --config FILE" in ran.err


def test_what_needs_a_restart_is_refused_by_name(configured: RunningSidecar, file: Path) -> None:
    """And nothing of the file comes into force."""
    before = checked(file)
    file.write_text(f'{TIGHTER}[server]\nloopback_role = "observer"\n', "utf-8")
    ran = haltline("config", "reload", *configured.at, *WHO)
    assert ran.code == 1
    assert "server.loopback_role" in ran.err
    assert "restart" in ran.err
    assert "Needs a restart" in haltline("config", "reload", "--dry-run", *configured.at).out
    assert shown(configured)["config_hash"] == before


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize("text", [TIGHTER, LOOSER])
def test_a_reload_that_was_answered_survives_kill_9(
    configured: RunningSidecar, file: Path, text: str
) -> None:
    """It stays in the journal; the next start shows its own file's hash, and both are recorded."""
    start = checked(file)
    file.write_text(text, "utf-8")
    assert haltline("config", "reload", *configured.at, *WHO).code == 0
    configured.stop(signal.SIGKILL)
    reloaded = checked(file)
    assert applied(journal(configured))[-1].config_hash == reloaded
    file.write_text(BEFORE.replace("0.2", "0.25"), "utf-8")
    configured.start("--config", str(file))
    assert shown(configured)["config_hash"] == checked(file)
    assert configured.stop() == 0
    hashes = [event.config_hash for event in applied(journal(configured))]
    assert hashes == [start, reloaded, checked(file)]


def test_signals_in_any_number_end_nothing(tmp_path: Path, file: Path) -> None:
    """Those that come while one is served are served as one, and the sidecar stops cleanly."""
    with running(tmp_path / "d", "--config", str(file)) as sidecar:
        for number in range(50):
            file.write_text(BEFORE.replace("0.2", f"0.{199 - number}"), "utf-8")
            hang_up(sidecar)
        wait_until(lambda: shown(sidecar)["config_hash"] == checked(file))
        assert sidecar.stop() == 0
        assert len(applied(journal(sidecar))) <= 51
