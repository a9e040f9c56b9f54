"""What is held for approved orders: replaced ones, groups, how a reservation ends (S4.10, S7)."""

import pytest
from hypothesis import HealthCheck, given, settings

from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.core.reservations import BLOCKING_ORDERS_MAX, CLUSTER_MEMBERS_MAX
from sidecar.core.thresholds import ApprovalRules
from tests.core.harness import NOON, SECOND, Desk, codes
from tests.core.worlds import desks

MINUTE = 60 * SECOND


def desk_with_mark(**rules: object) -> Desk:
    """Return a desk with a mark of 100 in X."""
    return Desk(marks={"X": 100}, **rules)  # type: ignore[arg-type]  # the sections are the desk's


# -- replacing ----------------------------------------------------------------------------------


def test_a_replacement_is_judged_as_current_minus_old_plus_new() -> None:
    """300 fit: 200 replaced by 300 pass, by 301 do not; the larger stays reserved (S4.10)."""
    desk = desk_with_mark()
    desk.approve("BUY", 200, 100, order_id="old")
    denied = desk.check("BUY", 301, 100, replaces="old")
    assert codes(denied) == ["SYMBOL_EXPOSURE"]
    assert denied.approvable_quantity == 300
    desk.approve("BUY", 300, 100, order_id="new", replaces="old")
    assert desk.book().buy_quantity == 300
    assert codes(desk.check("BUY", 1, 100)) == ["SYMBOL_EXPOSURE"]


def test_a_smaller_replacement_keeps_the_larger_reserved_until_it_is_done() -> None:
    """200 replaced by 50: 200 stay until REPLACED, then 50 (S4.10)."""
    desk = desk_with_mark()
    desk.approve("BUY", 200, 100, order_id="old")
    desk.approve("BUY", 50, 100, order_id="new", replaces="old")
    assert desk.book().buy_quantity == 200
    desk.report("REPLACED", "new", new_quantity=50, new_limit_price=100)
    assert desk.book().buy_quantity == 50
    assert not desk.record("old").is_open


def test_a_rejected_replacement_leaves_the_old_order() -> None:
    """REJECTED of the new id: the old one stays with its own reservation (S4.10)."""
    desk = desk_with_mark()
    desk.approve("BUY", 200, 100, order_id="old")
    desk.approve("BUY", 300, 100, order_id="new", replaces="old")
    desk.report("REJECTED", "new")
    assert desk.book().buy_quantity == 200
    assert desk.record("old").is_open
    desk.assert_replays()


def test_the_end_of_the_old_order_leaves_the_replacement() -> None:
    """CANCELED of the old id: the new one's reservation is what is left (S4.10)."""
    desk = desk_with_mark()
    desk.approve("BUY", 200, 100, order_id="old")
    desk.approve("BUY", 50, 100, order_id="new", replaces="old")
    desk.report("CANCELED", "old")
    assert desk.book().buy_quantity == 50


def test_a_replacement_names_an_order_of_the_same_book_and_side() -> None:
    """Another strategy, symbol or side is INVALID_ARGUMENT naming the field (S4.10)."""
    desk = desk_with_mark()
    desk.approve("BUY", 1, 100, order_id="old")
    for other in ({"strategy": "beta"}, {"symbol": "Y"}, {"side": "SELL"}):
        with pytest.raises(CallRefused) as refused:
            desk.check(**({"side": "BUY", "price": 100, "replaces": "old"} | other))
        assert refused.value.code is ErrorCode.INVALID_ARGUMENT
        assert refused.value.field_faults[0].field == "replaces_order_id"


def test_an_unknown_or_ended_order_sets_nothing_aside() -> None:
    """What is not open frees no room (S4.10)."""
    desk = desk_with_mark()
    desk.approve("BUY", 200, 100, order_id="old")
    desk.approve("BUY", 100, 100, order_id="rest")
    desk.report("CANCELED", "old")
    assert codes(desk.check("BUY", 201, 100, replaces="old")) == ["SYMBOL_EXPOSURE"]
    assert codes(desk.check("BUY", 201, 100, replaces="who")) == ["SYMBOL_EXPOSURE"]
    assert desk.check("BUY", 200, 100, replaces="old").is_approved


def test_a_replaced_exit_is_reducing_without_its_predecessor() -> None:
    """Position 10, exit of 10 replaced by one of 10 at another price: still reducing (S4.10)."""
    desk = desk_with_mark()
    desk.hold(10, 100)
    desk.approve("SELL", 10, 110, order_id="old")
    desk.kill("REDUCE_ONLY")
    assert not desk.check("SELL", 10, 105).is_approved
    assert desk.check("SELL", 10, 105, replaces="old").is_approved
    assert desk.book().sell_quantity == 10
    assert not desk.check("SELL", 11, 105, replaces="old").is_approved


