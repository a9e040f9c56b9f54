"""What a decision leaves behind: a reservation, windows, memory, and nothing more (S3, S5)."""

from decimal import Decimal

from sidecar.core.thresholds import OrderRules
from tests.core.harness import SECOND, Desk


def test_a_denial_leaves_no_order_and_no_reservation() -> None:
    """Only counters and windows remember a denial (S4.1)."""
    desk = Desk(marks={"X": 100}, order_rules=OrderRules(max_orders_per_window=9))
    assert not desk.check("BUY", 1000, 100).is_approved
    assert desk.state.orders == {}
    assert desk.state.portfolio_exposure == 0
    assert desk.state.decisions_denied == 1
    assert desk.state.rate.times == [desk.now]


def test_an_approval_remembers_what_was_asked_and_at_which_epoch() -> None:
    """Content, price, expiry, epoch and sequence stand in the record (S4.1, S4.6)."""
    desk = Desk(marks={"X": 100})
    desk.kill(scope_kind="SYMBOL", scope_name="Y")
    decision = desk.check("SELL", 2, 90, stop=95, order_id="a", good_till=desk.now + SECOND)
    record = desk.record("a")
    assert record.is_approved
    assert record.is_open
    assert not record.is_reported
    assert (record.order_type, record.side) == ("STOP_LIMIT", "SELL")
    assert [record.quantity, record.limit_price, record.stop_price] == [
        Decimal(2),
        Decimal(90),
        Decimal(95),
    ]
    assert record.price == 100
    assert record.epoch == decision.stop_epoch == 1
    assert record.expires_at == decision.expires_at
    assert record.approved_sequence == decision.sequence
    assert record.good_till == desk.now + SECOND


def test_windows_are_kept_only_where_a_rule_reads_them() -> None:
    """Without a rate or duplicate rule nothing is remembered of orders gone (S5)."""
    desk = Desk(marks={"X": 100})
    for _ in range(20):
        desk.report("CANCELED", desk.approve("BUY", 1, 100))
    assert desk.state.rate.times == []
    assert desk.state.strategies["alpha"].rate.times == []
    assert desk.state.duplicates == {}


def test_the_moment_an_approval_expired_is_remembered_by_sequence() -> None:
    """A later account report asks whether it had certainly expired at a sequence (S8.2)."""
    desk = Desk(marks={"X": 100})
    order_id = desk.approve("BUY", 1, 100)
    desk.advance(69)
    desk.api_error()
    assert desk.record(order_id).expired_sequence is None
    desk.advance(1)
    desk.api_error()
    assert desk.record(order_id).expired_sequence == desk.sequence
    desk.check("BUY", 1, 100, order_id=order_id)
    assert desk.record(order_id).expired_sequence is None, "renewed"
    desk.assert_replays()


def test_decisions_are_counted_as_they_were_answered() -> None:
    """Approvals, replays and denials, a fallen batch as denials (S13)."""
    desk = Desk(marks={"X": 100})
    desk.approve("BUY", 1, 100, order_id="a")
    desk.check("BUY", 1, 100, order_id="a")
    desk.check("BUY", 1000, 100)
    desk.check_batch([desk.order("BUY", 1, 100), desk.order("BUY", 1000, 100)])
    assert (desk.state.decisions_approved, desk.state.decisions_denied) == (2, 3)
