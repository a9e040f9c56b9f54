"""Everything that is remembered has a bound, and what is beyond it is denied, never forgotten."""

from decimal import Decimal

import pytest

from sidecar.core import bounds, engine, order_effects, reservations, state, trades
from sidecar.core.commands import ReportedPosition
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.core.state import SlidingWindow
from sidecar.core.thresholds import OrderRules
from tests.core.harness import SECOND, Desk, codes


def test_an_unknown_symbol_beyond_the_bound_is_denied_and_not_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A flood of names fills memory up to the bound, and what is known trades on."""
    monkeypatch.setattr(bounds, "SYMBOLS_MAX", 2)
    desk = Desk(marks={"X": 100, "Y": 100})
    desk.approve("BUY", 1, 100, symbol="X")
    denied = desk.check("BUY", 1, 100, symbol="Z")
    assert codes(denied) == ["TOO_MANY_ORDERS"]
    assert denied.violations[0].limit == 2
    assert "Z" not in desk.state.symbols
    desk.approve("BUY", 1, 100, symbol="Y")
    desk.assert_replays()


def test_an_unknown_strategy_beyond_the_bound_is_denied_and_not_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the order rate would remember it only for having asked."""
    monkeypatch.setattr(bounds, "STRATEGIES_MAX", 1)
    rules = OrderRules(max_orders_per_window_per_strategy=100)
    desk = Desk(marks={"X": 100}, order_rules=rules)
    desk.approve("BUY", 1, 100, strategy="alpha")
    assert codes(desk.check("BUY", 1, 100, strategy="beta")) == ["TOO_MANY_ORDERS"]
    assert list(desk.state.strategies) == ["alpha"]
    desk.assert_replays()


def test_a_book_beyond_the_bound_is_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    """A known strategy in a known symbol is a book of its own."""
    monkeypatch.setattr(bounds, "BOOKS_MAX", 2)
    desk = Desk(marks={"X": 100, "Y": 100})
    desk.approve("BUY", 1, 100, strategy="alpha", symbol="X")
    desk.approve("BUY", 1, 100, strategy="beta", symbol="Y")
    assert codes(desk.check("BUY", 1, 100, strategy="beta", symbol="X")) == ["TOO_MANY_ORDERS"]


def test_a_fill_of_an_unknown_name_is_applied_beyond_every_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """S7.3: a fact is never dropped; the books follow the venue."""
    for name in ("SYMBOLS_MAX", "STRATEGIES_MAX", "BOOKS_MAX", "ORDERS_REMEMBERED_MAX"):
        monkeypatch.setattr(bounds, name, 0)
    desk = Desk()
    desk.hold(3, 100, symbol="Z", strategy="gamma")
    assert desk.book("Z", "gamma").position == 3
    desk.assert_replays()


def test_an_exit_and_a_kill_pass_every_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """No bound stands in the way of less risk."""
    desk = Desk(marks={"X": 100})
    desk.hold(3, 100)
    for name in ("SYMBOLS_MAX", "STRATEGIES_MAX", "BOOKS_MAX", "ORDERS_REMEMBERED_MAX"):
        monkeypatch.setattr(bounds, name, 0)
    assert codes(desk.check("BUY", 1, 100)) == ["TOO_MANY_ORDERS"]
    desk.approve("SELL", 3, 100)
    answer = desk.kill(scope_kind="STRATEGY", scope_name="unheard-of")
    assert (answer.already_active, answer.scope_known) == (False, False)
    desk.assert_replays()


