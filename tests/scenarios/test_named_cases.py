"""Cases that cross the modules, each named for what somebody tried (the issue, S1 to S12)."""

import pytest

from sidecar.core.denial import DenialCode
from sidecar.core.thresholds import SECOND_NS, ApprovalRules
from tests.core.harness import NOON, Desk, codes


def test_an_order_whose_good_till_has_passed_holds_its_room_while_it_may_be_sent() -> None:
    """No time given by a bot frees room before its approval has expired (S7.1, S7.5).

    Each of twelve orders carried a good_till in the past: each was approved, released by the next
    tick, and the next one was approved into the same room, all of them still to be sent.
    """
    desk = Desk()
    desk.account(equity=100_000)
    first = desk.check("BUY", 300, 100, good_till=1_000)
    assert first.is_approved
    assert first.expires_at is not None
    desk.advance(1)
    desk.tick()
    assert not desk.check("BUY", 300, 100, good_till=1_000).is_approved
    desk.now = first.expires_at + 60 * SECOND_NS - 1
    assert not desk.check("BUY", 300, 100).is_approved
    desk.now += 1
    assert desk.check("BUY", 300, 100).is_approved
    desk.assert_replays()


def test_no_silence_frees_room_before_its_approval_has_expired() -> None:
    """`release_unreported_after` shorter than an approval lives waits for its end (S7.5)."""
    desk = Desk(approvals=ApprovalRules(release_unreported_after_ns=SECOND_NS))
    desk.account(equity=100_000)
    desk.approve("BUY", 300, 100)
    desk.now = NOON + 10 * SECOND_NS - 1
    assert not desk.check("BUY", 300, 100).is_approved
    desk.now += 1
    assert desk.check("BUY", 300, 100).is_approved


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_a_market_order_without_a_mark_is_denied_and_reserves_nothing(side: str) -> None:
    """Without a price there is no exposure to judge: MARK_UNAVAILABLE, never a guess (S6)."""
    desk = Desk()
    decision = desk.check(side, 1)
    assert codes(decision) == [DenialCode.MARK_UNAVAILABLE]
    assert decision.approvable_quantity == 0
    assert not desk.state.open_orders
    desk.mark(X=100)
    assert desk.check(side, 1).is_approved


def test_a_symbol_nobody_has_seen_is_judged_like_any_other() -> None:
    """An unknown symbol has no mark: only a buy limit has a price, and limits hold for it (S6)."""
    desk = Desk()
    assert desk.check("BUY", 300, 100, symbol="NEVER.SEEN").is_approved
    assert codes(desk.check("BUY", 1, 100, symbol="NEVER.SEEN")) == [DenialCode.SYMBOL_EXPOSURE]
    assert codes(desk.check("SELL", 1, 100, symbol="NOR.THIS")) == [DenialCode.MARK_UNAVAILABLE]
    assert not desk.check("SELL", 1, 100, symbol="NOR.THIS").is_approved
    desk.assert_replays()


def test_two_full_closes_do_not_both_pass() -> None:
    """The second close of a position whose close works already would open a short (S4.5)."""
    desk = Desk(marks={"X": 100})
    desk.hold(100, 100)
    desk.kill("REDUCE_ONLY")
    assert desk.check("SELL", 100, 100).is_approved
    second = desk.check("SELL", 100, 100)
    assert codes(second) == [DenialCode.KILL_SWITCH_REDUCE_ONLY]
    assert second.approvable_quantity == 0


def test_no_quiet_message_ends_a_halt_or_closes_a_breaker() -> None:
    """Good news is no reset: fills, marks, equity, days and restarts leave both latches (S1.1)."""
    desk = Desk(marks={"X": 100})
    desk.hold(100, 100)
    for _ in range(3):
        desk.api_error()
    desk.kill()
    for equity in (100_000, 150_000):
        desk.account(equity=equity, marks={"X": 101})
        desk.report("ACCEPTED", desk.new_id("quiet"))
        desk.advance(8 * 86_400)
        desk.tick()
        desk.restart()
        assert desk.state.breaker.is_open
        assert "ALL" in desk.state.activations
        assert codes(desk.check("SELL", 1, 100)) == [DenialCode.KILL_SWITCH_HALT]