def test_a_chain_of_replacements_carries_a_late_fill_to_its_end() -> None:
    """After a -> b -> c a fill of a that arrives last lowers what c reserves (S7.1)."""
    desk = desk_with_mark()
    desk.approve("BUY", 10, 100, order_id="a")
    desk.approve("BUY", 12, 100, order_id="b", replaces="a")
    desk.report("REPLACED", "b", new_quantity=12)
    desk.approve("BUY", 20, 100, order_id="c", replaces="b")
    desk.report("REPLACED", "c", new_quantity=20)
    answer = desk.fill("a", 5, 100)
    assert answer.flags == ("FILLED_AFTER_END",)
    assert desk.book().buy_quantity == 15
    assert desk.record("c").is_open
    desk.assert_replays()


def test_the_first_of_two_replacements_may_be_the_one_that_happened() -> None:
    """Two were approved in place of one order; REPLACED on the first ends the old one (S4.10)."""
    desk = desk_with_mark()
    desk.approve("BUY", 20, 100, order_id="old")
    desk.approve("BUY", 8, 100, order_id="first", replaces="old")
    desk.approve("BUY", 9, 100, order_id="second", replaces="old")
    desk.fill("old", 2, 100)
    desk.report("REPLACED", "first", new_quantity=8)
    desk.report("REJECTED", "second")
    assert not desk.record("old").is_open
    assert desk.book().buy_quantity == 6
    desk.fill("old", 1, 100)
    assert desk.book().buy_quantity == 5
    desk.assert_replays()


def test_an_order_replaced_in_place_within_its_check_is_not_over_approved() -> None:
    """10 checked to 12: REPLACED to 12 is approved, again to 12 too, to 13 is not (S7.3)."""
    desk = desk_with_mark()
    desk.approve("BUY", 10, 100, order_id="old")
    desk.approve("BUY", 12, 100, order_id="new", replaces="old")
    for quantity, flags in ((12, ()), (12, ()), (13, ("OVER_APPROVED",)), (11, ())):
        assert desk.report("REPLACED", "old", new_quantity=quantity).flags == flags
    assert desk.book().buy_quantity == 11


def test_among_replaced_the_greatest_venue_time_wins_then_the_last_received() -> None:
    """An older REPLACED changes nothing; of equal times the last received counts (S7.3)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 100, 100)
    desk.report("REPLACED", order_id, new_quantity=50, venue_time=NOON + 2)
    answer = desk.report("REPLACED", order_id, new_quantity=80, venue_time=NOON + 1)
    assert answer.flags == ("OLDER_REPLACE",)
    assert desk.book().buy_quantity == 50
    desk.report("REPLACED", order_id, new_quantity=60, venue_time=NOON + 2)
    assert desk.book().buy_quantity == 60
    desk.report("REPLACED", order_id, new_quantity=70)
    assert desk.book().buy_quantity == 70


def test_replaced_above_what_was_approved_is_applied_and_flagged() -> None:
    """OVER_APPROVED is applied, flagged and counted (S7.3)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    answer = desk.report("REPLACED", order_id, new_quantity=11, new_limit_price=120)
    assert answer.flags == ("OVER_APPROVED",)
    assert desk.book().buy_quantity == 11
    assert desk.book().buy_notional == 11 * 120
    assert desk.state.flagged_counts == {"OVER_APPROVED": 1}


