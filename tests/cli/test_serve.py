"""`haltline serve`: how it starts, what it survives, how it ends; and `safety` with it down."""

import json
import signal
from pathlib import Path

import pytest

from sidecar.auth import UNCONFIGURED_SENTENCE
from sidecar.cli.feed import Feed
from tests.cli.running import RunningSidecar, haltline, haltline_process, running

WHO = ("--by", "bob", "--reason", "looked at it")


def test_the_line_ready_says_all_a_person_must_know(sidecar: RunningSidecar) -> None:
    """One line: addresses, how the store was found, equity, mode, whether resets are possible."""
    assert sidecar.ready.count("\n") == 1
    for words in (
        f"grpc unix:{sidecar.directory}/run/haltline.sock",
        "http off",
        "new store",
        "equity 100000",
        "trading mode NORMAL",
        "resets need operator proof",
    ):
        assert words in sidecar.ready


def test_the_directory_is_the_owners_alone(sidecar: RunningSidecar) -> None:
    """The data directory is 0700 and its run directory 0750."""
    assert sidecar.directory.stat().st_mode & 0o777 == 0o700
    assert (sidecar.directory / "run").stat().st_mode & 0o777 == 0o750


def test_without_a_secret_the_start_says_that_resets_are_impossible(tmp_path: Path) -> None:
    """The exact sentence stands in the start line, in `safety` and in the refusal (S11)."""
    with running(tmp_path / "d", secret="") as sidecar:
        assert UNCONFIGURED_SENTENCE in sidecar.ready
        assert UNCONFIGURED_SENTENCE in haltline("safety", *sidecar.at).out


@pytest.mark.usefixtures("operator")
def test_a_reset_of_a_sidecar_without_a_secret_is_refused_with_that_sentence(
    tmp_path: Path,
) -> None:
    """Whoever has a secret cannot use it here; what is stopped stays stopped (S11)."""
    with running(tmp_path / "d", secret="") as sidecar:
        haltline("kill", *sidecar.at)
        ran = haltline("reset", "kill", *sidecar.at, *WHO)
        assert ran.code == 1
        assert UNCONFIGURED_SENTENCE in ran.err


def test_a_secret_never_reaches_the_output(sidecar: RunningSidecar) -> None:
    """Neither the start line nor a log line shows it (S11)."""
    haltline("kill", *sidecar.at)
    sidecar.stop()
    assert sidecar.secret not in sidecar.ready + "".join(sidecar.logs)


def test_sigterm_ends_it_cleanly(sidecar: RunningSidecar) -> None:
    """It drains, everything is durable, exit code 0; the next start recovers it clean."""
    assert sidecar.stop() == 0
    assert "everything is durable" in sidecar.logs[-1]
    assert "recovered" in sidecar.start()
    assert "Recovery:" not in haltline("safety", *sidecar.at).out


def test_sigterm_ends_it_with_a_status_stream_open(sidecar: RunningSidecar) -> None:
    """A reader of the stream does not hold the drain up, and hears that it goes away."""
    feed = Feed(f"unix:{sidecar.directory}/run/haltline.sock", 5)
    feed.start()
    try:
        view = feed.view()
        while view.status is None:
            view = feed.wait(view, 5)
        assert sidecar.stop() == 0
        while not view.is_going_away and view.is_connected:
            view = feed.wait(view, 5)
        assert view.is_going_away
    finally:
        feed.stop()


def test_a_kill_survives_kill_9(sidecar: RunningSidecar) -> None:
    """The latch holds over a crash of the process, and only a reset ends it (S12.4)."""
    haltline("kill", *sidecar.at, "--by", "alice")
    sidecar.stop(signal.SIGKILL)
    assert "trading mode HALTED" in sidecar.start()
    ran = haltline("safety", *sidecar.at)
    assert "by alice" in ran.out
    assert "Recovery: RECOVERED" in ran.out


def test_equity_counts_once(sidecar: RunningSidecar) -> None:
    """A store that knows its equity ignores --equity, and the start line says so."""
    sidecar.stop()
    ready = sidecar.start("--equity", "5")
    assert "equity 100000 (--equity ignored: the store knows one)" in ready


