"""Warnings before a trip, and a bot that fell silent (S9)."""

from collections.abc import Callable

import pytest

from sidecar.core.events import WarningChanged
from sidecar.core.thresholds import CircuitBreakerThresholds
from tests.core.happenings import api_error, fail, lose, reject
from tests.core.harness import SECOND, Desk
from tests.core.readings import causes, trigger
from tests.core.snapshots import listed, position, snapshot

MINUTE = 60 * SECOND


# -- warnings --------------------------------------------------------------------------------------


def warnings(desk: Desk) -> list[tuple[str, bool]]:
    """Return the warnings of the last record."""
    return [(e.trigger, e.is_raised) for e in desk.events if isinstance(e, WarningChanged)]


def test_a_warning_is_published_once_per_crossing() -> None:
    """At 80 % of any threshold, again only after it was left (S9)."""
    desk = Desk(equity=100_000)
    desk.account(equity="96000.01")
    assert warnings(desk) == []
    desk.account(equity=96_000)
    assert warnings(desk) == [("DAILY_DRAWDOWN", True)]
    desk.account(equity=95_500)
    assert warnings(desk) == []
    desk.account(equity=97_000)
    assert warnings(desk) == [("DAILY_DRAWDOWN", False)]
    desk.account(equity=95_900)
    assert warnings(desk) == [("DAILY_DRAWDOWN", True)]


@pytest.mark.parametrize(
    ("cause", "at", "happen"),
    [("CONSECUTIVE_LOSSES", 8, lose), ("ORDER_FAILURES", 4, reject), ("FAILED_TRADES", 4, fail)],
)
def test_counts_warn_at_eighty_per_cent(
    cause: str, at: int, happen: Callable[[Desk], None]
) -> None:
    """8 of 10, 4 of 5 (S9)."""
    desk = Desk(equity=1_000_000)
    for _ in range(at - 1):
        happen(desk)
        assert not trigger(desk, cause).is_warning
    happen(desk)
    assert (cause, True) in warnings(desk)
    assert trigger(desk, cause).is_warning


def test_a_warning_that_still_holds_is_not_published_again_by_a_reset() -> None:
    """The total drawdown stayed above its warning all the while: one crossing (S9)."""
    desk = Desk(equity=100_000)
    desk.account(equity=83_000)
    assert ("TOTAL_DRAWDOWN", True) in warnings(desk)
    desk.reset_breaker("DAILY", "WEEKLY")
    desk.account(equity=83_000)
    assert ("TOTAL_DRAWDOWN", True) not in warnings(desk)
    assert trigger(desk, "TOTAL_DRAWDOWN").is_warning
    assert not trigger(desk, "DAILY_DRAWDOWN").is_warning


def test_a_count_cleared_by_a_reset_warns_anew() -> None:
    """Its next way up is another crossing (S9)."""
    desk = Desk(equity=1_000_000)
    for _ in range(5):
        reject(desk)
    desk.reset_breaker()
    for _ in range(3):
        desk.report("REJECTED", desk.approve("BUY", 1, 1, symbol="R"))
        assert ("ORDER_FAILURES", True) not in warnings(desk)
    reject(desk)
    assert ("ORDER_FAILURES", True) in warnings(desk)


# -- silence ---------------------------------------------------------------------------------------


def silent_desk(**marks: int) -> Desk:
    """Return a desk that trips after five minutes of silence."""
    rules = CircuitBreakerThresholds(bot_silence_ns=5 * MINUTE)
    return Desk(equity=100_000, marks={"X": 100, **marks}, circuit_breaker=rules)


def test_silence_is_off_by_default() -> None:
    """BOT_SILENT: off by default (S9)."""
    desk = Desk(marks={"X": 100})
    desk.approve("BUY", 1, 100)
    desk.advance(30 * 86_400)
    desk.tick()
    assert causes(desk) == []


@pytest.mark.parametrize("holds", ["reservation", "position", "reported", "listed"])
def test_a_silent_strategy_that_holds_something_trips(holds: str) -> None:
    """However it came to hold it: no call for `bot_silence_seconds` (S9)."""
    desk = silent_desk()
    if holds == "reservation":
        desk.approve("BUY", 1, 100)
    elif holds == "position":
        desk.hold(1, 100)
    elif holds == "reported":
        snapshot(desk, position(1))
    else:
        snapshot(desk, orders=(listed("theirs", 1, 0, 100),))
    desk.advance(299.999)
    desk.tick()
    assert causes(desk) == []
    desk.advance(0.001)
    desk.tick()
    assert causes(desk) == ["BOT_SILENT"]
    desk.assert_replays()


def test_a_strategy_that_holds_nothing_may_be_silent() -> None:
    """Flat and without orders there is nothing to guard (S9)."""
    desk = silent_desk()
    desk.report("CANCELED", desk.approve("BUY", 1, 100))
    desk.advance(3_000)
    desk.tick()
    assert causes(desk) == []


@pytest.mark.parametrize("call", ["approved", "denied", "repeated", "report"])
def test_every_call_of_the_strategy_breaks_its_silence(call: str) -> None:
    """An asked order or a report is a call, whatever came of it (S9)."""
    desk = silent_desk()
    order = desk.order("BUY", 1, 100)
    desk.ask(order)
    desk.advance(290)
    if call == "approved":
        desk.approve("BUY", 1, 100)
    elif call == "denied":
        assert not desk.check("BUY", 10_000, 100).is_approved
    elif call == "repeated":
        desk.ask(order)
    else:
        desk.report("ACCEPTED", order.order_id)
    desk.advance(299)
    desk.tick()
    assert causes(desk) == []
    desk.advance(1)
    desk.tick()
    assert causes(desk) == ["BOT_SILENT"]


def test_another_strategys_calls_do_not_speak_for_a_silent_one() -> None:
    """Silence is a strategy's (S9)."""
    desk = silent_desk()
    desk.hold(1, 100)
    for _ in range(5):
        desk.advance(60)
        desk.check("BUY", 1, 100, strategy="beta")
    assert causes(desk) == ["BOT_SILENT"]
    assert "alpha" in desk.state.breaker.causes[0].detail


@pytest.mark.parametrize("restarts", [False, True])
def test_silence_after_a_reset_trips_again_in_its_time(restarts: bool) -> None:
    """A reset breaks the silence and does not end the watch (S9)."""
    desk = silent_desk()
    desk.hold(1, 100)
    desk.advance(300)
    desk.tick()
    desk.reset_breaker()
    if restarts:
        desk.restart(from_snapshot=True)
    desk.advance(299)
    desk.tick()
    assert causes(desk) == []
    desk.advance(1)
    desk.tick()
    assert causes(desk) == ["BOT_SILENT"]


def test_silence_is_appended_to_an_open_breaker_once() -> None:
    """As any other cause (S9)."""
    desk = silent_desk()
    desk.hold(1, 100)
    for _ in range(3):
        api_error(desk)
    desk.advance(400)
    desk.tick()
    sequence = desk.sequence
    desk.advance(400)
    desk.tick()
    assert causes(desk) == ["API_ERRORS", "BOT_SILENT"]
    assert desk.sequence == sequence
