"""Cases that cross the modules, each named for what somebody tried (the issue, S1 to S12)."""

from sidecar.core.thresholds import SECOND_NS, ApprovalRules
from tests.core.harness import NOON, Desk


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
