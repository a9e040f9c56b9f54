"""Ask, send, report: nothing leaves without an approval, and nothing is left unsaid (S15).

Every test runs against a real gRPC server, once with the synchronous guard, once with asyncio's.
"""

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from haltline import (
    AlreadySent,
    DenialCode,
    DenialReason,
    GuardSettings,
    Layer,
    Order,
    OrderDenied,
    Side,
    StaleApproval,
)
from haltline.v1 import denial_pb2, errors_pb2, order_pb2, reports_pb2

from tests.client.scripted_sidecar import OTHER_STORE, Refusal, ScriptedSidecar

BUY: Any = {"quantity": "10", "limit_price": "100"}


def deny(request: order_pb2.CheckOrderRequest) -> order_pb2.CheckOrderResponse:
    """Return a denial with its numbers."""
    return order_pb2.CheckOrderResponse(
        order_id=request.order_id,
        verdict=order_pb2.VERDICT_DENIED,
        layer=denial_pb2.LAYER_POSITION_LIMITS,
        violations=[
            denial_pb2.Violation(
                code=denial_pb2.DENIAL_CODE_SYMBOL_EXPOSURE,
                scope=denial_pb2.VIOLATION_SCOPE_SYMBOL,
                observed="28000",
                projected="31000",
                limit="30000",
                message="too much of AAPL",
            )
        ],
        approvable_quantity="20",
        stop_epoch=1,
        store_id="store-one",
    )


def test_an_approved_order_is_sent_and_its_fill_reported(
    guard: Any, sidecar: ScriptedSidecar
) -> None:
    """The five lines of the README do what they say (S15)."""
    with guard.order("AAPL", Side.BUY, **BUY) as approval:
        assert approval
        assert approval.is_sendable
        assert approval.send(lambda: "placed") == "placed"
        assert approval.report_filled(quantity="10", price="99.5", fee="1").is_acknowledged
    (asked,) = sidecar.of("CheckOrder")
    (report,) = sidecar.of("ReportTrade")
    assert (asked.strategy, asked.symbol, asked.quantity) == ("momentum", "AAPL", "10")
    assert report.order_id == asked.order_id == approval.order_id
    assert (report.fill_quantity, report.fill_price, report.fee) == ("10", "99.5", "1")


def test_a_denied_order_sends_nothing(guard: Any, sidecar: ScriptedSidecar) -> None:
    """A denial is a value with its numbers; sending against it raises and calls nobody (S15)."""
    sidecar.on["CheckOrder"] = deny
    placed: list[int] = []
    with guard.order("AAPL", Side.BUY, **BUY) as approval:
        assert not approval
        decision = approval.decision
        with pytest.raises(OrderDenied, match="too much of AAPL"):
            approval.send(lambda: placed.append(1))
    assert not placed
    assert decision.reason is DenialReason.SIDECAR
    assert decision.layer is Layer.POSITION_LIMITS
    assert decision.codes == (DenialCode.SYMBOL_EXPOSURE,)
    assert str(decision.violations[0].projected) == "31000"
    assert str(decision.approvable_quantity) == "20"
    assert sidecar.reports() == []


def test_no_answer_within_the_deadline_is_a_denial(guard: Any, sidecar: ScriptedSidecar) -> None:
    """The deadline passes: denied, without an exception (S15)."""
    answered = threading.Event()

    def late(request: Any) -> Any:
        answered.wait(20)
        return sidecar.approve(request)

    sidecar.on["CheckOrder"] = late
    approval = guard.order("AAPL", Side.BUY, **BUY, timeout=0.05)
    answered.set()
    assert approval.decision.reason is DenialReason.NO_ANSWER
    with pytest.raises(OrderDenied):
        approval.mark_sent()


def test_an_order_without_answer_gives_back_what_it_may_have_reserved(
    guard: Any, sidecar: ScriptedSidecar
) -> None:
    """The sidecar may have approved what we never heard: leaving reports CANCELED (S15)."""

    def fail(_request: Any) -> Any:
        raise Refusal(grpc.StatusCode.DEADLINE_EXCEEDED)

    sidecar.on["CheckOrder"] = fail
    with guard.order("AAPL", Side.BUY, **BUY) as approval:
        assert approval.decision.reason is DenialReason.NO_ANSWER
    assert sidecar.reports() == [("left-unsent", "CANCELED")]


