"""The status as text: the block to the letter, and every stop with its way out."""

from typing import Any

import pytest

from sidecar.auth import UNCONFIGURED_SENTENCE
from sidecar.cli.status_text import details, is_stopped, safety_block, trading_mode
from tests.cli.statuses import activation, make_status, trigger

OPEN = {
    "state": "CIRCUIT_BREAKER_STATE_OPEN",
    "when_open": "WHEN_OPEN_REDUCE_ONLY",
    "causes": [
        {
            "cause": "CIRCUIT_BREAKER_CAUSE_DAILY_DRAWDOWN",
            "observed": "0.0512",
            "threshold": "0.05",
            "tripped_at": "2026-11-22T20:00:00Z",
        }
    ],
}


def killed(*activations: dict[str, Any], mode: str = "UNSPECIFIED") -> dict[str, Any]:
    """Return a kill switch with these kills in force."""
    return {
        "state": "KILL_SWITCH_STATE_ACTIVE",
        "mode": f"KILL_MODE_{mode}",
        "activations": list(activations),
    }


def test_the_block_has_the_shape_of_the_original_system() -> None:
    """Every line of contract.md's block, in order, with this status's numbers."""
    assert safety_block(make_status()) == (
        "Safety System Status\n"
        "============================================================\n"
        "\n"
        "Kill Switch: INACTIVE\n"
        "\n"
        "Circuit Breaker: CLOSED (trading ENABLED)\n"
        "  Consecutive losses: 3\n"
        "  API errors (last minute): 1\n"
        "  Order failures: 0\n"
        "  Failed trades (last hour): 0\n"
        "\n"
        "Position Limits:\n"
        "  Per-symbol: 30.0% max\n"
        "  Per-strategy: 60.0% max\n"
        "  Portfolio-wide: 90.0% max\n"
        "  Max positions: 10\n"
    )


@pytest.mark.parametrize(
    ("kill_switch", "line"),
    [
        (killed(activation({"all": True}), mode="HALT"), "ACTIVE (HALT)"),
        (killed(activation({"all": True}), mode="REDUCE_ONLY"), "ACTIVE (REDUCE_ONLY)"),
        (killed(activation({"symbol": "AAPL"})), "ACTIVE (HALT, only symbol AAPL)"),
        (
            killed(activation({"symbol": "A"}), activation({"strategy": "b"})),
            "ACTIVE (2 scopes, see below)",
        ),
    ],
)
def test_the_kill_line_says_how_hard_and_what(kill_switch: dict[str, Any], line: str) -> None:
    """A kill of everything reads as in the contract; a scoped one says what it covers."""
    status = make_status(kill_switch=kill_switch)
    assert f"\nKill Switch: {line}\n" in safety_block(status)
    assert is_stopped(status)


