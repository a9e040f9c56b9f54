"""The picture of `haltline watch`: what a person sees from across the room."""

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from sidecar.audit.decisions import Broken, Decision
from sidecar.cli.feed import FeedView
from sidecar.cli.letters import large
from sidecar.cli.watch_view import draw
from tests.cli.statuses import activation, make_status, trigger

NOW = 1_000.0


def picture(
    view: FeedView,
    *,
    width: int = 100,
    with_colours: bool = False,
    decisions: tuple[Decision, ...] = (),
) -> str:
    """Return what is drawn, as text."""
    out = StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=with_colours,
        color_system="standard" if with_colours else None,
    )
    console.print(draw(view, NOW, "unix:/run/haltline.sock", width, decisions))
    return out.getvalue()


def heard(silent_seconds: float = 0.2, **changes: Any) -> FeedView:  # noqa: ANN401 - fields of the contract
    """Return a view of a live stream."""
    return FeedView(
        status=make_status(**changes),
        frames_count=5,
        heard_at=NOW - silent_seconds,
        max_silence_seconds=1.0,
        is_connected=True,
    )


@pytest.mark.parametrize("mode", ["NORMAL", "REDUCE_ONLY", "HALTED"])
@pytest.mark.parametrize("width", [80, 140])
def test_the_trading_mode_stands_in_large_letters(mode: str, width: int) -> None:
    """Both lines of the large letters are there, whatever the width."""
    text = picture(heard(trading_mode=f"TRADING_MODE_{mode}"), width=width)
    for line in large(mode).splitlines():
        assert line in text


def test_silence_beyond_the_bound_is_lost() -> None:
    """LOST in large letters, with the last known mode and what it means (S14)."""
    text = picture(heard(silent_seconds=1.5))
    assert large("LOST").splitlines()[0] in text
    assert "treat trading as stopped" in text
    assert "last known NORMAL" in text


def test_lost_is_red() -> None:
    """The background of the banner is red, and of a sound one green."""
    red, green = "\x1b[1;37;41m", "\x1b[1;30;42m"
    assert red in picture(heard(silent_seconds=1.5), with_colours=True)
    assert red not in picture(heard(), with_colours=True)
    assert green in picture(heard(), with_colours=True)


def test_before_the_first_frame_it_is_lost() -> None:
    """Nothing heard is not NORMAL."""
    text = picture(FeedView(heard_at=NOW - 0.1, problem="UNAVAILABLE: Connection refused"))
    assert "nothing heard yet" in text
    assert "Connection refused; trying again" in text


def test_going_away_is_shown_as_stopped() -> None:
    """A draining sidecar says so before it is silent (S14)."""
    view = heard()
    text = picture(
        FeedView(status=view.status, heard_at=NOW, is_connected=True, is_going_away=True)
    )
    assert "trading is stopped" in text


def test_a_trigger_is_a_bar_of_observed_against_threshold() -> None:
    """Half of the threshold is half of the bar."""
    breaker = {
        "state": "CIRCUIT_BREAKER_STATE_CLOSED",
        "triggers": [trigger("CONSECUTIVE_LOSSES", "5", "10")],
    }
    text = picture(heard(circuit_breaker=breaker))
    assert "Consecutive losses" in text
    assert "█" * 10 + "░" * 10 in text
    assert "5 of 10" in text


def test_not_armed_looks_like_nothing_else() -> None:
    """No bar, the word NOT_ARMED, and why (S1.2)."""
    silent = trigger("DAILY_DRAWDOWN", "", "0.05") | {
        "arming": "TRIGGER_ARMING_NOT_ARMED",
        "not_armed_why": "equity was never reported",
    }
    del silent["observed"]
    breaker = {"state": "CIRCUIT_BREAKER_STATE_CLOSED", "triggers": [silent]}
    line = next(
        line
        for line in picture(heard(circuit_breaker=breaker)).splitlines()
        if "Daily drawdown" in line
    )
    assert "╌ NOT_ARMED ╌" in line
    assert "equity was never reported" in line
    assert "░" not in line


def test_a_kill_is_drawn_as_it_was_given() -> None:
    """Markup and escape sequences in a reason are text."""
    kill = activation({"all": True}) | {"reason": "[red]x[/red]\x1b[2J"}
    kill_switch = {"state": "KILL_SWITCH_STATE_ACTIVE", "activations": [kill]}
    text = picture(heard(kill_switch=kill_switch))
    assert r"[red]x[/red]\x1b[2J" in text


