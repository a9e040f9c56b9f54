"""What a listing, a recovery's end and an accepted clock leave behind (S8.2, S12.4, S2.2)."""

from decimal import Decimal

import pytest

from sidecar.core import engine
from sidecar.core.answers import RecoveryState, TradingMode
from sidecar.core.commands import AcceptClock, AcceptRecovery, Drawdown
from sidecar.core.denial import CallRefused
from sidecar.core.kill_switch import EPOCHS_UNWRITTEN_MAX
from sidecar.core.state import to_plain
from sidecar.core.thresholds import AccountRules, CircuitBreakerThresholds
from tests.core.harness import NOON, SECOND, Desk, codes
from tests.core.readings import causes, equity_of, exact_drawdown, status
from tests.core.snapshots import desk_with_mark, listed, position, snapshot

# -- open orders -----------------------------------------------------------------------------------


def test_a_listed_orders_remaining_and_filled_replace_ours() -> None:
    """With the difference shown as drift (S8.2)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    answer = snapshot(desk, orders=(listed(order_id, 8, 1),))
    record = desk.record(order_id)
    assert [record.remaining, record.filled] == [8, 1]
    assert desk.book().buy_notional == 800
    assert [(d.kind, d.order_id, d.ours, d.theirs) for d in answer.drift] == [
        ("ORDER_QUANTITY", order_id, Decimal(10), Decimal(8))
    ]


def test_a_missing_reservation_that_nobody_reported_and_is_valid_is_kept() -> None:
    """It may be on its way to the venue (S8.2)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    snapshot(desk, orders=())
    assert desk.record(order_id).is_open
    assert desk.book().buy_quantity == 10


def test_a_missing_reservation_reported_by_then_is_released() -> None:
    """Something had been reported about it at `as_of_sequence` (S8.2)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    desk.report("ACCEPTED", order_id)
    answer = snapshot(desk, orders=())
    assert not desk.record(order_id).is_open
    assert [(d.kind, d.ours) for d in answer.drift] == [("ORDER_MISSING", Decimal(10))]
    desk.assert_replays()


def test_a_missing_reservation_reported_only_after_the_snapshot_is_kept() -> None:
    """At `as_of_sequence` nothing had been reported, so the venue may not have had it (S8.2)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    as_of = desk.sequence
    desk.report("ACCEPTED", order_id)
    snapshot(desk, orders=(), as_of=as_of)
    assert desk.record(order_id).is_open


@pytest.mark.parametrize(("seconds", "is_kept"), [(10, True), (69.999, True), (70, False)])
def test_a_missing_reservation_whose_approval_had_expired_is_released(
    seconds: float, is_kept: bool
) -> None:
    """It was to be sent before `expires_at`, on a clock that may be a minute behind (S8.2, S15)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    desk.advance(seconds)
    desk.mark(Y=1)
    snapshot(desk, orders=())
    assert desk.record(order_id).is_open is is_kept


def test_a_missing_reservation_that_expired_after_the_snapshot_is_kept() -> None:
    """At record `as_of_sequence` it was still good: it may have been sent since (S8.2)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    as_of = desk.sequence
    desk.advance(60)
    snapshot(desk, orders=(), as_of=as_of)
    assert desk.record(order_id).is_open


def test_a_renewed_approval_is_young_again() -> None:
    """Its earlier expiry releases nothing that was asked anew (S8.2, S4.1)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    desk.advance(20)
    desk.mark(Y=1)
    desk.approve("BUY", 10, 100, order_id=order_id)
    snapshot(desk, orders=())
    assert desk.record(order_id).is_open


@pytest.mark.parametrize(("side", "notional"), [("BUY", 500), ("SELL", 500)])
def test_an_unknown_listed_order_is_reserved_and_flagged(side: str, notional: int) -> None:
    """At the higher of its limit and the mark, and counted as unsolicited (S8.2)."""
    desk = desk_with_mark()
    answer = snapshot(desk, orders=(listed("theirs", 5, 1, 90, side),))
    book = desk.book()
    assert (book.buy_notional if side == "BUY" else book.sell_notional) == notional
    assert [d.kind for d in answer.drift] == ["ORDER_UNKNOWN"]
    assert status(desk).orders.unsolicited_count == 1
    decision = desk.check("BUY", 1, 100, order_id="theirs")
    assert not decision.is_approved
    desk.report("CANCELED", "theirs", side=side)
    assert desk.book().exposure == 0
    desk.assert_replays()


def test_an_order_terminal_here_stays_terminal() -> None:
    """A listing older than the end of the order brings nothing back (S8.2)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    desk.report("CANCELED", order_id)
    answer = snapshot(desk, orders=(listed(order_id, 10),))
    assert not desk.record(order_id).is_open
    assert desk.book().buy_quantity == 0
    assert answer.drift == ()


