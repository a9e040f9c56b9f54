"""Ids seen before, renewals, dry runs and batches (S4.1, S4.6, S4.8)."""

from decimal import Decimal

import pytest

from sidecar.core.checks import find_batch_faults
from sidecar.core.commands import CheckOrder
from sidecar.core.denial import CallRefused, ErrorCode, Layer
from sidecar.core.state import to_plain
from sidecar.core.thresholds import ApprovalRules, OrderRules
from tests.core.harness import SECOND, Desk, codes


def desk_with_mark(**rules: object) -> Desk:
    """Return a desk with a mark of 100 in X."""
    return Desk(marks={"X": 100}, **rules)  # type: ignore[arg-type]  # the sections are the desk's


# -- the id -------------------------------------------------------------------------------------

OTHER_CONTENT = [
    ({"strategy": "beta"}, "strategy"),
    ({"symbol": "Y"}, "symbol"),
    ({"side": "SELL"}, "side"),
    ({"quantity": 2}, "quantity"),
    ({"price": 101}, "limit_price"),
    ({"replaces": "other"}, "replaces_order_id"),
    ({"stop": 100, "order_type": "STOP_LIMIT"}, "order_type"),
]


@pytest.mark.parametrize(("changed", "field"), OTHER_CONTENT, ids=[f for _, f in OTHER_CONTENT])
def test_other_content_under_an_approved_id_already_exists(
    changed: dict[str, object], field: str
) -> None:
    """Each field of the content names itself; nothing is reserved or journalled (S4.1)."""
    desk = desk_with_mark()
    desk.approve("BUY", 1, 100, order_id="a")
    before, length = to_plain(desk.state), len(desk.journal)
    arguments: dict[str, object] = {"side": "BUY", "quantity": 1, "price": 100} | changed
    with pytest.raises(CallRefused) as refused:
        desk.check(**arguments, order_id="a")
    assert refused.value.code is ErrorCode.ALREADY_EXISTS
    assert field in [fault.field for fault in refused.value.field_faults]
    assert to_plain(desk.state) == before
    assert len(desk.journal) == length


def test_what_is_not_content_may_differ() -> None:
    """good_till, group, reference and the wish to reduce are no content (S4.1)."""
    desk = desk_with_mark()
    desk.approve("BUY", 1, 100, order_id="a")
    again = desk.order(
        "BUY", "1.000", "100.0", order_id="a", reference=99, group="g", good_till=desk.now + SECOND
    )
    again.reduce_only = True
    assert desk.ask(again).replayed


def test_an_earlier_denial_is_never_replayed() -> None:
    """The order is judged anew, even with other content (S4.1)."""
    desk = desk_with_mark()
    assert not desk.check("BUY", 301, 100, order_id="a").is_approved
    decision = desk.check("BUY", 1, 100, order_id="a")
    assert decision.is_approved
    assert not decision.replayed


def test_a_valid_approval_is_repeated_without_a_second_reservation() -> None:
    """Replayed: same `expires_at`, no second reservation, time left counts down (S4.1)."""
    desk = desk_with_mark()
    first = desk.check("BUY", 200, 100, order_id="a")
    assert first.valid_for_ns == 10 * SECOND
    desk.advance(4)
    again = desk.check("BUY", 200, 100, order_id="a")
    assert again.is_approved
    assert again.replayed
    assert again.expires_at == first.expires_at
    assert again.valid_for_ns == 6 * SECOND
    assert desk.book().buy_quantity == 200
    assert again.approvable_quantity == first.approvable_quantity
    desk.assert_replays()


def test_an_approval_ends_at_the_very_instant_it_expires() -> None:
    """To be sent before `expires_at` and never after: at it, the order is judged anew (S4.6)."""
    desk = desk_with_mark(approvals=ApprovalRules(valid_ns=10 * SECOND))
    first = desk.check("BUY", 1, 100, order_id="a")
    desk.now = (first.expires_at or 0) - 1
    assert desk.check("BUY", 1, 100, order_id="a").expires_at == first.expires_at
    desk.now = first.expires_at or 0
    renewed = desk.check("BUY", 1, 100, order_id="a")
    assert renewed.replayed
    assert renewed.expires_at == desk.now + 10 * SECOND
    assert desk.book().buy_quantity == 1


def test_a_renewal_sets_its_own_reservation_aside() -> None:
    """At the limit with its own reservation, an expired approval is renewed once (S4.1)."""
    desk = desk_with_mark()
    desk.approve("BUY", 300, 100, order_id="a")
    desk.advance(11)
    again = desk.check("BUY", 300, 100, order_id="a")
    assert again.is_approved
    assert again.replayed
    assert desk.state.symbols["X"].exposure == 30_000
    assert again.approvable_quantity == 300


