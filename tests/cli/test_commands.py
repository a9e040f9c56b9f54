"""The commands against a running sidecar: what they print, and how they end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar import __version__
from tests.cli.running import ROOT, RunningSidecar, haltline, running

BUY = ("--strategy", "momentum", "--symbol", "AAPL", "--side", "buy", "--price", "100")
WHO = ("--by", "bob", "--reason", "looked at it")
BLOCK = """\
Safety System Status
============================================================

Kill Switch: INACTIVE

Circuit Breaker: CLOSED (trading ENABLED)
  Consecutive losses: 0
  API errors (last minute): 0
  Order failures: 0
  Failed trades (last hour): 0

Position Limits:
  Per-symbol: 30.0% max
  Per-strategy: 60.0% max
  Portfolio-wide: 90.0% max
  Max positions: 10
"""


def test_safety_prints_exactly_the_block_of_the_contract(sidecar: RunningSidecar) -> None:
    """A new sidecar prints the original system's block to the letter, and ends with 0."""
    ran = haltline("safety", *sidecar.at)
    assert ran.out.startswith(BLOCK + "\n")
    assert ran.code == 0


def test_a_kill_needs_no_secret_and_safety_then_ends_with_1(sidecar: RunningSidecar) -> None:
    """Stopping is easy (S1.1); while stopped, `safety` ends with 1 and names who, why, way out."""
    killed = haltline("kill", *sidecar.at, "--by", "alice", "--reason", "fat finger")
    assert killed.code == 0
    assert killed.out.startswith("STOPPED: HALT for everything")
    ran = haltline("safety", *sidecar.at)
    assert ran.code == 1
    assert "Kill Switch: ACTIVE (HALT)" in ran.out
    assert "by alice" in ran.out
    assert "Why: fat finger" in ran.out
    assert "Way out: haltline reset kill --by YOU --reason WHY" in ran.out


@pytest.mark.parametrize(
    ("arguments", "stopped"),
    [
        ((), "HALT for everything"),
        (("--mode", "reduce-only"), "REDUCE_ONLY for everything"),
        (("--mode", "hallt"), "HALT for everything"),
        (("--action", "flatten"), "REDUCE_ONLY for everything"),
        (("--mode", "x", "--action", "flatten"), "HALT for everything"),
        (("--strategy", "momentum"), "HALT for strategy momentum"),
        (("--symbol", "AAPL"), "HALT for symbol AAPL"),
        (("--symbol", "AAPL", "--strategy", "momentum"), "HALT for everything"),
        (("--symbol", "not a name"), "HALT for everything"),
    ],
)
@pytest.mark.usefixtures("operator")
def test_no_argument_makes_a_kill_fail(
    module_sidecar: RunningSidecar, arguments: tuple[str, ...], stopped: str
) -> None:
    """What is missing or misspelt stops more, never less (S10.1)."""
    ran = haltline("kill", *module_sidecar.at, *arguments)
    assert ran.code == 0
    assert stopped in ran.out.splitlines()[0]
    again = haltline("reset", "kill", *module_sidecar.at, *WHO)
    assert again.code == 0, again.err


def test_a_kill_of_an_unknown_name_is_armed_and_said(sidecar: RunningSidecar) -> None:
    """A never-seen strategy is armed all the same, and pointed out (S10.1)."""
    ran = haltline("kill", *sidecar.at, "--strategy", "momentm")
    assert ran.code == 0
    assert "UNKNOWN NAME" in ran.out
    safety = haltline("safety", *sidecar.at)
    assert "Kill Switch: ACTIVE (HALT, only strategy momentm)" in safety.out
    assert "--strategy momentm --by YOU" in safety.out


@pytest.mark.usefixtures("operator")
def test_a_reset_with_proof_starts_again(sidecar: RunningSidecar) -> None:
    """The holder of the secret ends the kill, and trading is NORMAL again (S10.3)."""
    haltline("kill", *sidecar.at)
    ran = haltline("reset", "kill", *sidecar.at, *WHO)
    assert ran.code == 0, ran.err
    assert "Kill switch reset" in ran.out
    assert "Trading mode now: NORMAL" in ran.out
    assert haltline("safety", *sidecar.at).code == 0


def test_a_reset_without_a_secret_is_refused_before_it_is_sent(sidecar: RunningSidecar) -> None:
    """The way out names the variable; the kill stays (S11)."""
    haltline("kill", *sidecar.at)
    ran = haltline("reset", "kill", *sidecar.at, *WHO)
    assert ran.code == 2
    assert "Way out: set KILL_SWITCH_RESET_SECRET (or KILL_SWITCH_SECRET)" in ran.err
    assert haltline("safety", *sidecar.at).code == 1


