"""The calls of SafetyService over a real socket (contract.md)."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped] # ships no types
from haltline.v1 import (
    account_pb2,
    denial_pb2,
    kill_switch_pb2,
    order_pb2,
    reports_pb2,
    reservations_pb2,
    short_status_pb2,
)
from haltline.v1 import status_pb2 as haltline_status_pb2

from tests.server.harness import Sidecar, a_kill, a_mark, an_order, call_error_of

Call: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"
APPROVED = order_pb2.VERDICT_APPROVED
DENIED = order_pb2.VERDICT_DENIED


async def test_an_order_is_checked_reported_and_listed(sidecar: Sidecar) -> None:
    """An approved order holds its reservation until its fill is reported (S7.1)."""
    bot = sidecar.safety()
    decision = await bot.CheckOrder(an_order())
    assert decision.verdict == APPROVED
    assert (decision.valid_for.seconds, decision.durable) == (10, True)
    assert decision.store_id == sidecar.service.store_id
    assert decision.config_hash == "c0ffee"
    listed = await bot.ListOrders(reservations_pb2.ListOrdersRequest(strategy="momentum"))
    assert [order.order_id for order in listed.orders] == ["o-1"]
    fill = reports_pb2.ReportTradeRequest(
        report_id="r-1",
        order_id="o-1",
        strategy="momentum",
        symbol="ACME",
        side=order_pb2.SIDE_BUY,
        kind=reports_pb2.TRADE_REPORT_KIND_FILLED,
        fill_quantity="10",
        fill_price="100",
    )
    first, second = await bot.ReportTrade(fill), await bot.ReportTrade(fill)
    assert (first.duplicate, second.duplicate) == (False, True)
    assert first.sequence == second.sequence > decision.sequence
    assert first.status.trading_mode == short_status_pb2.TRADING_MODE_NORMAL
    assert not (await bot.ListOrders(reservations_pb2.ListOrdersRequest())).orders


async def test_a_denial_is_an_answer(sidecar: Sidecar) -> None:
    """A denial is an OK response with layer, code and numbers (contract.md)."""
    decision = await sidecar.safety().CheckOrder(an_order(quantity="301"))
    assert (decision.verdict, decision.layer) == (DENIED, denial_pb2.LAYER_POSITION_LIMITS)
    (violation,) = decision.violations
    assert violation.code == denial_pb2.DENIAL_CODE_SYMBOL_EXPOSURE
    assert (violation.projected, violation.limit) == ("30100", "30000")
    assert decision.approvable_quantity == "300"
    assert not decision.HasField("valid_for")


async def test_a_malformed_order_carries_every_fault_in_its_details(sidecar: Sidecar) -> None:
    """INVALID_ARGUMENT lists every faulty field, for our clients and for Google's (S4.1)."""
    request = an_order(order_id="", quantity="NaN", limit_price="", stop_price="1", side=0)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await sidecar.safety().CheckOrder(request)
    error = caught.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    ours = call_error_of(error)
    assert ours.reason == "MALFORMED_REQUEST"
    faulty = {violation.field for violation in ours.field_violations}
    assert faulty == {"order_id", "quantity", "limit_price", "stop_price", "side"}
    metadata = dict(error.trailing_metadata() or ())
    google = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    bad = error_details_pb2.BadRequest()
    assert google.details[1].Unpack(bad)
    assert {violation.field for violation in bad.field_violations} == faulty