def test_a_driven_clock_is_always_in_sight() -> None:
    """Nobody takes a replay for the account (S2.5)."""
    clock = {"mode": "CLOCK_MODE_DRIVEN", "now": "2008-10-10T20:00:00Z"}
    assert "DRIVEN CLOCK 2008-10-10 20:00:00Z" in picture(heard(clock=clock), width=80)


def test_a_word_without_large_letters_is_written_small() -> None:
    """A letter nobody drew must not hide the word."""
    assert large("QUIZ") == "QUIZ"


def test_a_trip_stands_beneath_the_word_with_its_way_out() -> None:
    """What reached what, and the command that ends it, with the flag it needs (as on the page)."""
    breaker = {
        "state": "CIRCUIT_BREAKER_STATE_OPEN",
        "when_open": "WHEN_OPEN_REDUCE_ONLY",
        "triggers": [trigger("DAILY_DRAWDOWN", "0.06", "0.05")],
        "causes": [
            {
                "cause": "CIRCUIT_BREAKER_CAUSE_DAILY_DRAWDOWN",
                "observed": "0.06",
                "threshold": "0.05",
                "tripped_at": "2026-11-22T21:00:00Z",
            }
        ],
    }
    account = {
        "equity": "94",
        "drawdowns": [
            {"kind": "DRAWDOWN_KIND_DAILY", "ratio": "0.06", "threshold": "0.05", "stands": True}
        ],
    }
    text = picture(heard(circuit_breaker=breaker, account=account))
    assert "Circuit breaker OPEN: Daily drawdown 6 % reached 5 %" in text
    assert "haltline reset breaker --rebase daily --by YOU --reason WHY" in text
    assert "6 % of 5 %  TRIPPED" in text


def test_what_is_near_is_warned_before_it_trips() -> None:
    """The warning stands beneath NORMAL and at its bar."""
    near = trigger("CONSECUTIVE_LOSSES", "8", "10") | {"warning": True}
    breaker = {"state": "CIRCUIT_BREAKER_STATE_CLOSED", "triggers": [near]}
    text = picture(heard(circuit_breaker=breaker))
    assert "Warned: Consecutive losses 8 of 10" in text
    assert "8 of 10  WARNED" in text
    assert "CLOSED, 1 warned" in text


def test_a_kill_of_an_unknown_name_is_loud() -> None:
    """The scope stands with UNKNOWN NAME, at the top and in its layer."""
    kill = activation({"symbol": "AAPLL"}) | {"scope_known": False}
    kill_switch = {"state": "KILL_SWITCH_STATE_ACTIVE", "activations": [kill]}
    text = picture(heard(kill_switch=kill_switch))
    assert text.count("UNKNOWN NAME") == 2
    assert "haltline reset kill --symbol AAPLL" in text


def test_old_numbers_are_said_to_be_old() -> None:
    """Beneath LOST stands how old the numbers are; beneath NORMAL nothing of the kind."""
    assert "OLD NUMBERS: as they were 9 s ago" in picture(heard(silent_seconds=9))
    assert "OLD NUMBERS" not in picture(heard())


def test_the_last_decisions_stand_with_code_and_numbers() -> None:
    """Verdict, order, code, what it would become and the limit; markup in a name is text."""
    denied = Decision(
        sequence=7,
        time=1_795_746_309_000_000_000,
        verdict="DENIED",
        order_id="o-1",
        strategy="[red]trend",
        symbol="BTC",
        side="BUY",
        order_type="LIMIT",
        quantity="9",
        price="100",
        broken=(
            Broken(
                code="SYMBOL_EXPOSURE",
                scope="symbol:BTC",
                observed="1",
                projected="901",
                limit="300",
                message="too much",
            ),
        ),
    )
    approved = Decision(sequence=8, time=denied.time, verdict="APPROVED", symbol="ETH")
    text = picture(heard(), decisions=(approved, denied), width=140)
    assert "DENIED" in text
    assert "[red]trend BUY 9 BTC at 100" in text
    assert "SYMBOL_EXPOSURE 901, limit 300" in text
    assert "too much" in text
    assert text.index("APPROVED") < text.index("DENIED")