def test_replaced_below_what_is_filled_reserves_nothing() -> None:
    """Reserved := max(0, new - filled), and REPLACED never ends an order (S7.3, S7.4)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    desk.fill(order_id, 6, 100)
    desk.report("REPLACED", order_id, new_quantity=5)
    assert desk.book().buy_quantity == 0
    assert desk.record(order_id).is_open


# -- one cancels the other ----------------------------------------------------------------------


def test_a_group_of_reducing_orders_counts_once_with_the_largest() -> None:
    """Take-profit and stop of one position in one group: both pass, reserved once (S4.10)."""
    desk = desk_with_mark()
    desk.hold(10, 100)
    desk.approve("SELL", 10, 120, group="g", order_id="profit")
    denied = desk.check("SELL", 10, stop=90, dry_run=True)
    assert codes(denied) == []
    assert denied.approvable_quantity > 10, "without the group it is a flip"
    desk.kill("REDUCE_ONLY")
    assert not desk.check("SELL", 10, stop=90).is_approved
    assert not desk.check("SELL", 10, stop=90, group="h").is_approved
    assert desk.check("SELL", 10, stop=90, group="g", order_id="stop").is_approved
    assert desk.book().sell_quantity == 10
    assert desk.book().exposure == 1000


def test_a_second_fill_in_a_group_is_applied_and_flagged() -> None:
    """Both legs of a group filled: the position says so, and the flag (S4.10)."""
    desk = desk_with_mark()
    desk.hold(10, 100)
    desk.approve("SELL", 10, 120, group="g", order_id="profit")
    desk.approve("SELL", 10, stop=90, group="g", order_id="stop")
    assert desk.fill("profit", 10, 120).flags == ()
    assert desk.fill("stop", 10, 90).flags == ("GROUP_FILLED_TWICE",)
    assert desk.book().position == -10
    desk.assert_replays()


def test_a_second_fill_after_both_legs_ended_is_flagged_too() -> None:
    """The losing race: profit filled, stop cancelled, and then the stop was filled (S4.10)."""
    desk = desk_with_mark()
    desk.hold(10, 100)
    desk.approve("SELL", 10, 120, group="g", order_id="profit")
    desk.approve("SELL", 10, stop=90, group="g", order_id="stop")
    desk.fill("profit", 10, 120)
    desk.report("CANCELED", "stop")
    assert desk.fill("stop", 10, 90).flags == ("FILLED_AFTER_END", "GROUP_FILLED_TWICE")


def test_a_group_name_used_again_is_another_group() -> None:
    """The next exits under the same name are no second fill of the first group (S4.10)."""
    desk = desk_with_mark()
    for _ in range(2):
        desk.hold(10, 100)
        profit = desk.approve("SELL", 10, 120, group="g")
        stop = desk.approve("SELL", 10, stop=90, group="g")
        assert desk.fill(profit, 10, 120).flags == ()
        desk.report("CANCELED", stop)
    desk.assert_replays()


def test_an_order_of_a_group_that_does_not_reduce_counts_by_itself() -> None:
    """Only reducing orders count once: two entries of one group are two reservations (S4.10)."""
    desk = desk_with_mark()
    desk.approve("BUY", 100, 100, group="g")
    desk.approve("BUY", 100, 100, group="g")
    assert desk.book().buy_quantity == 200


def test_groups_of_two_books_are_two_groups() -> None:
    """A group is one book's: the same name elsewhere is another group (S4.10)."""
    desk = Desk(marks={"X": 100, "Y": 100})
    for symbol in ("X", "Y"):
        desk.hold(10, 100, symbol=symbol)
        desk.approve("SELL", 10, 120, group="g", symbol=symbol)
    assert desk.book("X").sell_quantity == 10
    assert desk.book("Y").sell_quantity == 10
    first, second = desk.state.open_orders
    assert desk.fill(first, 10, 120).flags == ()
    assert desk.fill(second, 10, 120).flags == ()


def test_a_group_beyond_its_bound_counts_by_itself() -> None:
    """Everything has a bound: a seventeenth member is weighed apart, the safer side (S4.10)."""
    desk = desk_with_mark()
    desk.hold(10, 100)
    desk.kill("REDUCE_ONLY")
    for _ in range(CLUSTER_MEMBERS_MAX):
        desk.approve("SELL", 10, 120, group="g")
    denied = desk.check("SELL", 10, 120, group="g")
    assert not denied.is_approved
    assert len(denied.blocking_order_ids) == BLOCKING_ORDERS_MAX
    assert desk.book().sell_quantity == 10


def test_a_smaller_slice_of_a_group_is_named_where_the_order_is_too_large() -> None:
    """Position 10, 10 in the group: 15 more of the group are denied, 10 are approvable (S4.6)."""
    desk = desk_with_mark()
    desk.hold(10, 100)
    desk.approve("SELL", 10, 120, group="g")
    desk.kill("REDUCE_ONLY")
    denied = desk.check("SELL", 15, 110, group="g")
    assert not denied.is_approved
    assert denied.approvable_quantity == 10
    assert desk.check("SELL", 10, 110, group="g").is_approved


def test_an_order_of_a_group_frees_nothing_outside_its_group() -> None:
    """It replaces an order outside its group: the two count once, not the group (S4.10)."""
    desk = desk_with_mark()
    desk.hold(10, 100)
    desk.approve("SELL", 10, 120, order_id="plain")
    desk.approve("SELL", 10, 110, order_id="other", replaces="plain", group="g")
    assert desk.book().sell_quantity == 10
    assert desk.book().exposure == 1000


# -- how a reservation ends (S7.5) --------------------------------------------------------------