async def test_bytes_that_are_no_message_are_invalid_but_still_stop(sidecar: Sidecar) -> None:
    """Garbage is INVALID_ARGUMENT, except as a trigger: that stops everything (S10.1)."""
    channel = sidecar.channel()
    check: Call = channel.unary_unary("/haltline.v1.SafetyService/CheckOrder")
    trigger: Call = channel.unary_unary("/haltline.v1.SafetyService/TriggerKill")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await check(b"\xff\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    answer = kill_switch_pb2.TriggerKillResponse.FromString(await trigger(b"\xff\xff"))
    activation = answer.activation
    assert (activation.mode, activation.scope.all) == (kill_switch_pb2.KILL_MODE_HALT, True)
    assert (await sidecar.safety().CheckOrder(an_order())).verdict == DENIED


async def test_an_id_with_other_content_is_already_exists(sidecar: Sidecar) -> None:
    """Other content under an approved id is a fault of the call, not a denial (S4.1)."""
    bot = sidecar.safety()
    await bot.CheckOrder(an_order())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await bot.CheckOrder(an_order(quantity="11"))
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert call_error_of(caught.value).code == 6


async def test_a_batch_sees_the_reservations_before_it(sidecar: Sidecar) -> None:
    """Each order of a batch sees those before it; a malformed one is an error in its place."""
    orders = [
        an_order("o-1", quantity="200"),
        an_order("o-2", quantity="0"),
        an_order("o-3", quantity="200"),
        an_order("o-4", quantity="100"),
    ]
    response = await sidecar.safety().CheckOrders(
        order_pb2.CheckOrdersRequest(orders=orders, mode=order_pb2.BATCH_MODE_INDEPENDENT)
    )
    assert [item.decision.verdict for item in response.results] == [APPROVED, 0, DENIED, APPROVED]
    assert response.results[1].error.field_violations[0].field == "quantity"


async def test_all_or_none_reserves_nothing_where_one_is_denied(sidecar: Sidecar) -> None:
    """ALL_OR_NONE approves all or none, and none leaves the room as it was (contract.md)."""
    bot = sidecar.safety()
    orders = [an_order("o-1", quantity="200"), an_order("o-2", quantity="200")]
    response = await bot.CheckOrders(
        order_pb2.CheckOrdersRequest(orders=orders, mode=order_pb2.BATCH_MODE_ALL_OR_NONE)
    )
    assert [item.decision.verdict for item in response.results] == [DENIED, DENIED]
    assert (await bot.CheckOrder(an_order("o-3", quantity="300"))).verdict == APPROVED


async def test_a_stream_answers_in_order_and_goes_on_after_a_fault(sidecar: Sidecar) -> None:
    """A malformed order on a stream is an error in its place; the stream goes on (contract.md)."""
    stream = sidecar.safety().CheckOrderStream()
    requests = [
        order_pb2.CheckOrderStreamRequest(request_id=7, order=an_order("o-1")),
        order_pb2.CheckOrderStreamRequest(request_id=8, order=an_order("o-2", quantity="x")),
        order_pb2.CheckOrderStreamRequest(request_id=9),
        order_pb2.CheckOrderStreamRequest(request_id=0, order=an_order("o-3")),
    ]
    for request in requests:
        await stream.write(request)
    await stream.done_writing()
    answers = [answer async for answer in stream]
    assert [answer.request_id for answer in answers] == [7, 8, 9, 0]
    kinds = [answer.WhichOneof("result") for answer in answers]
    assert kinds == ["decision", "error", "error", "decision"]
    assert answers[2].error.field_violations[0].field == "order"
    assert await stream.code() is grpc.StatusCode.OK


async def test_reports_in_one_call_stand_alone(sidecar: Sidecar) -> None:
    """One report at fault does not stop the others (contract.md)."""
    trades = [
        reports_pb2.ReportTradeRequest(
            report_id=f"r-{at}",
            order_id=f"o-{at}",
            strategy="momentum",
            symbol="ACME",
            side=order_pb2.SIDE_BUY,
            kind=kind,
        )
        for at, kind in enumerate(
            (
                reports_pb2.TRADE_REPORT_KIND_ACCEPTED,
                reports_pb2.TRADE_REPORT_KIND_UNSPECIFIED,
            )
        )
    ]
    response = await sidecar.safety().ReportTrades(reports_pb2.ReportTradesRequest(trades=trades))
    assert response.results[0].report.unsolicited
    assert response.results[1].error.field_violations[0].field == "kind"


async def test_api_errors_open_the_breaker_and_say_so(sidecar: Sidecar) -> None:
    """The third API error in a minute opens the breaker, in that very answer (S9)."""
    bot = sidecar.safety()
    for at in range(3):
        answer = await bot.ReportApiError(reports_pb2.ReportApiErrorRequest(report_id=f"e-{at}"))
    assert answer.errors_in_window == 3
    assert answer.status.trading_mode == short_status_pb2.TRADING_MODE_REDUCE_ONLY


async def test_an_account_report_changes_equity(sidecar: Sidecar) -> None:
    """Equity follows the report, and the status shows it (S8.1)."""
    bot = sidecar.safety()
    report = account_pb2.ReportAccountRequest(report_id="a-1", equity="120000.50")
    assert (await bot.ReportAccount(report)).equity == "120000.5"
    await bot.ReportAccount(a_mark())
    status = (await bot.GetStatus(haltline_status_pb2.GetStatusRequest())).status
    assert status.account.equity == "120000.5"
    assert [mark.symbol for mark in status.marks] == ["ACME"]
    assert status.version == "0.1.0"
    assert status.operator_proof_configured


async def test_ten_concurrent_triggers_activate_once(sidecar: Sidecar) -> None:
    """Of ten concurrent triggers exactly one activates; each is counted (S10.1)."""
    stubs = [sidecar.safety() for _ in range(10)]
    answers = await asyncio.gather(*(stub.TriggerKill(a_kill()) for stub in stubs))
    assert sorted(answer.already_active for answer in answers) == [False] + [True] * 9
    assert {answer.activation.epoch for answer in answers} == {answers[0].activation.epoch}
    assert all(answer.durable for answer in answers)


async def test_a_thousand_concurrent_checks_never_approve_an_eleventh(sidecar: Sidecar) -> None:
    """1,000 concurrent checks against room for ten approve ten (S7.1) [*]."""
    stubs = [sidecar.safety() for _ in range(8)]
    checks = (
        stubs[at % len(stubs)].CheckOrder(an_order(f"o-{at}", quantity="30")) for at in range(1_000)
    )
    decisions = await asyncio.gather(*checks)
    assert sum(decision.verdict == APPROVED for decision in decisions) == 10


async def test_an_unexpected_exception_is_internal_and_logged(
    sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception nobody expected is INTERNAL, says no more, and the log has the rest (S1.2)."""

    async def fail(*_arguments: object) -> None:
        raise RuntimeError("the inside of the sidecar")

    monkeypatch.setattr(sidecar.service, "check_order", fail)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await sidecar.safety().CheckOrder(an_order())
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "inside" not in (caught.value.details() or "")
    assert "the inside of the sidecar" in caplog.text


async def test_the_largest_account_report_fits_into_a_record(sidecar: Sidecar) -> None:
    """What the message bound lets through is journalled, and the store stays well (S12.1)."""
    bot = sidecar.safety()
    seen = await bot.GetStatus(haltline_status_pb2.GetStatusRequest(subscriber="test"))
    strategy = "s" * 128
    report = account_pb2.ReportAccountRequest(
        report_id="a-large",
        positions_complete=True,
        as_of_sequence=seen.status.last_sequence,
        positions=[
            account_pb2.AccountPosition(
                strategy=strategy,
                symbol=f"{at:0128d}",
                quantity="1234567890.123456789",
                average_price="1.000000001",
            )
            for at in range(9_000)
        ],
    )
    report.as_of_venue_time.GetCurrentTime()
    assert report.ByteSize() > 2_500_000
    answer = await bot.ReportAccount(report, timeout=60)
    assert len(answer.drift) == 9_000
    assert sidecar.service.is_ready