def test_an_open_breaker_says_paused_why_and_how_to_close_it() -> None:
    """The cause with its numbers, and the exact flag for the drawdown that stands (S9)."""
    account = {
        "equity": "94",
        "drawdowns": [
            {"kind": "DRAWDOWN_KIND_DAILY", "ratio": "0.06", "threshold": "0.05", "stands": True},
            {"kind": "DRAWDOWN_KIND_WEEKLY", "ratio": "0.06", "threshold": "0.1"},
        ],
    }
    status = make_status(circuit_breaker=OPEN, account=account)
    assert "\nCircuit Breaker: OPEN (trading PAUSED)\n" in safety_block(status)
    text = details(status)
    assert "Tripped: DAILY_DRAWDOWN at 2026-11-22 20:00:00Z: 0.0512 reached 0.05" in text
    assert "haltline reset breaker --rebase daily --by YOU --reason WHY" in text
    assert is_stopped(status)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"operator_proof_configured": False}, UNCONFIGURED_SENTENCE),
        ({"account": {}}, "Way out: haltline account --equity N"),
        ({"positions_state": "POSITIONS_STATE_NOT_CONFIRMED"}, "POSITIONS NOT_CONFIRMED"),
        ({"clock": {"mode": "CLOCK_MODE_DRIVEN"}}, "DRIVEN CLOCK"),
        ({"clock": {"mode": "CLOCK_MODE_WALL", "jump": "-90s"}}, "haltline reset clock"),
        (
            {"store": {"poisoned": True, "poisoned_why": "sync failed: EIO"}},
            "STORE POISONED: sync failed: EIO",
        ),
        ({"store": {"low": True}}, "STORE LOW"),
        (
            {"health_problems": [{"part": "certificates", "cause": "server.pem: expired"}]},
            "NOT WELL: certificates: server.pem: expired",
        ),
        (
            {
                "recovery": {
                    "state": "RECOVERY_STATE_RECONCILE",
                    "since": "2026-11-22T20:00:00Z",
                    "way_out": "haltline reset recovery",
                    "denies_reducing": True,
                }
            },
            "Reducing orders are denied too",
        ),
        (
            {"not_armed": [{"rule_id": "order_rules.price_collar_ratio", "why": "no mark"}]},
            "NOT_ARMED: order_rules.price_collar_ratio: no mark",
        ),
        (
            {"marks": [{"symbol": "AAPL", "price": "100", "age": "75s", "stale": True}]},
            "STALE MARK: AAPL 100, 75 s old",
        ),
        (
            {"marks": [{"symbol": "AAPL", "price": "100", "unconfirmed_price": "140"}]},
            "UNCONFIRMED MARK: AAPL 140, confirmed is 100",
        ),
        (
            {"flagged_reports": [{"flag": "REPORT_FLAG_UNSOLICITED", "count": 2}]},
            "UNSOLICITED: 2 reports",
        ),
        (
            {"kill_switch": killed(mode="HALT") | {"advice": "flatten by hand, or EaseKill"}},
            "Advice: flatten by hand, or EaseKill",
        ),
        (
            {"kill_switch": {"state": "KILL_SWITCH_STATE_INACTIVE", "kill_file_present": True}},
            "remove the file KILL",
        ),
    ],
)
def test_what_is_odd_is_said_with_its_way_out(changes: dict[str, Any], words: str) -> None:
    """Nothing odd is silent (S1.2)."""
    assert words in details(make_status(**changes))


def test_a_part_with_a_line_of_its_own_is_told_once() -> None:
    """A poisoned store is a part that is not well, and says so in one line with its way out."""
    poisoned = {"poisoned": True, "poisoned_why": "EIO"}
    problems = [{"part": "store", "cause": "EIO; restart on a healthy disk", "needed": True}]
    text = details(make_status(store=poisoned, health_problems=problems))
    assert "STORE POISONED" in text
    assert "NOT WELL" not in text


def test_a_warning_shows_how_near_a_threshold_is() -> None:
    """At 80 % of a threshold a person is told (S9)."""
    breaker = {
        "state": "CIRCUIT_BREAKER_STATE_CLOSED",
        "triggers": [trigger("API_ERRORS", "2", "3") | {"warning": True}],
    }
    assert "WARNING: API_ERRORS is at 2 of 3" in details(make_status(circuit_breaker=breaker))


def test_text_from_elsewhere_cannot_drive_the_terminal() -> None:
    """Escape sequences and line breaks in a reason are written out, not obeyed."""
    kill = activation({"all": True}) | {"reason": "\x1b[2Jgone\nKill Switch: INACTIVE"}
    text = details(make_status(kill_switch=killed(kill, mode="HALT")))
    assert "\x1b" not in text
    assert r"Why: \x1b[2Jgone\nKill Switch: INACTIVE" in text


def test_an_unknown_trading_mode_reads_as_halted() -> None:
    """A newer sidecar's word is not taken for NORMAL."""
    status = make_status()
    status.trading_mode = 9  # type: ignore[assignment]  # what a newer contract may send
    assert trading_mode(status) == "HALTED"
    assert is_stopped(status)


def test_all_well_is_not_stopped() -> None:
    """Where nothing holds trading back, nothing says so."""
    assert not is_stopped(make_status())
    assert details(make_status()).splitlines()[0] == "Trading mode: NORMAL"
