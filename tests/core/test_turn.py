"""One turn: events are applied as found, consequences stand in the same record (S12.1)."""

import pytest

from sidecar.core.answers import RecoveryState, TradingMode
from sidecar.core.calendar import UtcCalendar
from sidecar.core.events import MarkReported, RecoveryEntered
from sidecar.core.judgement import Conditions
from sidecar.core.state import State
from sidecar.core.thresholds import CircuitBreakerThresholds, WhenOpen
from sidecar.core.turn import Turn, short_status, trading_mode
from tests.core.harness import Desk


def test_a_consequence_stands_in_the_record_of_its_cause() -> None:
    """The third API error and the trip it causes are one record (S9, S12.1)."""
    desk = Desk()
    for _ in range(2):
        desk.api_error()
    answer = desk.api_error()
    names = [type(event).__name__ for event in desk.events]
    assert names[:2] == ["ApiErrorReported", "BreakerOpened"]
    assert answer.status.is_breaker_open
    assert answer.status.mode is TradingMode.REDUCE_ONLY
    assert answer.status.stop_epoch == 1
    assert answer.sequence == desk.sequence


def test_an_event_that_fails_half_way_does_not_look_as_if_nothing_happened() -> None:
    """Kept before it is applied: a turn with events is never taken for an untouched one."""
    turn = Turn(state=State(), now=0, conditions=Conditions())
    with pytest.raises(TypeError):
        turn.emit(MarkReported(symbol="X", price=None))  # type: ignore[arg-type]  # fails half-way
    assert "X" in turn.state.symbols
    assert turn.events


def test_the_mode_is_what_all_layers_together_allow() -> None:
    """HALTED before REDUCE_ONLY before NORMAL; a scoped kill stands beside it (S10.1)."""
    desk = Desk()
    assert trading_mode(desk.state) is TradingMode.NORMAL
    desk.kill(scope_kind="SYMBOL", scope_name="X")
    assert trading_mode(desk.state) is TradingMode.NORMAL
    desk.kill("REDUCE_ONLY")
    assert trading_mode(desk.state) is TradingMode.REDUCE_ONLY
    desk.kill("HALT")
    assert short_status(desk.state).mode is TradingMode.HALTED
    desk.reset_kill()
    assert trading_mode(desk.state) is TradingMode.NORMAL


@pytest.mark.parametrize(
    ("when_open", "mode"),
    [(WhenOpen.REDUCE_ONLY, TradingMode.REDUCE_ONLY), (WhenOpen.BLOCK_ALL, TradingMode.HALTED)],
)
def test_an_open_breaker_reduces_or_halts_as_configured(
    when_open: WhenOpen, mode: TradingMode
) -> None:
    """`when_open` says what an OPEN breaker leaves (S4.4)."""
    desk = Desk(circuit_breaker=CircuitBreakerThresholds(when_open=when_open))
    for _ in range(3):
        desk.api_error()
    assert trading_mode(desk.state) is mode


@pytest.mark.parametrize("denies_reducing", [False, True])
def test_a_recovery_reduces_or_halts(denies_reducing: bool) -> None:
    """A recovery that asks for a reconciliation shows in the mode (S12.4)."""
    desk = Desk()
    desk.record_events(
        RecoveryEntered(
            recovery=RecoveryState.RECONCILE,
            detail="",
            way_out="report the account",
            denies_reducing=denies_reducing,
        )
    )
    expected = TradingMode.HALTED if denies_reducing else TradingMode.REDUCE_ONLY
    assert trading_mode(desk.state) is expected


def test_what_is_wrong_below_shows_in_the_mode() -> None:
    """A refusing store leaves exits, damage leaves nothing (S4.2)."""
    state = Desk().state
    refusing = Conditions(store_problem="the disk refused", calendar=UtcCalendar())
    assert trading_mode(state, refusing) is TradingMode.REDUCE_ONLY
    assert trading_mode(state, Conditions(damage="record 7")) is TradingMode.HALTED