def test_a_renewal_denied_keeps_the_reservation_and_says_so() -> None:
    """Judged anew and denied: the reservation stays, APPROVAL_NO_LONGER_VALID is added (S4.1)."""
    desk = desk_with_mark()
    desk.approve("BUY", 300, 100, order_id="a")
    desk.kill()
    denied = desk.check("BUY", 300, 100, order_id="a")
    assert codes(denied) == ["KILL_SWITCH_HALT", "APPROVAL_NO_LONGER_VALID"]
    assert denied.layer is Layer.KILL_SWITCH
    assert not denied.replayed
    assert desk.book().buy_quantity == 300
    desk.reset_kill()
    assert desk.check("BUY", 300, 100, order_id="a").replayed, "the epoch of the kill has passed"


def test_an_approval_of_an_older_epoch_is_not_repeated() -> None:
    """A stop in between makes the approval void even if it was reset at once (S4.1)."""
    desk = desk_with_mark()
    first = desk.check("BUY", 1, 100, order_id="a")
    desk.kill()
    desk.reset_kill()
    desk.advance(1)
    again = desk.check("BUY", 1, 100, order_id="a")
    assert again.stop_epoch == first.stop_epoch + 1
    assert again.expires_at != first.expires_at


def test_an_exit_approved_then_overtaken_by_a_trip_is_approved_again() -> None:
    """An exit must not be trapped by its own dead approval: its own 10 are set aside (S4.1)."""
    desk = desk_with_mark()
    desk.hold(10, 100)
    desk.approve("SELL", 10, 100, order_id="exit")
    for _ in range(3):
        desk.api_error()
    assert desk.state.breaker.is_open
    again = desk.check("SELL", 10, 100, order_id="exit")
    assert again.is_approved
    assert again.replayed
    assert desk.book().sell_quantity == 10
    desk.kill("REDUCE_ONLY")
    assert desk.check("SELL", 10, 100, order_id="exit").is_approved
    assert not desk.check("SELL", 10, 100, order_id="another").is_approved
    desk.assert_replays()


@pytest.mark.parametrize("kind", ["ACCEPTED", "CANCELED", "REJECTED", "FAILED", "REPLACED"])
def test_an_id_that_a_report_named_is_never_approved_again(kind: str) -> None:
    """ORDER_ALREADY_REPORTED, layer POSITION_LIMITS, approvable 0, approved or not (S4.1)."""
    desk = desk_with_mark()
    desk.approve("BUY", 1, 100, order_id="a")
    for order_id in ("a", "never asked"):
        desk.report(kind, order_id)
        decision = desk.check("BUY", 1, 100, order_id=order_id)
        assert codes(decision) == ["ORDER_ALREADY_REPORTED"]
        assert decision.layer is Layer.POSITION_LIMITS
        assert decision.approvable_quantity == 0
        assert not decision.replayed
    desk.kill()
    assert codes(desk.check("BUY", 1, 100, order_id="a")) == ["ORDER_ALREADY_REPORTED"]


def test_a_released_order_nobody_reported_on_may_be_asked_again() -> None:
    """Nothing was reported: judged anew, one reservation again (S4.1, S7.5)."""
    desk = desk_with_mark()
    desk.approve("BUY", 300, 100, order_id="a")
    desk.release("a")
    assert desk.book().buy_quantity == 0
    again = desk.check("BUY", 300, 100, order_id="a")
    assert again.is_approved
    assert again.replayed, "it may be at the venue already"
    assert desk.book().buy_quantity == 300
    desk.assert_replays()


def test_an_order_cannot_replace_itself() -> None:
    """`replaces_order_id` names another order: itself is INVALID_ARGUMENT (S4.10)."""
    desk = desk_with_mark()
    with pytest.raises(CallRefused) as refused:
        desk.check("BUY", 1, 100, order_id="a", replaces="a")
    assert refused.value.code is ErrorCode.INVALID_ARGUMENT
    assert [fault.field for fault in refused.value.field_faults] == ["replaces_order_id"]


# -- dry runs -----------------------------------------------------------------------------------