def test_a_sidecar_that_is_gone_is_a_denial(guard: Any, sidecar: ScriptedSidecar) -> None:
    """UNAVAILABLE is denied (S15)."""
    sidecar.stop()
    with guard.order("AAPL", Side.BUY, **BUY) as approval:
        assert approval.decision.reason is DenialReason.UNAVAILABLE


def test_a_call_error_is_a_denial_that_says_why(guard: Any, sidecar: ScriptedSidecar) -> None:
    """A status error means no decision; its CallError is read (contract: errors)."""

    def refuse(_request: Any) -> Any:
        raise Refusal(grpc.StatusCode.ALREADY_EXISTS, "o-1 had other content", "ORDER_ID_REUSED")

    sidecar.on["CheckOrder"] = refuse
    with guard.order("AAPL", Side.BUY, **BUY) as approval:
        assert approval.decision.reason is DenialReason.CALL_ERROR
    assert approval.decision.fault.reason == "ORDER_ID_REUSED"
    assert sidecar.reports() == []


def test_a_malformed_answer_is_a_denial(guard: Any, sidecar: ScriptedSidecar) -> None:
    """An answer without verdict says nothing (S15)."""
    sidecar.on["CheckOrder"] = lambda _request: order_pb2.CheckOrderResponse()
    assert guard.order("AAPL", Side.BUY, **BUY).decision.reason is DenialReason.MALFORMED_ANSWER


def test_an_approval_is_one_order(guard: Any) -> None:
    """The second sending raises, and sends nothing (contract: VERDICT_APPROVED)."""
    with guard.order("AAPL", Side.BUY, **BUY) as approval:
        approval.mark_sent()
        with pytest.raises(AlreadySent):
            approval.send(lambda: pytest.fail("sent twice"))


def test_a_stop_after_the_approval_keeps_it_from_being_sent(
    guard: Any, sidecar: ScriptedSidecar, told: Any
) -> None:
    """The epoch moved: mark_sent raises, nothing is sent, CANCELED is reported (S4.6, S15)."""
    approval = guard.order("AAPL", Side.BUY, **BUY)
    sidecar.feed.publish(sidecar.killed_status())
    assert told.next() == "KILL_SWITCH"
    assert not approval.is_sendable
    with pytest.raises(StaleApproval, match="EPOCH_MOVED"), approval:
        approval.send(lambda: pytest.fail("sent after a stop"))
    assert sidecar.reports() == [("left-unsent", "CANCELED")]


def test_leaving_unsent_reports_canceled(guard: Any, sidecar: ScriptedSidecar) -> None:
    """What was approved and not sent holds no room (S15)."""
    with guard.order("AAPL", Side.BUY, **BUY) as approval:
        assert approval
    assert sidecar.reports() == [("left-unsent", "CANCELED")]


def test_leaving_by_an_exception_after_sending_reports_failed(
    guard: Any, sidecar: ScriptedSidecar
) -> None:
    """The order may live at the venue: FAILED without order_done; the exception goes on (S15)."""

    def lose() -> None:
        raise ConnectionError("the venue is gone")

    with (
        pytest.raises(ConnectionError, match="the venue is gone"),
        guard.order("AAPL", Side.BUY, **BUY) as approval,
    ):
        approval.send(lose)
    (report,) = sidecar.of("ReportTrade")
    assert report.kind == reports_pb2.TRADE_REPORT_KIND_FAILED
    assert not report.order_done


def test_leaving_by_an_exception_before_sending_reports_canceled(
    guard: Any, sidecar: ScriptedSidecar
) -> None:
    """Nothing was sent, so the reservation ends (S15)."""
    with (
        pytest.raises(KeyError),
        guard.order("AAPL", Side.BUY, **BUY),
    ):
        raise KeyError
    assert sidecar.reports() == [("left-unsent", "CANCELED")]


def test_after_the_block_a_live_order_is_still_reported_about(
    guard: Any, sidecar: ScriptedSidecar
) -> None:
    """Leaving after sending says nothing; fills that come later are told by the same object."""
    with guard.order("AAPL", Side.BUY, **BUY) as approval:
        approval.mark_sent()
    approval.report_accepted()
    approval.report_filled(quantity="4", price="100")
    approval.report_replaced(new_quantity="8", new_limit_price="101")
    approval.report_filled(quantity="4", price="101", order_done=True, report_id="exec-7")
    approval.report_failed(note="late")
    assert sidecar.reports() == [
        ("accepted-1", "ACCEPTED"),
        ("filled-1", "FILLED"),
        ("replaced-1", "REPLACED"),
        ("exec-7", "FILLED"),
        ("failed-1", "FAILED"),
    ]