def test_equity_may_stand_in_the_file(tmp_path: Path) -> None:
    """`[account] equity` does what --equity does."""
    file = tmp_path / "haltline.toml"
    file.write_text("[account]\nequity = 2500.5\n", encoding="utf-8")
    with running(tmp_path / "d", "--config", str(file)) as sidecar:
        assert "equity 2500.5" in sidecar.ready


def test_a_watch_sees_the_crash_as_lost_and_the_restart_as_live(sidecar: RunningSidecar) -> None:
    """After kill -9 the feed is LOST; it reconnects by itself to the sidecar that came back."""
    feed = Feed(f"unix:{sidecar.directory}/run/haltline.sock", 5)
    feed.start()
    try:
        view = feed.view()
        while view.status is None:
            view = feed.wait(view, 5)
        first = view.status.instance_id
        sidecar.stop(signal.SIGKILL)
        while not view.problem:
            view = feed.wait(view, 5)
        assert view.is_lost(view.heard_at)
        sidecar.start()
        while not view.is_connected:
            view = feed.wait(view, 5)
        assert view.status is not None
        assert view.status.instance_id != first
        assert not view.is_lost(view.heard_at)
    finally:
        feed.stop()


def test_without_equity_the_start_says_so(tmp_path: Path) -> None:
    """What is not known is said, and `safety` names the way out (S1.2)."""
    with running(tmp_path / "d") as sidecar:
        assert "equity UNKNOWN" in sidecar.ready
        ran = haltline("safety", *sidecar.at)
        assert "Way out: haltline account --equity N" in ran.out
        assert "NOT_ARMED" in ran.out


def test_assume_flat_confirms_the_positions(tmp_path: Path) -> None:
    """Whoever says so takes the account as holding nothing (S8.2)."""
    with running(tmp_path / "d", "--assume-flat") as sidecar:
        assert "NOT_CONFIRMED" not in haltline("safety", *sidecar.at).out


def test_a_second_serve_on_the_same_directory_names_the_first(sidecar: RunningSidecar) -> None:
    """Two owners of one directory would double every limit (S12.8)."""
    ran = haltline_process("serve", *sidecar.at, "--no-http")
    assert ran.code == 1
    assert sidecar.process is not None
    assert f"pid {sidecar.process.pid}" in ran.err