def test_open_orders_not_said_to_be_complete_change_nothing() -> None:
    """Neither a listed nor a missing one (S8.2)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    desk.report("ACCEPTED", order_id)
    desk.account(open_orders=[listed("other", 3)], is_complete=False)
    assert desk.book().buy_quantity == 10
    assert "other" not in desk.state.orders


# -- the end of a recovery -------------------------------------------------------------------------


def recover(desk: Desk, *, denies_reducing: bool = False) -> None:
    """Start after a reboot: what was approved may be forgotten."""
    desk.turn(
        lambda state, conditions: engine.start_recovery(
            state,
            conditions,
            recovery=RecoveryState.RECONCILE,
            detail="the machine went down",
            way_out="report the account",
            denies_reducing=denies_reducing,
        )
    )


def test_a_reconcile_denies_what_does_not_reduce_until_a_complete_report() -> None:
    """REDUCE_ONLY until ReportAccount reconciles (S12.4, S4.2)."""
    desk = desk_with_mark()
    desk.hold(5, 100)
    recover(desk)
    assert status(desk).mode is TradingMode.REDUCE_ONLY
    assert codes(desk.check("BUY", 1, 100)) == ["RECOVERY_RECONCILE_REQUIRED"]
    assert desk.check("SELL", 1, 100).is_approved
    snapshot(desk, position(5), orders=())
    assert status(desk).recovery.state is RecoveryState.RECOVERED
    assert status(desk).mode is TradingMode.NORMAL
    assert desk.check("BUY", 1, 100).is_approved
    desk.assert_replays()


@pytest.mark.parametrize("part", ["positions", "orders", "old"])
def test_a_report_that_is_not_whole_or_not_new_reconciles_nothing(part: str) -> None:
    """It must hold positions and open orders, and be asked for after the start (S12.4)."""
    desk = desk_with_mark()
    as_of = desk.sequence
    recover(desk)
    if part == "positions":
        snapshot(desk)
    elif part == "orders":
        desk.account(open_orders=[], as_of_sequence=desk.sequence)
    else:
        snapshot(desk, orders=(), as_of=as_of)
    assert codes(desk.check("BUY", 1, 100)) == ["RECOVERY_RECONCILE_REQUIRED"]


def test_a_report_that_skips_a_book_reconciles_nothing() -> None:
    """What may be forgotten in a book that moved meanwhile is still to be found (S12.4, S8.2)."""
    desk = desk_with_mark()
    desk.hold(5, 100)
    recover(desk)
    as_of = desk.sequence
    desk.approve("SELL", 1, 100)
    snapshot(desk, position(5), orders=(), as_of=as_of)
    assert codes(desk.check("BUY", 1, 100)) == ["RECOVERY_RECONCILE_REQUIRED"]
    snapshot(desk, position(5), orders=())
    assert status(desk).recovery.state is RecoveryState.RECOVERED
    desk.assert_replays()


def test_after_a_poisoned_store_exits_too_wait_for_the_report() -> None:
    """One approved from memory may have been forgotten (S12.4)."""
    desk = desk_with_mark()
    desk.hold(5, 100)
    recover(desk, denies_reducing=True)
    assert codes(desk.check("SELL", 1, 100)) == ["RECOVERY_RECONCILE_REQUIRED"]
    assert status(desk).mode is TradingMode.HALTED
    desk.run(AcceptRecovery(accepted_by="ann", reason="looked"))
    assert desk.check("SELL", 1, 100).is_approved
    desk.assert_replays()


def test_a_recovery_moves_the_stop_epoch() -> None:
    """Every stop bumps it, so that no approval from before is sent (S4.6, S12.4)."""
    desk = desk_with_mark()
    epoch = desk.state.stop_epoch
    recover(desk)
    assert desk.state.stop_epoch == epoch + EPOCHS_UNWRITTEN_MAX


def test_a_damaged_journal_cannot_be_accepted() -> None:
    """It is repaired or replaced, not waved through (S12.4)."""
    desk = desk_with_mark()
    desk.conditions.damage = "damage at byte 512"
    with pytest.raises(CallRefused, match="damage at byte 512"):
        desk.run(AcceptRecovery(accepted_by="ann", reason="hope"))


# -- an accepted clock -----------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [-3600, 3600, -10 * 86_400, 10 * 86_400])
def test_an_accepted_clock_keeps_windows_anchors_and_latches(shift: int) -> None:
    """Windows, anchors and latches stay (S2.2)."""
    desk = Desk(equity=100_000, marks={"X": 100})
    desk.account(equity=97_000)
    desk.kill(scope_kind="STRATEGY", scope_name="other")
    order_id = desk.approve("BUY", 1, 100)
    desk.api_error()
    desk.advance(30)
    desk.api_error()
    before = status(desk)
    desk.run(AcceptClock(accepted_by="ann", reason="ntp", wall=desk.now + shift * SECOND))
    desk.now += shift * SECOND
    after = status(desk)
    assert after.activations == before.activations
    assert after.breaker.triggers == before.breaker.triggers
    assert exact_drawdown(desk.state, Drawdown.DAILY) * 100 == 3
    assert after.account.marks == before.account.marks
    assert desk.record(order_id).is_open
    desk.advance(29.9)
    desk.api_error()
    assert causes(desk) == ["API_ERRORS"]
    desk.assert_replays()


def test_a_window_slides_on_after_an_accepted_clock() -> None:
    """What was 30 s old stays 30 s old, and leaves the window in time (S2.2, S2.4)."""
    desk = Desk(equity=100_000)
    desk.api_error()
    desk.api_error()
    desk.advance(30)
    desk.run(AcceptClock(accepted_by="ann", reason="ntp", wall=NOON - 86_400 * SECOND))
    desk.now = NOON - 86_400 * SECOND
    desk.advance(30)
    desk.api_error()
    assert causes(desk) == []


def test_an_accepted_clock_starts_the_day_of_its_wall() -> None:
    """Days are those of the new clock, and the references are the old ones (S2.2)."""
    desk = Desk(equity=100_000)
    desk.account(equity=97_000)
    day = desk.state.account.day
    desk.run(AcceptClock(accepted_by="ann", reason="ntp", wall=NOON - 3 * 86_400 * SECOND))
    desk.now = NOON - 3 * 86_400 * SECOND
    assert desk.state.account.day != day
    assert exact_drawdown(desk.state, Drawdown.DAILY) * 100 == 3
    desk.advance(43_200)
    desk.tick()
    assert exact_drawdown(desk.state, Drawdown.DAILY) == 0


def test_an_approval_keeps_its_remaining_life_through_an_accepted_clock() -> None:
    """It expires after as long as it had left (S2.2, S4.6)."""
    desk = desk_with_mark()
    order = desk.order("BUY", 1, 100)
    desk.ask(order)
    desk.advance(4)
    desk.run(AcceptClock(accepted_by="ann", reason="ntp", wall=desk.now - 3600 * SECOND))
    desk.now -= 3600 * SECOND
    desk.advance(5.9)
    again = desk.ask(order)
    assert again.replayed
    assert again.valid_for_ns == SECOND // 10


@pytest.mark.parametrize("restarts", [False, True])
def test_a_good_till_time_is_the_venues_and_does_not_move(restarts: bool) -> None:
    """What it releases, it releases at the same instant with and without a restart (S7.5, S3)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 1, 100, good_till=NOON + 20 * SECOND)
    shift = 5_000 * SECOND
    desk.run(AcceptClock(accepted_by="ann", reason="ntp", wall=desk.now + shift))
    desk.now += shift
    if restarts:
        desk.restart(from_snapshot=True)
    desk.advance(69.999)  # ten seconds until the approval has expired, and sixty of grace
    desk.tick()
    assert desk.record(order_id).is_open
    desk.advance(0.001)
    desk.tick()
    assert not desk.record(order_id).is_open