@pytest.mark.parametrize("end", ["canceled", "expired", "rejected"])
def test_every_end_has_its_report(guard: Any, sidecar: ScriptedSidecar, end: str) -> None:
    """CANCELED, EXPIRED and REJECTED end the order; leaving says nothing more (S7.4)."""

    def trade() -> None:
        with guard.order("AAPL", Side.BUY, **BUY) as approval:
            approval.mark_sent()
            getattr(approval, f"report_{end}")()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        trade()
    assert sidecar.reports() == [(f"{end}-1", end.upper())]


def test_floats_are_refused_before_anything_is_asked(guard: Any, sidecar: ScriptedSidecar) -> None:
    """A float quantity is a TypeError, and nobody was asked (S2.1)."""
    with pytest.raises(TypeError, match="quantity: must be str, Decimal or int, was float"):
        guard.order("AAPL", Side.BUY, quantity=0.1)
    assert sidecar.of("CheckOrder") == []


def test_a_dry_run_reserves_and_authorises_nothing(guard: Any, sidecar: ScriptedSidecar) -> None:
    """`check` gives the decision alone (S4.8)."""
    decision = guard.check(Order(symbol="AAPL", side=Side.SELL, quantity=5))
    assert decision.is_approved
    assert sidecar.of("CheckOrder")[0].dry_run
    assert sidecar.reports() == []


def test_order_ids_are_unique_and_can_be_given(guard: Any, sidecar: ScriptedSidecar) -> None:
    """An id nobody has used is made unless the bot brings one (S4.1)."""
    for _ in range(3):
        guard.order("AAPL", Side.BUY, **BUY)
    mine = guard.new_order_id()
    assert guard.order("AAPL", Side.BUY, **BUY, order_id=mine).order_id == mine
    assert guard.order("AAPL", Side.BUY, **BUY, order_id="given").order_id == "given"
    asked = [request.order_id for request in sidecar.of("CheckOrder")]
    assert len(set(asked)) == 5


def test_a_replayed_approval_is_shown_as_one(guard: Any, sidecar: ScriptedSidecar) -> None:
    """It may be at the venue: the bot sees it, and leaving it says nothing about it (S4.1)."""

    def replay(request: Any) -> Any:
        answer = sidecar.approve(request)
        answer.replayed = True
        return answer

    sidecar.on["CheckOrder"] = replay
    with guard.order("AAPL", Side.BUY, **BUY, order_id="given") as approval:
        assert approval.replayed
        assert approval.is_sendable
    assert sidecar.reports() == []


def test_a_batch_is_decided_in_its_order(guard: Any, sidecar: ScriptedSidecar) -> None:
    """Each order has its approval; leaving leaves each (contract: CheckOrders)."""
    orders = [Order(symbol=symbol, side=Side.BUY, **BUY) for symbol in ("AAPL", "MSFT")]
    with guard.check_orders(orders, all_or_none=True) as approvals:
        assert approvals.are_all_approved
        assert [approval.order.symbol for approval in approvals] == ["AAPL", "MSFT"]
        approvals[0].mark_sent()
    (batch,) = sidecar.of("CheckOrders")
    assert batch.mode == order_pb2.BATCH_MODE_ALL_OR_NONE
    (report,) = sidecar.of("ReportTrade")
    assert report.order_id == approvals[1].order_id


def test_a_batch_with_an_answer_missing_is_denied(guard: Any, sidecar: ScriptedSidecar) -> None:
    """One answer too few, and nobody knows whose it is: all are denied (S15)."""
    sidecar.on["CheckOrders"] = lambda request: order_pb2.CheckOrdersResponse(
        results=[order_pb2.CheckOrdersResult(decision=sidecar.approve(request.orders[0]))]
    )
    orders = [Order(symbol=symbol, side=Side.BUY, **BUY) for symbol in ("AAPL", "MSFT")]
    approvals = guard.check_orders(orders)
    reasons = [approval.decision.reason for approval in approvals]
    assert reasons == [DenialReason.MALFORMED_ANSWER] * 2