def test_a_dry_run_gives_the_full_answer_and_leaves_nothing() -> None:
    """It reserves nothing, is not journalled, counts for nothing, reads no ids (S4.1, S4.8)."""
    rules = OrderRules(max_orders_per_window=2, duplicate_window_ns=60 * SECOND)
    desk = desk_with_mark(order_rules=rules)
    desk.approve("BUY", 1, 100, order_id="a")
    before, length = to_plain(desk.state), len(desk.journal)
    for _ in range(5):
        decision = desk.check("BUY", 2, 99, order_id="a", dry_run=True)
        assert decision.is_approved
        assert not decision.replayed
        assert (decision.sequence, decision.expires_at, decision.valid_for_ns) == (0, None, 0)
        assert decision.approvable_quantity == 299
        assert codes(desk.check("BUY", 1, 100, dry_run=True)) == ["DUPLICATE_ORDER"]
    assert to_plain(desk.state) == before
    assert len(desk.journal) == length
    assert desk.check("BUY", 2, 99, order_id="b").is_approved


def test_every_decision_is_one_record_and_carries_its_sequence() -> None:
    """Approvals, denials and replays are journalled under the sequence they answer with (S4.6)."""
    desk = desk_with_mark()
    for arguments in ((1, "a"), (1, "a"), (1000, "b")):
        decision = desk.check("BUY", arguments[0], 100, order_id=arguments[1])
        assert decision.sequence == len(desk.journal)
    assert [type(event).__name__ for event in desk.events] == ["OrderDenied"]


# -- batches ------------------------------------------------------------------------------------


def batch(desk: Desk, *quantities: int) -> list[CheckOrder]:
    """Return buy orders b0, b1, ... of these quantities."""
    return [desk.order("BUY", q, 100, order_id=f"b{at}") for at, q in enumerate(quantities)]


def test_each_order_of_a_batch_sees_the_reservations_before_it() -> None:
    """300 fit: 200 and 100 pass together; 200 and 101 do not (CheckOrders)."""
    desk = desk_with_mark()
    results = desk.check_batch(batch(desk, 200, 100))
    assert [r.decision.is_approved for r in results if r.decision] == [True, True]
    assert desk.book().buy_quantity == 300
    desk.assert_replays()


def test_all_or_none_reserves_nothing_where_one_is_denied() -> None:
    """The batch falls together: no reservation, no id, no daily notional is left (CheckOrders)."""
    desk = desk_with_mark()
    results = desk.check_batch(batch(desk, 200, 101, 1))
    assert [r.decision.is_approved for r in results if r.decision] == [False, False, False]
    assert [codes(r.decision) for r in results if r.decision][1] == ["SYMBOL_EXPOSURE"]
    assert desk.book().buy_quantity == 0
    assert desk.state.open_orders == {}
    assert desk.state.decisions_approved == 0
    for at, quantity in enumerate((200, 101, 1)):
        assert f"b{at}" not in desk.state.orders
        assert desk.check("BUY", quantity, 100, order_id=f"b{at}", dry_run=True).is_approved
    desk.assert_replays()
    assert desk.check("BUY", 200, 100, order_id="b0").replayed is False


def test_a_batch_that_falls_gives_back_its_daily_notional() -> None:
    """Withdrawn approvals were never given out: the day's notional is as before (S5)."""
    desk = desk_with_mark(order_rules=OrderRules(max_daily_notional=1000))  # type: ignore[arg-type]  # an int compares the same
    desk.check_batch(batch(desk, 5, 6))
    assert desk.state.account.daily_notional == 0
    assert desk.check("BUY", 10, 100).is_approved


def test_a_fallen_batch_answers_every_order_with_a_denial_and_gives_no_approval_later() -> None:
    """A renewal inside a fallen batch was answered DENIED: it is judged anew (S4.1)."""
    desk = desk_with_mark()
    desk.approve("BUY", 100, 100, order_id="b0")
    desk.advance(11)
    results = desk.check_batch(batch(desk, 100, 301))
    assert [r.decision.is_approved for r in results if r.decision] == [False, False]
    assert desk.book().buy_quantity == 100, "the earlier reservation stays"
    desk.assert_replays()
    expires_at = desk.record("b0").expires_at
    assert expires_at is not None
    assert expires_at <= desk.now, "what was denied is not a valid approval"
    desk.advance(1)
    renewed = desk.check("BUY", 100, 100, order_id="b0")
    assert renewed.expires_at == desk.now + 10 * SECOND


def test_a_fallen_batch_leaves_a_released_order_released() -> None:
    """All or nothing is reserved: a re-asked, released order holds nothing after the fall (S4)."""
    desk = desk_with_mark()
    desk.approve("BUY", 100, 100, order_id="b0")
    desk.release("b0")
    desk.check_batch(batch(desk, 100, 301))
    assert desk.book().buy_quantity == 0
    desk.assert_replays()


