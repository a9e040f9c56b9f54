"""The fold: small events change exactly what they say (S3)."""

import pytest

from sidecar.core.answers import RecoveryState
from sidecar.core.apply import apply_event
from sidecar.core.events import (
    ClockJumped,
    OrderApprovalRepeated,
    PositionsAssumedFlat,
    RecoveryEnded,
    RecoveryEntered,
)
from sidecar.core.kill_switch import EPOCHS_UNWRITTEN_MAX
from sidecar.core.state import State
from tests.core.harness import SECOND, Desk


def test_what_is_no_event_is_an_error() -> None:
    """Applying something without a row raises: nothing is skipped in silence (S3)."""
    with pytest.raises(KeyError):
        apply_event(State(), "something")  # type: ignore[arg-type]  # that is what is refused


def test_a_repeated_approval_is_a_sign_of_life_and_a_decision() -> None:
    """It reserves nothing; the strategy was heard (S4.1, S9)."""
    desk = Desk(marks={"X": 100})
    order_id = desk.approve("BUY", 1, 100)
    desk.advance(5)
    desk.record_events(OrderApprovalRepeated(order_id=order_id, strategy="alpha"))
    assert desk.state.decisions_approved == 2
    assert desk.state.strategies["alpha"].heard_at == desk.now
    assert desk.book().buy_quantity == 1


def test_a_recovery_that_asks_for_something_stops_and_its_end_starts() -> None:
    """Entering one with a way out moves the stop epoch; its end lets trade (S12.4).

    It goes beyond every epoch that left no record: exits may have been approved under them.
    """
    desk = Desk(marks={"X": 100})
    desk.record_events(
        RecoveryEntered(
            recovery=RecoveryState.RECONCILE,
            detail="the machine was restarted",
            way_out="report the account",
            denies_reducing=True,
        )
    )
    assert desk.state.stop_epoch == EPOCHS_UNWRITTEN_MAX
    assert not desk.check("BUY", 1, 100).is_approved
    desk.record_events(RecoveryEnded(by="ann", reason="counted"))
    assert desk.state.stop_epoch == EPOCHS_UNWRITTEN_MAX
    assert desk.state.recovery.denies_reducing is False
    assert desk.state.recovery.state is RecoveryState.RECOVERED
    assert desk.state.recovery.detail == "the machine was restarted; ended by ann: counted"
    assert desk.check("BUY", 1, 100).is_approved
    desk.assert_replays()


def test_a_recovery_without_a_way_out_stops_nothing() -> None:
    """A crash of the process alone lost nothing: trading goes on (S12.4)."""
    desk = Desk(marks={"X": 100})
    desk.record_events(
        RecoveryEntered(
            recovery=RecoveryState.RECOVERED, detail="", way_out="", denies_reducing=False
        )
    )
    assert desk.state.stop_epoch == 0
    assert desk.check("BUY", 1, 100).is_approved


def test_a_jump_forward_makes_approvals_worthless() -> None:
    """To us they are expired, to those who hold them valid: the epoch says no (S2.2, S15).

    A report after it may release what is not listed, because nobody may send it any more.
    """
    desk = Desk(marks={"X": 100})
    order_id = desk.approve("BUY", 1, 100)
    epoch = desk.record(order_id).epoch
    desk.record_events(ClockJumped(jump_ns=3_600 * SECOND))
    assert desk.state.stop_epoch == epoch + 1
    desk.record_events(ClockJumped(jump_ns=-3_600 * SECOND))
    assert desk.state.stop_epoch == epoch + 1, "behind us nothing expires early"
    desk.assert_replays()


def test_jumps_of_the_clock_add_up_and_a_word_of_a_person_confirms_positions() -> None:
    """CLOCK_JUMP is shown until accepted; --assume-flat confirms positions (S2.2, S8.2)."""
    desk = Desk()
    desk.record_events(ClockJumped(jump_ns=70), ClockJumped(jump_ns=-10), PositionsAssumedFlat())
    assert desk.state.clock_jump_ns == 60
    assert desk.state.account.positions_confirmed
    desk.assert_replays()