def test_an_empty_batch_asks_nobody(guard: Any, sidecar: ScriptedSidecar) -> None:
    """No orders, no question."""
    assert len(guard.check_orders([])) == 0
    assert sidecar.of("CheckOrders") == []


def test_a_batch_is_denied_where_one_of_it_is_not_asked_about(
    guard: Any, sidecar: ScriptedSidecar, told: Any
) -> None:
    """Another store answered: nothing of the batch is asked (S12.7)."""
    sidecar.store_id = OTHER_STORE
    sidecar.feed.publish(sidecar.normal_status())
    assert told.next() == "OTHER_STORE"
    (approval,) = guard.check_orders([Order(symbol="AAPL", side=Side.BUY, **BUY)])
    assert approval.decision.reason is DenialReason.OTHER_STORE
    assert sidecar.of("CheckOrders") == []


def test_checks_over_a_stream_are_the_same(
    make_guard: Callable[..., Any], sidecar: ScriptedSidecar
) -> None:
    """The low-latency path decides, reports and fails as the other (contract: CheckOrderStream)."""
    settings = GuardSettings(check_timeout_seconds=5, uses_check_stream=True)
    with make_guard(settings=settings) as guard:
        with guard.order("AAPL", Side.BUY, **BUY) as approval:
            approval.mark_sent()
        assert sidecar.of("CheckOrder") == []
        sidecar.on["CheckOrderStream"] = lambda request: order_pb2.CheckOrderStreamResponse(
            request_id=request.request_id, decision=deny(request.order)
        )
        assert guard.order("AAPL", Side.BUY, **BUY).decision.reason is DenialReason.SIDECAR
        sidecar.on["CheckOrderStream"] = lambda request: order_pb2.CheckOrderStreamResponse(
            request_id=request.request_id,
            error=errors_pb2.CallError(code=3, reason="INVALID_FIELD"),
        )
        assert guard.order("AAPL", Side.BUY, **BUY).decision.reason is DenialReason.CALL_ERROR
        sidecar.on["CheckOrderStream"] = lambda request: order_pb2.CheckOrderStreamResponse(
            request_id=request.request_id
        )
        answer = guard.order("AAPL", Side.BUY, **BUY)
        assert answer.decision.reason is DenialReason.MALFORMED_ANSWER


def test_a_stream_of_checks_that_ends_denies_and_opens_anew(
    make_guard: Callable[..., Any], sidecar: ScriptedSidecar
) -> None:
    """What was unanswered is denied; the next question has a new stream (S15)."""

    def end(_request: Any) -> Any:
        raise Refusal(grpc.StatusCode.UNAVAILABLE, "draining")

    settings = GuardSettings(check_timeout_seconds=5, uses_check_stream=True)
    with make_guard(settings=settings) as guard:
        sidecar.on["CheckOrderStream"] = end
        assert guard.order("AAPL", Side.BUY, **BUY).decision.reason is DenialReason.UNAVAILABLE
        del sidecar.on["CheckOrderStream"]
        with guard.order("AAPL", Side.BUY, **BUY) as approval:
            assert approval


def test_an_answer_too_late_on_a_stream_belongs_to_nobody(
    make_guard: Callable[..., Any], sidecar: ScriptedSidecar
) -> None:
    """Whoever asked was denied; the late answer is not taken for the next question's (S15)."""
    go_on = threading.Event()

    def late(request: Any) -> Any:
        go_on.wait(20)
        return sidecar.say_CheckOrderStream(request)

    settings = GuardSettings(check_timeout_seconds=5, uses_check_stream=True)
    with make_guard(settings=settings) as guard:
        sidecar.on["CheckOrderStream"] = late
        first = guard.order("AAPL", Side.BUY, **BUY, timeout=0.05)
        assert first.decision.reason is DenialReason.NO_ANSWER
        go_on.set()
        second = guard.order("AAPL", Side.BUY, **BUY)
        assert second.decision.order_id == second.order_id
        assert second


def test_a_stream_cannot_carry_a_driven_clock(make_guard: Callable[..., Any]) -> None:
    """Its time travels with each call, so the two exclude each other (S2.5)."""
    with pytest.raises(ValueError, match="uses_check_stream"):
        make_guard(driven_clock=True, settings=GuardSettings(uses_check_stream=True))