@pytest.mark.parametrize("kind", ["CANCELED", "EXPIRED", "REJECTED"])
def test_a_terminal_report_ends_a_reservation(kind: str) -> None:
    """CANCELED, EXPIRED and REJECTED end an order, partly filled or not (S7.4)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    desk.fill(order_id, 4, 100)
    desk.report(kind, order_id)
    assert desk.book().buy_quantity == 0
    assert desk.book().position == 4
    assert desk.record(order_id).was_ended


def test_failed_keeps_the_reservation_unless_it_is_done() -> None:
    """The order may be alive: FAILED alone keeps it, with `order_done` it ends (S7.4)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    desk.report("FAILED", order_id)
    assert desk.book().buy_quantity == 10
    desk.report("FAILED", order_id, order_done=True)
    assert desk.book().buy_quantity == 0


def test_filled_ends_an_order_when_it_reaches_what_was_approved_or_is_done() -> None:
    """FILLED ends it only when filled reaches approved, or with `order_done` (S7.4)."""
    desk = desk_with_mark()
    first, second = desk.approve("BUY", 10, 100), desk.approve("BUY", 10, 100)
    desk.fill(first, "9.99999999", 100)
    assert desk.record(first).is_open
    desk.fill(first, "0.00000001", 100)
    assert not desk.record(first).is_open
    desk.fill(second, 1, 100, order_done=True)
    assert not desk.record(second).is_open
    assert desk.book().buy_quantity == 0


@pytest.mark.parametrize("kind", ["ACCEPTED", "REPLACED"])
def test_accepted_and_replaced_never_end_an_order(kind: str) -> None:
    """ACCEPTED and REPLACED keep the reservation (S7.4)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    desk.report(kind, order_id)
    assert desk.book().buy_quantity == 10


def test_good_till_and_grace_release_an_order_that_carried_it() -> None:
    """Released at good_till + 60 s, not before; the event says why (S7.5)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100, good_till=NOON + MINUTE)
    other = desk.approve("BUY", 10, 100)
    desk.now = NOON + 2 * MINUTE - 1
    desk.tick()
    assert desk.record(order_id).is_open
    desk.now += 1
    desk.tick()
    assert not desk.record(order_id).is_open
    assert desk.record(other).is_open
    assert [type(event).__name__ for event in desk.events] == ["ReservationReleased"]
    answer = desk.fill(order_id, 10, 100)
    assert answer.flags == ("FILLED_AFTER_END",)
    assert desk.book().position == 10
    desk.assert_replays()


def test_a_release_is_due_before_the_next_decision() -> None:
    """Nothing waits for a tick: what is overdue is released before the order is judged (S7.5)."""
    desk = desk_with_mark()
    desk.approve("BUY", 300, 100, good_till=NOON + MINUTE)
    desk.advance(120)
    assert desk.check("BUY", 300, 100).is_approved


def test_unreported_orders_are_released_where_configured() -> None:
    """`release_unreported_after` counts from the last report or the approval (S7.5)."""
    rules = ApprovalRules(release_unreported_after_ns=MINUTE)
    desk = desk_with_mark(approvals=rules)
    silent, alive = desk.approve("BUY", 1, 100), desk.approve("BUY", 1, 100)
    desk.advance(30)
    desk.report("ACCEPTED", alive)
    desk.advance(30)
    desk.tick()
    assert not desk.record(silent).is_open
    assert desk.record(alive).is_open
    desk.advance(30)
    desk.tick()
    assert not desk.record(alive).is_open
    desk.assert_replays()


def test_a_reservation_nobody_reports_on_stays_by_default() -> None:
    """Off by default: after a year it is still held (S7.5)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    desk.advance(365 * 86_400)
    desk.tick()
    assert desk.record(order_id).is_open


def test_an_operator_releases_an_order_and_a_late_fill_is_flagged() -> None:
    """ReleaseOrder gives back; an unknown id is NOT_FOUND; twice changes nothing (S7.5)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    assert desk.release(order_id).changed
    assert not desk.release(order_id).changed
    assert desk.book().buy_quantity == 0
    with pytest.raises(CallRefused) as refused:
        desk.release("nobody")
    assert refused.value.code is ErrorCode.NOT_FOUND
    assert desk.fill(order_id, 1, 100).flags == ("FILLED_AFTER_END",)


# -- conservation -------------------------------------------------------------------------------


@settings(max_examples=60, suppress_health_check=(HealthCheck.too_slow,))
@given(desk=desks(steps=20))
def test_a_restart_or_a_snapshot_changes_nothing(desk: Desk) -> None:
    """Whatever happened, the journal's fold and a snapshot are the state, and decide alike (S3)."""
    desk.assert_replays()
    answers = []
    for from_snapshot in (False, True):
        desk.restart(from_snapshot=from_snapshot)
        answers.append(desk.check("BUY", 3, 100, dry_run=True))
        answers.append(desk.check("SELL", 3, 100, dry_run=True))
    for one, two in zip(answers[:2], answers[2:], strict=True):
        assert (one.verdict, one.violations) == (two.verdict, two.violations)
        assert one.approvable_quantity == two.approvable_quantity