def test_a_fallen_batch_leaves_an_older_reservation_at_its_price() -> None:
    """What a renewal of a fallen batch would have reserved at today's mark is not reserved (S4)."""
    desk = desk_with_mark()
    desk.approve("BUY", 100, order_type="MARKET", order_id="b0")
    before = desk.book().buy_notional
    desk.advance(11)
    desk.mark(X=104)
    renewal = desk.order("BUY", 100, order_type="MARKET", order_id="b0")
    desk.check_batch([renewal, desk.order("BUY", 301, 100)])
    assert desk.book().buy_notional == before
    desk.assert_replays()


def test_a_fallen_batch_counts_no_renewal_in_the_notional_of_the_day() -> None:
    """An approval of yesterday, renewed in a batch that falls, adds nothing to today (S5)."""
    desk = desk_with_mark(order_rules=OrderRules(max_daily_notional=Decimal(20_000)))
    desk.approve("BUY", 100, 100, order_id="b0")
    desk.advance(86_400)
    desk.check_batch(batch(desk, 100, 301))
    assert desk.state.account.daily_notional == 0
    assert desk.book().buy_quantity == 100
    desk.assert_replays()


def test_renewals_of_one_batch_keep_their_order_in_a_snapshot() -> None:
    """Two approvals renewed in one record, the younger first, are held in that order (S3)."""
    desk = desk_with_mark()
    desk.approve("BUY", 1, 100, order_id="b1")
    desk.approve("BUY", 1, 100, order_id="b0")
    desk.advance(11)
    desk.check_batch(batch(desk, 1, 1))
    assert list(desk.state.open_orders) == ["b0", "b1"]
    desk.assert_replays()


def test_a_fallen_batch_leaves_the_order_it_would_have_replaced() -> None:
    """The replaced order keeps its reservation, and a later replacement of it works (S4.10)."""
    desk = desk_with_mark()
    desk.approve("BUY", 10, 100, order_id="old")
    orders = [desk.order("BUY", 20, 100, order_id="new", replaces="old"), *batch(desk, 301)]
    desk.check_batch(orders)
    assert desk.book().buy_quantity == 10
    desk.approve("BUY", 15, 100, order_id="newer", replaces="old")
    assert desk.book().buy_quantity == 15
    desk.report("REPLACED", "newer", new_quantity=15)
    assert desk.book().buy_quantity == 15
    assert not desk.record("old").is_open
    desk.assert_replays()


def test_a_fallen_batch_undoes_a_replacement_of_its_own_order() -> None:
    """The second replaces the first of the same batch, the third is too large (S4.10)."""
    desk = desk_with_mark()
    first, *rest = batch(desk, 10, 20, 301)
    rest[0].replaces_order_id = "b0"
    desk.check_batch([first, *rest])
    assert desk.state.orders == {}
    assert desk.book().buy_quantity == 0
    assert desk.book().clusters == {}
    desk.assert_replays()


def test_a_refusal_inside_a_batch_withdraws_what_was_approved_before_it() -> None:
    """An id of other content refuses the batch as a whole: nothing stays reserved (CheckOrders)."""
    desk = desk_with_mark()
    desk.approve("BUY", 1, 100, order_id="b1")
    with pytest.raises(CallRefused) as refused:
        desk.check_batch(batch(desk, 5, 2))
    assert refused.value.code is ErrorCode.ALREADY_EXISTS
    assert desk.book().buy_quantity == 1
    assert "b0" not in desk.state.orders
    desk.assert_replays()


def test_an_id_twice_in_a_batch_is_a_fault_that_names_its_place() -> None:
    """The second and third of the same id are named (CheckOrders)."""
    desk = desk_with_mark()
    orders = [desk.order(order_id=name) for name in ("a", "b", "a", "a")]
    with pytest.raises(CallRefused) as refused:
        find_batch_faults(orders)
    fields = [fault.field for fault in refused.value.field_faults]
    assert fields == ["orders[2].order_id", "orders[3].order_id"]
    find_batch_faults(orders[:2])


def test_an_all_or_none_batch_within_a_valid_approval_repeats_it() -> None:
    """A still valid approval inside a batch that passes is replayed, not reserved twice (S4.1)."""
    desk = desk_with_mark()
    first = desk.check("BUY", 100, 100, order_id="b0")
    results = desk.check_batch(batch(desk, 100, 200))
    decisions = [r.decision for r in results if r.decision]
    assert [d.replayed for d in decisions] == [True, False]
    assert decisions[0].expires_at == first.expires_at
    assert desk.book().buy_quantity == 300