def test_a_noted_clock_jump_is_shown_until_it_is_accepted() -> None:
    """Journalled CLOCK_JUMP and shown; an operator re-bases (S2.2)."""
    desk = desk_with_mark()
    desk.turn(lambda state, conditions: engine.note_clock_jump(state, -90 * SECOND, conditions))
    assert status(desk).clock_jump_ns == -90 * SECOND
    desk.run(AcceptClock(accepted_by="ann", reason="ntp", wall=desk.now - 90 * SECOND))
    assert status(desk).clock_jump_ns == 0
    desk.now -= 90 * SECOND
    desk.assert_replays()


def test_a_held_equity_and_an_unconfirmed_mark_keep_their_ages() -> None:
    """Their minute and their second go on where they were (S2.2, S6, S8.3)."""
    rules = AccountRules(equity_jump_ratio_max=Decimal("0.1"))
    desk = Desk(equity=100, marks={"X": 10}, account=rules)
    desk.account(equity=200, marks={"X": 90})
    desk.advance(0.5)
    desk.run(AcceptClock(accepted_by="ann", reason="ntp", wall=desk.now + 7200 * SECOND))
    desk.now += 7200 * SECOND
    desk.account(equity=200, marks={"X": 90})
    assert equity_of(desk) == 100
    assert desk.state.symbols["X"].mark == 10
    desk.advance(0.5)
    desk.mark(X=90)
    assert desk.state.symbols["X"].mark == 90
    desk.advance(59)
    desk.account(equity=200)
    assert equity_of(desk) == 200


def test_silence_is_counted_from_the_same_age() -> None:
    """A strategy heard a minute ago was heard a minute ago on the new clock (S2.2, S9)."""
    rules = CircuitBreakerThresholds(bot_silence_ns=300 * SECOND)
    desk = Desk(equity=100_000, marks={"X": 100}, circuit_breaker=rules)
    desk.approve("BUY", 1, 100)
    desk.advance(60)
    desk.run(AcceptClock(accepted_by="ann", reason="ntp", wall=desk.now + 86_400 * SECOND))
    desk.now += 86_400 * SECOND
    desk.advance(239)
    desk.tick()
    assert causes(desk) == []
    desk.advance(1)
    desk.tick()
    assert causes(desk) == ["BOT_SILENT"]


def test_a_report_that_is_refused_leaves_nothing() -> None:
    """A refusal stands before the first event (S8.3)."""
    desk = desk_with_mark()
    before = to_plain(desk.state)
    with pytest.raises(CallRefused):
        snapshot(desk, position(5), orders=(listed("o", 1),), flows={"all": -100_000})
    assert to_plain(desk.state) == before