def test_existing_refuses_to_make_a_new_store(tmp_path: Path) -> None:
    """A misspelt directory must not become a fresh sidecar without latches."""
    ran = haltline_process("serve", "--data-dir", str(tmp_path / "d"), "--existing", "--no-http")
    assert ran.code == 1
    assert "start without --existing" in ran.err
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--listen", "0.0.0.0:0"), "beyond loopback only with TLS"),
        (("--listen", "nowhere"), "unix:PATH or HOST:PORT"),
        (("--equity", "0"), "--equity: must be a decimal > 0"),
        (("--equity", "1e5"), "--equity: must be a decimal > 0"),
        (("--http", "127.0.0.1:0"), "--http and --no-http: give one"),
        (("--name", "../x"), "--name"),
        (("--config", "/nowhere/haltline.toml"), "check the path given to --config"),
        (("--clock", "sundial"), "wall"),
    ],
)
def test_a_start_that_is_refused_leaves_nothing_behind(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    """Exit code 2, a sentence with the way out, and no directory made."""
    directory = tmp_path / "d"
    at = () if "--name" in arguments else ("--data-dir", str(directory))
    ran = haltline_process("serve", *at, "--no-http", *arguments)
    assert ran.code == 2
    assert words in ran.err
    assert not directory.exists()


def test_a_faulty_file_is_refused_with_every_fault(tmp_path: Path) -> None:
    """The start names all faults, and how to check the file without starting."""
    file = tmp_path / "bad.toml"
    file.write_text("[position_limits]\nmax_positions = 0\nper_symbol_ratio = 3\n", "utf-8")
    ran = haltline_process(
        "serve", "--data-dir", str(tmp_path / "d"), "--no-http", "--config", str(file)
    )
    assert ran.code == 2
    assert "2 faults" in ran.err
    assert "haltline config check" in ran.err
    check = haltline("config", "check", str(file))
    assert check.code == 2
    assert "per_symbol_ratio: must be > 0 and <= 1, was 3 (write 0.03 for 3 %)" in check.out


def test_a_good_file_checks_with_its_hash(tmp_path: Path) -> None:
    """`config check` ends with 0 and prints the hash that decisions will carry."""
    file = tmp_path / "good.toml"
    file.write_text("[position_limits]\nmax_positions = 3\n", "utf-8")
    checked = json.loads(haltline("config", "check", str(file), "--json").out)
    assert checked["faults"] == []
    with running(tmp_path / "d", "--config", str(file)) as sidecar:
        shown = json.loads(haltline("config", "show", *sidecar.at, "--json").out)
        assert shown["config_hash"] == checked["config_hash"]
        assert "max_positions = 3" in shown["toml"]


def test_a_driven_clock_says_so_everywhere(tmp_path: Path) -> None:
    """Start line, `safety` and `watch` say DRIVEN CLOCK; the store is driven for life (S2.5)."""
    with running(tmp_path / "d", "--clock", "driven", "--equity", "1000") as sidecar:
        assert "DRIVEN CLOCK" in sidecar.ready
        assert "DRIVEN CLOCK" in haltline("safety", *sidecar.at).out
        assert "DRIVEN CLOCK" in haltline("watch", "--once", *sidecar.at).out
        sidecar.stop()
        ran = haltline_process("serve", *sidecar.at, "--no-http")
        assert ran.code == 1
        assert "its clock is for life" in ran.err


@pytest.mark.usefixtures("operator")
def test_while_the_kill_file_is_there_no_reset_succeeds(tmp_path: Path) -> None:
    """A file named KILL stops at the start, and the refusal names it (S10.4)."""
    directory = tmp_path / "d"
    directory.mkdir(mode=0o700)
    (directory / "KILL").touch()
    with running(directory) as sidecar:
        assert "trading mode HALTED" in sidecar.ready
        assert "KILL FILE" in haltline("safety", *sidecar.at).out
        ran = haltline("reset", "kill", *sidecar.at, *WHO)
        assert ran.code == 1
        assert f"{directory}/KILL" in ran.err
        (directory / "KILL").unlink()
        assert haltline("reset", "kill", *sidecar.at, *WHO).code == 0


def test_safety_reads_the_directory_of_a_stopped_sidecar_and_says_so(
    sidecar: RunningSidecar,
) -> None:
    """With it down the block is read from disk, nothing is changed, and guards approve nothing."""
    haltline("kill", *sidecar.at, "--by", "alice")
    sidecar.stop(signal.SIGKILL)
    before = {path: path.read_bytes() for path in sidecar.directory.iterdir() if path.is_file()}
    ran = haltline("safety", *sidecar.at)
    assert ran.code == 1
    assert "Kill Switch: ACTIVE (HALT)" in ran.out
    assert "SIDECAR NOT RUNNING" in ran.out
    assert "it did not stop cleanly" in ran.out
    assert "by alice" in ran.out
    after = {path: path.read_bytes() for path in sidecar.directory.iterdir() if path.is_file()}
    assert after == before


def test_safety_of_a_stopped_sidecar_that_was_not_killed_is_unreachable(
    sidecar: RunningSidecar,
) -> None:
    """Only 0 means that trading goes on: a sidecar that is down ends with 3."""
    sidecar.stop()
    ran = haltline("safety", *sidecar.at, "--json")
    assert ran.code == 3
    plain = json.loads(ran.out)
    assert plain["is_sidecar_running"] is False
    assert plain["account"]["equity"] == "100000"


@pytest.mark.parametrize("command", [("safety",), ("kill",), ("orders",), ("watch", "--once")])
def test_where_nobody_answers_the_exit_code_is_3(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Unreachable is its own exit code, with a way out."""
    ran = haltline(*command, "--data-dir", str(tmp_path))
    assert ran.code == 3
    assert "Way out:" in ran.err


def test_a_kill_that_reaches_nobody_names_the_kill_file(tmp_path: Path) -> None:
    """The way out of a kill is another way to stop."""
    ran = haltline("kill", "--data-dir", str(tmp_path))
    assert f"touch {tmp_path}/KILL" in ran.err


def test_the_command_runs_as_a_module(tmp_path: Path) -> None:
    """`python -m sidecar` is the command `haltline`, exit codes included."""
    ran = haltline_process("safety", "--data-dir", str(tmp_path))
    assert ran.code == 3
    assert haltline_process("nonsense").code == 2
    assert haltline_process("--help").code == 0
