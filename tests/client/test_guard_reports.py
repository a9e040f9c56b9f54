"""Facts reach the sidecar, now or later, with the same id (S7.2, S15).

Every test runs against a real gRPC server, once with the synchronous guard, once with asyncio's.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import grpc
import pytest
from haltline import (
    CallFailed,
    DenialReason,
    GuardSettings,
    OpenOrder,
    Position,
    ReportRefused,
    ReportsFull,
    Side,
    TradingMode,
)
from haltline.v1 import account_pb2, reports_pb2, reservations_pb2

from tests.client.conftest import UTC, Told
from tests.client.scripted_sidecar import OTHER_STORE, STORE, Refusal, ScriptedSidecar

BUY: Any = {"quantity": "10", "limit_price": "100"}
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def unavailable(_request: Any) -> Any:
    """Answer nothing."""
    raise Refusal(grpc.StatusCode.UNAVAILABLE, "draining", "DRAINING")


def test_a_report_is_retried_with_the_same_id_until_acknowledged(
    guard: Any, sidecar: ScriptedSidecar
) -> None:
    """It is visible while it waits, the bot goes on, and it arrives (S7.2, S15)."""
    sidecar.on["ReportTrade"] = unavailable
    approval = guard.order("AAPL", Side.BUY, **BUY)
    approval.mark_sent()
    outcome = approval.report_filled(quantity="10", price="100")
    assert not outcome.is_acknowledged
    assert outcome.fault.reason == "DRAINING"
    (waiting,) = guard.unreported
    assert (waiting.report_id, waiting.order_id) == ("filled-1", approval.order_id)
    sidecar.wait_for("ReportTrade", 2)
    del sidecar.on["ReportTrade"]
    count = len(sidecar.of("ReportTrade"))
    reports = sidecar.wait_for("ReportTrade", count + 1)
    assert len({report.SerializeToString() for report in reports}) == 1
    guard.close()
    assert guard.unreported == ()


def test_with_too_many_reports_waiting_new_orders_are_denied(
    make_guard: Callable[..., Any], sidecar: ScriptedSidecar
) -> None:
    """The sidecar does not know what happened, so nothing new is sent; exits may be asked (S15)."""
    sidecar.on["ReportTrade"] = unavailable
    settings = GuardSettings(reports_max=1, check_timeout_seconds=5, close_timeout_seconds=0.01)
    with make_guard(settings=settings) as guard:
        approval = guard.order("AAPL", Side.BUY, **BUY)
        approval.mark_sent()
        approval.report_accepted()
        denied = guard.order("AAPL", Side.BUY, **BUY)
        assert denied.decision.reason is DenialReason.REPORTS_FULL
        assert guard.order("AAPL", Side.SELL, **BUY, reduce_only=True)
        approval.report_filled(quantity="10", price="100")
        with pytest.raises(ReportsFull, match="2 reports wait"):
            approval.report_filled(quantity="1", price="100")


def test_a_report_that_will_never_be_taken_is_raised_and_kept_in_sight(
    guard: Any, sidecar: ScriptedSidecar
) -> None:
    """An id used for other content cannot be retried: the bot must know (S7.2)."""

    def refuse(_request: Any) -> Any:
        raise Refusal(grpc.StatusCode.ALREADY_EXISTS, "fill_price differs", "REPORT_ID_REUSED")

    sidecar.on["ReportTrade"] = refuse
    approval = guard.order("AAPL", Side.BUY, **BUY)
    approval.mark_sent()
    with pytest.raises(ReportRefused, match="REPORT_ID_REUSED"):
        approval.report_filled(quantity="10", price="100", report_id="exec-1")
    assert [fact.report_id for fact in guard.refused_reports] == ["exec-1"]
    assert guard.unreported == ()


def test_leaving_does_not_raise_because_a_report_was_refused(
    guard: Any, sidecar: ScriptedSidecar
) -> None:
    """The exception of the block is the one that matters; the refusal is logged and in sight."""

    def refuse(_request: Any) -> Any:
        raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "no", "INVALID_FIELD")

    sidecar.on["ReportTrade"] = refuse
    with guard.order("AAPL", Side.BUY, **BUY):
        pass
    assert [fact.report_id for fact in guard.refused_reports] == ["left-unsent"]


def test_another_store_acknowledges_nothing(
    guard: Any, sidecar: ScriptedSidecar, told: Told
) -> None:
    """A report answered by another store waits until a person has accepted it (S12.7)."""
    approval = guard.order("AAPL", Side.BUY, **BUY)
    approval.mark_sent()
    sidecar.store_id = OTHER_STORE
    assert not approval.report_accepted().is_acknowledged
    assert told.next() == "OTHER_STORE"
    assert not approval.report_filled(quantity="10", price="100").is_acknowledged
    assert len(sidecar.of("ReportTrade")) == 1, "nothing more is told to a stranger"
    guard.accept_store(OTHER_STORE)
    sidecar.feed.publish(sidecar.normal_status())
    sidecar.wait_for("ReportTrade", 3)
    assert sidecar.reports()[1:] == [("accepted-1", "ACCEPTED"), ("filled-1", "FILLED")]


def test_an_api_error_is_counted(guard: Any, sidecar: ScriptedSidecar) -> None:
    """A failed call to the venue is told, each with its own id (S9)."""
    guard.report_api_error(api="orders", code="429", message="slow down")
    outcome = guard.report_api_error(api="orders", code="timeout")
    assert outcome.answer.errors_in_window == 1
    assert outcome.trading_mode is TradingMode.NORMAL
    first, second = sidecar.of("ReportApiError")
    assert (first.api, first.code, first.message) == ("orders", "429", "slow down")
    assert first.report_id != second.report_id


def test_an_account_is_reported_whole(guard: Any, sidecar: ScriptedSidecar) -> None:
    """Equity, marks, flows, complete positions and open orders travel as they are (S8.2)."""
    sequence = guard.last_sequence
    guard.report_account(
        equity="100000",
        positions=[Position(strategy="momentum", symbol="AAPL", quantity=-5, average_price="99")],
        open_orders=[
            OpenOrder(
                order_id="o-1",
                strategy="momentum",
                symbol="AAPL",
                side=Side.SELL,
                remaining_quantity="5",
                limit_price="101",
            )
        ],
        as_of_sequence=sequence,
        as_of_venue_time=NOON,
        cash_flows={"deposit-1": "500"},
        marks={"AAPL": "100.5"},
    )
    (report,) = sidecar.of("ReportAccount")
    expected: Any = {
        "report_id": report.report_id,
        "equity": "100000",
        "positions": [
            {"strategy": "momentum", "symbol": "AAPL", "quantity": "-5", "average_price": "99"}
        ],
        "positions_complete": True,
        "open_orders": [
            {
                "order_id": "o-1",
                "strategy": "momentum",
                "symbol": "AAPL",
                "side": "SIDE_SELL",
                "remaining_quantity": "5",
                "cumulative_filled_quantity": "0",
                "limit_price": "101",
            }
        ],
        "open_orders_complete": True,
        "as_of_sequence": 10,
        "as_of_venue_time": {"seconds": int(NOON.timestamp())},
        "cash_flows": [{"flow_id": "deposit-1", "amount": "500"}],
        "marks": [{"symbol": "AAPL", "price": "100.5"}],
    }
    assert report == account_pb2.ReportAccountRequest(**expected)
    assert guard.last_sequence == sidecar.sequence


@pytest.mark.parametrize(
    ("lists", "missing"),
    [
        ({"positions": []}, "as_of_sequence"),
        ({"open_orders": []}, "as_of_sequence"),
        ({"positions": [], "as_of_sequence": 1}, "as_of_venue_time"),
    ],
)
def test_a_complete_list_says_as_of_when(guard: Any, lists: Any, missing: str) -> None:
    """Without it nobody could tell which fills it already contains (S8.2)."""
    with pytest.raises(ValueError, match=missing):
        guard.report_account(**lists)


def test_an_order_of_before_is_reported_about(guard: Any, sidecar: ScriptedSidecar) -> None:
    """After a restart the bot tells of orders this guard never asked about (S7.3)."""
    known = guard.known_order("o-77", "AAPL", Side.SELL, quantity="3")
    known.report_filled(quantity="3", price="100", report_id="exec-9", venue_time=NOON)
    (report,) = sidecar.of("ReportTrade")
    assert (report.order_id, report.strategy, report.report_id) == ("o-77", "momentum", "exec-9")
    assert report.kind == reports_pb2.TRADE_REPORT_KIND_FILLED


def test_the_orders_that_hold_a_reservation_are_listed(
    guard: Any, sidecar: ScriptedSidecar
) -> None:
    """All pages are read; a failure says so (contract: ListOrders)."""

    def page(request: reservations_pb2.ListOrdersRequest) -> Any:
        number = int(request.page_token or 0)
        return reservations_pb2.ListOrdersResponse(
            orders=[reservations_pb2.Reservation(order_id=f"o-{number}")],
            next_page_token=str(number + 1) if number < 2 else "",
        )

    sidecar.on["ListOrders"] = page
    assert [held.order_id for held in guard.list_orders(symbol="AAPL")] == ["o-0", "o-1", "o-2"]
    first = sidecar.of("ListOrders")[0]
    assert first.symbol == "AAPL"
    assert not first.HasField("strategy")
    sidecar.on["ListOrders"] = unavailable
    with pytest.raises(CallFailed, match="DRAINING"):
        list(guard.list_orders())


def test_what_waits_is_delivered_when_the_guard_closes(
    make_guard: Callable[..., Any], sidecar: ScriptedSidecar
) -> None:
    """Closing tries once more at once, however long the wait would have been."""
    with make_guard() as guard:
        sidecar.on["ReportApiError"] = unavailable
        guard.report_api_error(api="orders")
        sidecar.wait_for("ReportApiError", 2)
        del sidecar.on["ReportApiError"]
    assert guard_unreported(guard) == 0


def test_what_could_not_be_delivered_stays_in_sight(
    make_guard: Callable[..., Any], sidecar: ScriptedSidecar, caplog: pytest.LogCaptureFixture
) -> None:
    """A closed guard says what nobody has acknowledged (S15)."""
    with make_guard() as guard:
        sidecar.stop()
        guard.report_api_error(api="orders")
    assert guard_unreported(guard) == 1
    assert "closed with 1 reports not acknowledged" in caplog.text
    assert STORE not in caplog.text


def guard_unreported(guard: Any) -> int:
    """Return how many reports wait, also where the loop of the guard has ended."""
    core = guard.core if not hasattr(guard, "_inner") else guard._inner.core  # noqa: SLF001 -- its loop has ended
    return len(core.outbox.unreported)
