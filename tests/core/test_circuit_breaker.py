"""CLOSED or OPEN: every cause at its threshold, and the way back (S9)."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from sidecar.core.answers import TradingMode
from sidecar.core.circuit_breaker import CAUSES
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.core.events import BreakerReset
from sidecar.core.thresholds import CircuitBreakerThresholds, WhenOpen
from tests.core.happenings import COUNTED, api_error, fail, lose, reject
from tests.core.harness import Desk, codes
from tests.core.readings import causes, trigger

# -- counters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cause", "threshold", "happen"), COUNTED)
def test_a_count_trips_when_its_default_is_reached(
    cause: str, threshold: int, happen: Callable[[Desk], None]
) -> None:
    """Not one before, and at the threshold (S9)."""
    desk = Desk(equity=1_000_000)
    for _ in range(threshold - 1):
        happen(desk)
    assert causes(desk) == []
    happen(desk)
    assert causes(desk) == [cause]
    shown = desk.state.breaker.causes[0]
    assert [shown.observed, shown.threshold] == [threshold, threshold]
    desk.assert_replays()


@pytest.mark.parametrize(("cause", "threshold", "happen"), COUNTED)
def test_a_threshold_of_one_trips_at_the_first(
    cause: str, threshold: int, happen: Callable[[Desk], None]
) -> None:
    """Every count is configured (S9)."""
    del threshold
    name = cause.lower()
    rules = CircuitBreakerThresholds(**{name: 1})  # type: ignore[arg-type] # the four counts are ints
    desk = Desk(equity=1_000_000, circuit_breaker=rules)
    happen(desk)
    assert causes(desk) == [cause]


@pytest.mark.parametrize(("seconds", "is_open"), [(59.999999999, True), (60, False)])
def test_api_errors_count_within_sixty_seconds(seconds: float, is_open: bool) -> None:
    """An event at t counts while t > now - window (S9, S2.4)."""
    desk = Desk()
    desk.api_error()
    desk.api_error()
    desk.advance(seconds)
    answer = desk.api_error()
    assert answer.errors_in_window == (3 if is_open else 1)
    assert (causes(desk) == ["API_ERRORS"]) is is_open


@pytest.mark.parametrize(("seconds", "is_open"), [(3599.999999999, True), (3600, False)])
def test_failed_trades_count_within_an_hour(seconds: float, is_open: bool) -> None:
    """Five within one hour (S9, S2.4)."""
    desk = Desk(equity=1_000_000)
    for _ in range(4):
        fail(desk)
    desk.advance(seconds)
    fail(desk)
    assert (causes(desk) == ["FAILED_TRADES"]) is is_open


def test_windows_slide_and_do_not_start_over() -> None:
    """Three within any sixty seconds trip, wherever a minute of the clock begins (S2.4)."""
    desk = Desk()
    for _ in range(6):
        desk.api_error()
        desk.advance(31)
    assert causes(desk) == []
    desk.api_error()
    desk.advance(20)
    desk.api_error()
    assert causes(desk) == ["API_ERRORS"]


@pytest.mark.parametrize("kind", ["ACCEPTED", "FILLED"])
def test_a_success_does_not_clear_api_errors(kind: str) -> None:
    """They are counted by time alone (S9)."""
    desk = Desk()
    desk.api_error()
    desk.api_error()
    order_id = desk.approve("BUY", 1, 1, symbol="R")
    if kind == "FILLED":
        desk.fill(order_id, 1, 1)
    else:
        desk.report(kind, order_id)
    desk.api_error()
    assert causes(desk) == ["API_ERRORS"]


@pytest.mark.parametrize("kind", ["ACCEPTED", "FILLED"])
def test_a_healthy_order_clears_order_failures(kind: str) -> None:
    """An ACCEPTED or FILLED clears: five *in a row* (S9)."""
    desk = Desk()
    for _ in range(4):
        reject(desk)
    order_id = desk.approve("BUY", 1, 1, symbol="R")
    if kind == "FILLED":
        desk.fill(order_id, 1, 1)
    else:
        desk.report(kind, order_id)
    assert desk.state.breaker.order_failures == 0
    for _ in range(4):
        reject(desk)
    assert causes(desk) == []
    reject(desk)
    assert causes(desk) == ["ORDER_FAILURES"]


@pytest.mark.parametrize("kind", ["CANCELED", "EXPIRED", "FAILED"])
def test_what_is_neither_health_nor_refusal_leaves_order_failures(kind: str) -> None:
    """Only ACCEPTED and FILLED clear, only REJECTED counts (S9)."""
    desk = Desk()
    for _ in range(4):
        reject(desk)
    desk.report(kind, desk.approve("BUY", 1, 1, symbol="R"))
    assert desk.state.breaker.order_failures == 4
    reject(desk)
    assert causes(desk) == ["ORDER_FAILURES"]


def test_a_fill_does_not_clear_failed_trades() -> None:
    """They are counted by time alone (S9)."""
    desk = Desk()
    for _ in range(4):
        fail(desk)
    desk.fill(desk.approve("BUY", 1, 1, symbol="R"), 1, 1)
    fail(desk)
    assert causes(desk) == ["FAILED_TRADES"]


def test_a_repeated_report_counts_once() -> None:
    """Same key and content: nothing changes (S7.2, S9)."""
    desk = Desk()
    order_id = desk.approve("BUY", 1, 1, symbol="R")
    for _ in range(9):
        desk.report("REJECTED", order_id, report_id="same")
        desk.api_error(report_id="same")
    assert desk.state.breaker.order_failures == 1
    assert trigger(desk, "API_ERRORS").observed == 1


@pytest.mark.parametrize("text", ["a\nb", "\n", "\\n", "\\", "a\\\nb"])
def test_a_repeated_api_error_is_the_same_whatever_its_words(text: str) -> None:
    """Same key and content: `duplicate`; other content is named by its field (S7.2)."""
    desk = Desk()
    desk.api_error(report_id="e", api=text, error_code=text, message=text)
    again = desk.api_error(report_id="e", api=text, error_code=text, message=text)
    assert again.duplicate
    with pytest.raises(CallRefused) as caught:
        desk.api_error(report_id="e", api=text, error_code=f"{text}x", message=text)
    assert caught.value.code is ErrorCode.ALREADY_EXISTS
    assert [fault.field for fault in caught.value.field_faults] == ["code"]


def test_our_own_denials_count_for_nothing() -> None:
    """However many orders we deny, the breaker sees none (S9)."""
    desk = Desk(equity=100, marks={"X": 1})
    for _ in range(50):
        assert not desk.check("BUY", 1_000, 1).is_approved
    assert not any(trigger(desk, cause).observed for cause in CAUSES)


@pytest.mark.parametrize("kind", ["CANCELED", "EXPIRED"])
def test_cancels_and_expiries_count_for_nothing(kind: str) -> None:
    """An IOC or FOK that came to nothing is no failure (S9)."""
    desk = Desk()
    for _ in range(50):
        desk.report(kind, desk.approve("BUY", 1, 1, symbol="R"))
    assert causes(desk) == []
    assert desk.state.breaker.order_failures == 0


def test_all_strategies_share_one_count() -> None:
    """All counters are the sidecar's, not a strategy's (S9)."""
    desk = Desk()
    for name in ("a", "b", "c", "d", "e"):
        desk.report("REJECTED", desk.approve("BUY", 1, 1, strategy=name))
    assert causes(desk) == ["ORDER_FAILURES"]


# -- causes and the epoch --------------------------------------------------------------------------


def test_the_first_cause_is_kept_and_later_ones_are_appended_once() -> None:
    """While OPEN each further cause is added once, without moving the stop epoch (S9)."""
    desk = Desk(equity=1_000_000)
    for _ in range(3):
        api_error(desk)
    epoch = desk.state.stop_epoch
    for at in range(12):
        desk.report("REJECTED", f"r{at}", symbol="R")
    for _ in range(5):
        api_error(desk)
    desk.account(equity=940_000)
    assert causes(desk) == ["API_ERRORS", "ORDER_FAILURES", "DAILY_DRAWDOWN"]
    assert desk.state.stop_epoch == epoch
    desk.assert_replays()


def test_a_trip_moves_the_epoch_once() -> None:
    """Every stop bumps the stop epoch (S4.6)."""
    desk = Desk()
    assert desk.state.stop_epoch == 0
    for _ in range(3):
        api_error(desk)
    assert desk.state.stop_epoch == 1
    assert desk.state.breaker.opened_at == desk.now


def test_counting_goes_on_while_open() -> None:
    """Losses while OPEN are losses (S9)."""
    desk = Desk(equity=1_000_000)
    for _ in range(3):
        api_error(desk)
    for _ in range(9):
        lose(desk)
    assert desk.state.breaker.consecutive_losses == 9
    lose(desk)
    assert causes(desk) == ["API_ERRORS", "CONSECUTIVE_LOSSES"]


def test_an_approval_from_before_the_trip_is_no_longer_valid() -> None:
    """The epoch moved: asked again, it is judged anew (S4.1, S4.6)."""
    desk = Desk(marks={"X": 100})
    order = desk.order("BUY", 1, 100)
    assert desk.ask(order).is_approved
    for _ in range(3):
        api_error(desk)
    assert codes(desk.ask(order)) == ["CIRCUIT_BREAKER_OPEN", "APPROVAL_NO_LONGER_VALID"]


@pytest.mark.parametrize(
    ("when_open", "exit_codes", "mode"),
    [
        (WhenOpen.REDUCE_ONLY, [], TradingMode.REDUCE_ONLY),
        (WhenOpen.BLOCK_ALL, ["CIRCUIT_BREAKER_OPEN"], TradingMode.HALTED),
    ],
)
def test_what_an_open_breaker_allows(
    when_open: WhenOpen, exit_codes: list[str], mode: TradingMode
) -> None:
    """Reducing orders by default, nothing with `block_all` (S4.4)."""
    desk = Desk(marks={"X": 100}, circuit_breaker=CircuitBreakerThresholds(when_open=when_open))
    desk.hold(5, 100)
    for _ in range(3):
        api_error(desk)
    assert codes(desk.check("BUY", 1, 100)) == ["CIRCUIT_BREAKER_OPEN"]
    assert codes(desk.check("SELL", 5, 100)) == exit_codes
    assert desk.api_error().status.mode is mode


@pytest.mark.parametrize("is_on", [False, True])
def test_an_unsolicited_order_trips_only_where_asked(is_on: bool) -> None:
    """`trip_on_unsolicited` may trip (S7.3)."""
    rules = CircuitBreakerThresholds(trip_on_unsolicited=is_on)
    desk = Desk(circuit_breaker=rules)
    desk.fill("stranger", 1, 100)
    assert causes(desk) == (["UNSOLICITED"] if is_on else [])
    desk.fill("stranger", 1, 100)
    desk.fill("other", 1, 100)
    assert causes(desk) == (["UNSOLICITED"] if is_on else [])


# -- the reset -------------------------------------------------------------------------------------


def test_a_reset_while_closed_answers_ok_and_changes_nothing() -> None:
    """Whatever it names (S9)."""
    desk = Desk()
    lose(desk)
    sequence = desk.sequence
    for answer in (desk.reset_breaker(), desk.reset_breaker("DAILY", "TOTAL")):
        assert not answer.changed
    assert desk.sequence == sequence
    assert desk.state.breaker.consecutive_losses == 1


def test_a_reset_clears_streaks_and_windows() -> None:
    """So that the next loss is the first (S9)."""
    desk = Desk(equity=1_000_000)
    for _, threshold, happen in COUNTED:
        for _ in range(threshold):
            happen(desk)
    for _ in range(3):
        api_error(desk)
    assert desk.reset_breaker().changed
    assert causes(desk) == []
    assert all(trigger(desk, cause).observed == 0 for cause, _, _ in COUNTED)
    for cause, threshold, happen in COUNTED:
        for _ in range(threshold - 1):
            happen(desk)
        assert causes(desk) == [], cause


def test_a_reset_is_refused_while_a_drawdown_stands() -> None:
    """It says which, how far and the exact flag, and changes nothing (S9)."""
    desk = Desk(equity=100_000)
    desk.account(equity=94_000)
    refused = refuse_reset(desk)
    assert refused == (
        "DAILY drawdown stands at 6 % (threshold 5 %); "
        "to start from the value of now add --rebase daily"
    )
    assert causes(desk) == ["DAILY_DRAWDOWN"]


def refuse_reset(desk: Desk, *rebase: str) -> str:
    """Try a reset that must be FAILED_PRECONDITION, and return what it said."""
    with pytest.raises(CallRefused) as caught:
        desk.reset_breaker(*rebase)
    assert caught.value.code is ErrorCode.FAILED_PRECONDITION
    return caught.value.message


def test_the_flag_names_all_that_must_be_named_together() -> None:
    """Copying the flag from the refusal is enough (S9)."""
    desk = Desk(equity=100_000)
    desk.account(equity=88_000)
    assert refuse_reset(desk).endswith("add --rebase daily,weekly")
    message = refuse_reset(desk, "DAILY")
    assert message.startswith("WEEKLY drawdown stands at 12 %")
    assert message.endswith("add --rebase daily,weekly")
    assert desk.reset_breaker("DAILY", "WEEKLY").changed


def test_only_the_named_anchors_move_and_the_answer_states_them() -> None:
    """Old and new anchors for the audit; what was not named stays (S9)."""
    desk = Desk(equity=100_000)
    desk.account(equity=94_000)
    answer = desk.reset_breaker("DAILY")
    assert [(m.drawdown, m.old_unit_value, m.new_unit_value) for m in answer.moved_anchors] == [
        ("DAILY", Decimal(1), Decimal("0.94"))
    ]
    assert trigger(desk, "DAILY_DRAWDOWN").observed == 0
    assert trigger(desk, "WEEKLY_DRAWDOWN").observed == Decimal("0.06")
    assert trigger(desk, "TOTAL_DRAWDOWN").observed == Decimal("0.06")
    desk.assert_replays()


@pytest.mark.parametrize("wrong", ["WEEKLY", "TOTAL"])
def test_naming_what_does_not_stand_is_invalid(wrong: str) -> None:
    """INVALID_ARGUMENT, and nothing changes (S9)."""
    desk = Desk(equity=100_000)
    desk.account(equity=94_000)
    with pytest.raises(CallRefused, match=f"{wrong} does not stand") as caught:
        desk.reset_breaker("DAILY", wrong)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert causes(desk) == ["DAILY_DRAWDOWN"]


def test_a_retrip_is_no_death_latch() -> None:
    """After a rebase the same equity trips nothing, and 5 % below it does [* Lean, kumo] (S9)."""
    desk = Desk(equity=100_000)
    desk.account(equity=80_000)
    desk.reset_breaker("DAILY", "WEEKLY", "TOTAL")
    desk.account(equity=80_000)
    desk.account(equity="76000.01")
    assert causes(desk) == []
    desk.account(equity=76_000)
    assert causes(desk) == ["DAILY_DRAWDOWN"]
    desk.reset_breaker("DAILY")
    assert causes(desk) == []
    desk.assert_replays()


def test_a_drawdown_that_recovered_needs_no_rebase() -> None:
    """What no longer stands is not in the way (S9)."""
    desk = Desk(equity=100_000)
    desk.account(equity=94_000)
    desk.account(equity="95000.01")
    assert desk.reset_breaker().changed


def test_a_drawdown_that_stands_beside_another_cause_is_in_the_way() -> None:
    """The condition counts, not what opened the breaker (S9)."""
    desk = Desk(equity=100_000)
    for _ in range(3):
        api_error(desk)
    desk.account(equity=95_000)
    assert refuse_reset(desk).endswith("--rebase daily")


@pytest.mark.parametrize("equity", [0, -1])
def test_no_reset_succeeds_while_equity_is_not_positive(equity: int) -> None:
    """Equity <= 0 trips as TOTAL_DRAWDOWN and holds (S9)."""
    desk = Desk(equity=100)
    desk.account(equity=equity)
    assert "TOTAL_DRAWDOWN" in causes(desk)
    assert "equity" in refuse_reset(desk, "DAILY", "WEEKLY", "TOTAL")
    desk.account(equity=50)
    assert desk.reset_breaker("DAILY", "WEEKLY", "TOTAL").changed


def test_a_loss_between_decision_and_effect_trips_the_closed_breaker_again() -> None:
    """A reset clears what was; a drawdown that comes after it opens anew under a new epoch (S9)."""
    desk = Desk(equity=100_000)
    desk.account(equity=95_000)
    epoch = desk.state.stop_epoch
    desk.reset_breaker("DAILY")
    desk.account(equity=90_000)
    assert causes(desk) == ["DAILY_DRAWDOWN", "WEEKLY_DRAWDOWN"]
    assert desk.state.stop_epoch == epoch + 1


def test_a_reset_is_journalled_with_its_person_and_reason() -> None:
    """Who and why (S13, S9)."""
    desk = Desk()
    for _ in range(3):
        api_error(desk)
    desk.reset_breaker()
    assert desk.events == [BreakerReset(reset_by="ann", reason="over", rebase=())]


def test_restart_keeps_the_breaker_open_with_its_causes() -> None:
    """The latch is part of the fold (S3)."""
    desk = Desk(equity=100_000)
    desk.account(equity=94_000)
    for _ in range(2):
        api_error(desk)
    desk.restart(from_snapshot=True)
    assert causes(desk) == ["DAILY_DRAWDOWN"]
    api_error(desk)
    assert causes(desk) == ["DAILY_DRAWDOWN", "API_ERRORS"]