def test_a_reset_with_another_secret_is_refused(
    sidecar: RunningSidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong proof is refused by name and shows nothing of the secret (S11)."""
    monkeypatch.setenv("KILL_SWITCH_SECRET", "somebody else's secret")
    haltline("kill", *sidecar.at)
    ran = haltline("reset", "kill", *sidecar.at, *WHO)
    assert ran.code == 1
    assert "[OPERATOR_PROOF_WRONG]" in ran.err
    assert "somebody else" not in ran.err + ran.out
    assert haltline("safety", *sidecar.at).code == 1


@pytest.mark.usefixtures("operator")
def test_a_reset_with_a_stale_epoch_names_the_epoch_in_force(sidecar: RunningSidecar) -> None:
    """An older decision does not undo a newer kill (S10.3)."""
    haltline("kill", *sidecar.at)
    ran = haltline("reset", "kill", *sidecar.at, *WHO, "--expected-epoch", "9")
    assert ran.code == 1
    assert "[STALE_EPOCH]" in ran.err
    assert "Way out:" in ran.err


@pytest.mark.usefixtures("operator")
def test_ease_lets_positions_be_left(sidecar: RunningSidecar) -> None:
    """HALT becomes REDUCE_ONLY; what else stops trading is pointed at (S10.3)."""
    haltline("kill", *sidecar.at)
    ran = haltline("ease", *sidecar.at, *WHO)
    assert ran.code == 0, ran.err
    assert "Trading mode now: REDUCE_ONLY" in ran.out
    assert "Something still stops trading" in ran.out


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("kill", "No kill was in force"),
        ("breaker", "It was CLOSED already"),
        ("all", "Nothing was stopped"),
        ("recovery", "Nothing waited to be accepted"),
        ("clock", "No clock jump waited"),
    ],
)
def test_a_reset_of_what_is_not_stopped_says_so(
    module_sidecar: RunningSidecar, what: str, sentence: str
) -> None:
    """There was nothing to do: exit code 0, nothing changed."""
    ran = haltline("reset", what, *module_sidecar.at, *WHO)
    assert ran.code == 0, ran.err
    assert ran.out.startswith(sentence)


@pytest.mark.usefixtures("operator")
def test_a_breaker_opened_by_a_drawdown_names_the_flag_that_closes_it(
    sidecar: RunningSidecar,
) -> None:
    """A standing drawdown refuses the reset, and names the flag with which it succeeds (S9)."""
    haltline("account", *sidecar.at, "--equity", "94000")
    safety = haltline("safety", *sidecar.at)
    assert "Circuit Breaker: OPEN (trading PAUSED)" in safety.out
    assert "Tripped: DAILY_DRAWDOWN" in safety.out
    assert "haltline reset breaker --rebase daily --by YOU" in safety.out
    refused = haltline("reset", "breaker", *sidecar.at, *WHO)
    assert refused.code == 1
    assert "[DRAWDOWN_STANDS]" in refused.err
    assert "--rebase" in refused.err
    ran = haltline("reset", "breaker", *sidecar.at, *WHO, "--rebase", "daily")
    assert ran.code == 0, ran.err
    assert "DAILY drawdown is measured from 0.94, was 1" in ran.out
    assert haltline("safety", *sidecar.at).code == 0


def test_rebase_takes_only_the_three_drawdowns(module_sidecar: RunningSidecar) -> None:
    """A misspelt drawdown is a usage error that names the three."""
    ran = haltline("reset", "breaker", *module_sidecar.at, *WHO, "--rebase", "daily,yearly")
    assert ran.code == 2
    assert "daily, weekly, total" in ran.err


def test_check_says_approved_and_reserves(sidecar: RunningSidecar) -> None:
    """An approved order ends with 0, holds a reservation, and the way to give it back is said."""
    ran = haltline("check", *sidecar.at, *BUY, "--quantity", "100", "--order-id", "a-1")
    assert ran.code == 0
    assert ran.out.startswith("APPROVED a-1 until ")
    assert "haltline release a-1" in ran.out
    listed = haltline("orders", *sidecar.at)
    assert "a-1" in listed.out
    assert "never reported" in listed.out


def test_check_says_denied_with_every_violation(sidecar: RunningSidecar) -> None:
    """A denied order ends with 1 and shows each rule's numbers and the approvable quantity."""
    ran = haltline("check", *sidecar.at, *BUY, "--quantity", "1000")
    assert ran.code == 1
    assert ran.out.startswith("DENIED by POSITION_LIMITS")
    for code in ("SYMBOL_EXPOSURE", "STRATEGY_EXPOSURE", "PORTFOLIO_EXPOSURE"):
        assert code in ran.out
    assert "observed 0, projected 100000, limit 30000" in ran.out
    assert "Approvable quantity: 300" in ran.out


def test_a_dry_run_reserves_nothing(sidecar: RunningSidecar) -> None:
    """The full answer, and no open order afterwards (S4.8)."""
    ran = haltline("check", *sidecar.at, *BUY, "--quantity", "100", "--dry-run")
    assert ran.code == 0
    assert "dry run" in ran.out
    assert haltline("orders", *sidecar.at).out == "No open orders\n"


def test_a_malformed_order_names_every_faulty_field(module_sidecar: RunningSidecar) -> None:
    """Both fields are named, each once; exit code 2 (S4.1)."""
    ran = haltline("check", *module_sidecar.at, *BUY[:-1], "1e3", "--quantity", "nan")
    assert ran.code == 2
    assert ran.err.count("  quantity: ") == 1
    assert ran.err.count("  limit_price: ") == 1


@pytest.mark.usefixtures("operator")
def test_release_ends_a_reservation(sidecar: RunningSidecar) -> None:
    """With proof an order that was never sent gives back what it held (S7.5)."""
    haltline("check", *sidecar.at, *BUY, "--quantity", "100", "--order-id", "a-1")
    ran = haltline("release", *sidecar.at, "a-1", *WHO)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("Released: a-1")
    assert haltline("orders", *sidecar.at).out == "No open orders\n"


@pytest.mark.usefixtures("operator")
def test_release_of_an_unknown_order_points_at_the_list(module_sidecar: RunningSidecar) -> None:
    """The refusal names the way out."""
    ran = haltline("release", *module_sidecar.at, "never-heard-of", *WHO)
    assert ran.code == 1
    assert "haltline orders" in ran.err


def test_account_replaces_what_is_held_and_shows_the_drift(sidecar: RunningSidecar) -> None:
    """A complete report confirms positions and lists every difference (S8.2)."""
    assert "POSITIONS NOT_CONFIRMED" in haltline("safety", *sidecar.at).out
    ran = haltline(
        "account", *sidecar.at, "--equity", "100500", "--complete", "--mark", "AAPL=185",
        "--position", "momentum:AAPL=10@180",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "equity 100500" in ran.out
    assert "Drift POSITION momentum AAPL: held 0, venue says 10" in ran.out
    after = haltline("safety", *sidecar.at).out
    assert "POSITIONS NOT_CONFIRMED" not in after
    assert "Exposure, worst case; 1 of 10 positions:" in after
    assert "  symbol AAPL: 1850, 1.8408% of 30.0%" in after


def test_account_lists_open_orders_too(sidecar: RunningSidecar) -> None:
    """An order the venue knows and we do not is reserved, flagged and listed (S8.2)."""
    ran = haltline(
        "account", *sidecar.at, "--complete", "--flat", "--mark", "AAPL=185",
        "--order", "v:7:momentum:AAPL:buy=5/2@180",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    listed = haltline("orders", *sidecar.at, "--json")
    (order,) = json.loads(listed.out)["orders"]
    assert order["order_id"] == "v:7"
    assert order["remaining_quantity"] == "5"
    assert order["unsolicited"] is True


@pytest.mark.parametrize(
    "arguments",
    [
        ("--position", "momentum:AAPL=10@180"),
        ("--complete", "--position", "momentum"),
        ("--complete",),
        ("--complete", "--flat", "--position", "momentum:AAPL=10@180"),
        ("--flat",),
        ("--mark", "AAPL"),
    ],
)
def test_account_refuses_what_it_cannot_read(
    module_sidecar: RunningSidecar, arguments: tuple[str, ...]
) -> None:
    """A position without --complete, flat unsaid, or a part without its form: usage errors."""
    assert haltline("account", *module_sidecar.at, *arguments).code == 2


def test_config_show_prints_what_is_in_force(module_sidecar: RunningSidecar) -> None:
    """Every key with its value, and the hash that decisions carry."""
    ran = haltline("config", "show", *module_sidecar.at)
    assert ran.code == 0
    assert "daily_drawdown_ratio = 0.05" in ran.out
    assert "hash " in ran.out.splitlines()[0]


def test_watch_once_draws_the_three_layers(module_sidecar: RunningSidecar) -> None:
    """One picture with all three layers, then it ends."""
    ran = haltline("watch", *module_sidecar.at, "--once")
    assert ran.code == 0
    for words in ("Kill switch", "Circuit breaker", "Position limits", "% of 5 %"):
        assert words in ran.out


@pytest.mark.parametrize(
    "command",
    [
        ("safety",),
        ("orders",),
        ("config", "show"),
        ("watch", "--once"),
        ("check", *BUY, "--quantity", "1", "--dry-run"),
        ("account", "--equity", "100000"),
        ("reset", "kill", *WHO),
        ("reset", "breaker", *WHO),
    ],
)
@pytest.mark.usefixtures("operator")
def test_json_is_one_value_on_stdout(
    module_sidecar: RunningSidecar, command: tuple[str, ...]
) -> None:
    """Programs read one JSON value and nothing else."""
    ran = haltline(*command, *module_sidecar.at, "--json")
    assert ran.code == 0, ran.err
    assert isinstance(json.loads(ran.out), dict)


@pytest.mark.usefixtures("operator")
def test_a_refusal_is_json_too(module_sidecar: RunningSidecar) -> None:
    """With --json the refusal, its reason and the way out are on stdout."""
    ran = haltline("release", "never-heard-of", *WHO, *module_sidecar.at, "--json")
    assert ran.code == 1
    error = json.loads(ran.out)["error"]
    assert error["exit_code"] == 1
    assert error["reason"] == "ORDER_UNKNOWN"
    assert error["way_out"]


def test_config_defaults_prints_a_file_that_checks(tmp_path: Path) -> None:
    """What is printed can be saved, checked and changed."""
    file = tmp_path / "haltline.toml"
    file.write_text(haltline("config", "defaults").out, "utf-8")
    assert haltline("config", "check", str(file)).code == 0


def test_config_defaults_prints_the_reference_page() -> None:
    """With --markdown it is docs/configuration.md, to the byte."""
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert haltline("config", "defaults", "--markdown").out == page.read_text("utf-8")


@pytest.mark.usefixtures("operator")
def test_an_operator_confirms_a_jump_of_equity_at_once(tmp_path: Path) -> None:
    """A rise beyond the bound waits and is shown so; signed with --confirm it counts (S8.3)."""
    file = tmp_path / "haltline.toml"
    file.write_text("[account]\nequity_jump_ratio_max = 0.25\n", "utf-8")
    with running(tmp_path / "d", "--config", str(file), "--equity", "1000") as sidecar:
        assert "equity 1000\n" in haltline("account", *sidecar.at, "--equity", "5000").out
        assert "Equity 5000 waits for its confirmation" in haltline("safety", *sidecar.at).out
        ran = haltline("account", *sidecar.at, "--equity", "5000", "--confirm")
        assert "equity 5000\n" in ran.out


@pytest.mark.parametrize("typed", ["new secret of enough letters", "old secret of enough letters"])
def test_while_rotating_both_secrets_start_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    """The sidecar takes either; an operator whose variable holds two signs with the first (S11)."""
    both = "new secret of enough letters,old secret of enough letters"
    monkeypatch.setenv("KILL_SWITCH_SECRET", f"{typed},{both.split(',', maxsplit=1)[0]}")
    with running(tmp_path / "d", secret=both) as sidecar:
        haltline("kill", *sidecar.at)
        assert haltline("reset", "kill", *sidecar.at, *WHO).code == 0


@pytest.mark.parametrize("option", [(), ("--json",)])
def test_watch_prints_a_line_for_each_change_where_there_is_no_terminal(
    sidecar: RunningSidecar, option: tuple[str, ...]
) -> None:
    """A pipe gets lines: NORMAL, then HALTED when somebody stops."""
    watching = subprocess.Popen(
        [sys.executable, "-m", "sidecar", "watch", *sidecar.at, *option],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert watching.stdout is not None
        assert "NORMAL" in watching.stdout.readline()
        haltline("kill", *sidecar.at)
        line = watching.stdout.readline()
        while "HALTED" not in line:
            assert line
            line = watching.stdout.readline()
    finally:
        watching.kill()
        watching.communicate()


def test_the_version_is_the_packages() -> None:
    """`haltline --version` names it."""
    assert __version__ in haltline("--version").out