@pytest.mark.parametrize("kind", ["ACCEPTED", "CANCELED", "REJECTED", "FAILED"])
def test_news_of_a_stranger_is_refused_where_there_is_no_room(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It carries no position, and a complete account report can still tell of the order."""
    monkeypatch.setattr(bounds, "ORDERS_REMEMBERED_MAX", 1)
    desk = Desk(marks={"X": 100})
    known = desk.approve("BUY", 1, 100)
    with pytest.raises(CallRefused) as caught:
        desk.report(kind, "stranger")
    assert (caught.value.code, caught.value.reason) == (
        ErrorCode.RESOURCE_EXHAUSTED,
        bounds.REASON,
    )
    assert not desk.report("CANCELED", known).duplicate
    desk.assert_replays()


def test_an_order_id_beyond_the_bound_is_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    """S7.2: ids are not forgotten before their time, so a new one finds no room."""
    monkeypatch.setattr(bounds, "ORDERS_REMEMBERED_MAX", 2)
    desk = Desk(marks={"X": 100})
    first = desk.approve("BUY", 1, 100)
    desk.approve("BUY", 1, 100)
    assert codes(desk.check("BUY", 1, 100)) == ["TOO_MANY_ORDERS"]
    again = desk.check("BUY", 1, 100, order_id=first)
    assert again.replayed


def test_an_account_report_of_too_many_names_is_refused_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing of it is applied; one of known names is taken."""
    monkeypatch.setattr(bounds, "SYMBOLS_MAX", 2)
    desk = Desk(marks={"X": 100, "Y": 100})
    with pytest.raises(CallRefused, match="2 symbols are remembered"):
        desk.mark(Y=101, Z=100)
    position = ReportedPosition(
        strategy="alpha", symbol="Z", quantity=Decimal(1), average_price=Decimal(100)
    )
    with pytest.raises(CallRefused, match="2 symbols are remembered"):
        desk.account(positions=[position], as_of_sequence=1, as_of_venue_time=1)
    assert desk.state.symbols["Y"].mark == 100
    desk.mark(X=101, Y=101)
    desk.assert_replays()


def test_a_cash_flow_beyond_the_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """S8.3: a flow id is never forgotten, so there is no room for one more."""
    monkeypatch.setattr(bounds, "FLOWS_MAX", 1)
    desk = Desk()
    desk.account(flows={"first": 10})
    with pytest.raises(CallRefused, match="1 cash flows are remembered"):
        desk.account(flows={"second": 10})
    desk.account(flows={"first": 10}, equity=100_010)
    desk.assert_replays()


def test_report_ids_of_an_order_are_bounded_and_every_report_is_applied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The oldest id of an order gives way; the newest are known as duplicates."""
    monkeypatch.setattr(trades, "REPORT_IDS_PER_ORDER_MAX", 3)
    desk = Desk(marks={"X": 100})
    order_id = desk.approve("BUY", 10, 100)
    for at in range(5):
        desk.fill(order_id, 1, 100, report_id=f"f{at}")
    assert list(desk.record(order_id).reports or ()) == ["f2", "f3", "f4"]
    assert desk.fill(order_id, 1, 100, report_id="f4").duplicate
    assert desk.book().position == 5
    assert desk.state.report_ids == 3
    desk.assert_replays()


def test_report_ids_are_bounded_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it an order gives up its own oldest id, never its only one."""
    monkeypatch.setattr(trades, "REPORT_IDS_MAX", 3)
    desk = Desk(marks={"X": 100})
    for order_id in (desk.approve("BUY", 10, 100), desk.approve("BUY", 10, 100)):
        for _ in range(3):
            desk.fill(order_id, 1, 100)
    assert [len(record.reports or ()) for record in desk.state.orders.values()] == [3, 1]
    desk.assert_replays()
    assert desk.replayed().report_ids == desk.state.report_ids == 4


def test_denied_orders_leave_room_among_the_duplicates(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was denied was not sent; what was approved is always remembered."""
    monkeypatch.setattr(order_effects, "DUPLICATES_DENIED_MAX", 3)
    monkeypatch.setattr(bounds, "DUPLICATES_MAX", 5)
    rules = OrderRules(duplicate_window_ns=60 * SECOND)
    desk = Desk(marks={"X": 100}, order_rules=rules)
    for at in range(5):
        assert not desk.check("BUY", 10_000 + at, 100).is_approved
    assert len(desk.state.duplicates) == 3
    desk.approve("BUY", 1, 100)
    assert codes(desk.check("BUY", 1, 100)) == ["DUPLICATE_ORDER"]
    desk.approve("BUY", 2, 100)
    assert codes(desk.check("BUY", 3, 100)) == ["TOO_MANY_ORDERS"]
    desk.advance(60)
    desk.approve("BUY", 3, 100)
    desk.assert_replays()


def test_a_window_keeps_what_a_limit_can_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest times give way once there are twice as many as any limit counts."""
    monkeypatch.setattr(state, "WINDOW_TIMES_MAX", 5)
    window = SlidingWindow()
    for at in range(9):
        window.add(at, 1_000)
    assert len(window.times) == 9
    window.add(9, 1_000)
    assert window.times == [5, 6, 7, 8, 9]


def test_reports_outside_orders_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """S7.2: beyond the bound the oldest is forgotten before its seven days are over."""
    monkeypatch.setattr(engine, "REMEMBERED_IDS_MIN", 2)
    monkeypatch.setattr(engine, "REPORTS_REMEMBERED_MAX", 4)
    desk = Desk(equity=None)
    for at in range(8):
        desk.api_error(report_id=f"e{at}")
    desk.advance(1)
    desk.mark(X=100)
    assert len(desk.state.reports) <= 5
    desk.assert_replays()


def test_late_reports_leave_one_entry_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot that repeats itself on ended orders does not fill memory."""
    monkeypatch.setattr(engine, "_ENDED_SLACK", 4)
    desk = Desk(marks={"X": 100})
    ended = [desk.approve("BUY", 1, 100) for _ in range(2)]
    for order_id in ended * 12:
        desk.now += 1
        desk.report("CANCELED", order_id)
    assert len(desk.state.ended) <= 2 * len(desk.state.orders) + 5
    desk.assert_replays()


def test_releases_to_look_at_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """S7.5: each report on an order with a good-till time puts one down; few are kept."""
    monkeypatch.setattr(reservations, "_RELEASES_SLACK", 4)
    desk = Desk(marks={"X": 100})
    till = desk.now + 10 * SECOND
    order_id = desk.approve("BUY", 100, 100, good_till=till)
    for _ in range(40):
        desk.report("ACCEPTED", order_id)
    assert len(desk.state.release_heap) <= 6
    desk.advance(80)
    desk.tick()
    assert not desk.record(order_id).is_open
    desk.assert_replays()
