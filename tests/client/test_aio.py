"""What only asyncio has: tasks cancelled, callbacks awaited, reports that nobody awaits."""

import asyncio
import threading
from typing import Any

import grpc
import pytest
from haltline import DenialReason, GuardSettings, GuardStatus, Side, aio

from tests.client.conftest import PATIENT
from tests.client.scripted_sidecar import Refusal, ScriptedSidecar

BUY: Any = {"quantity": "10", "limit_price": "100"}


async def arrived(sidecar: ScriptedSidecar, name: str, count: int = 1) -> list[Any]:
    """Wait, without holding up the loop, until a call has come so often."""
    return await asyncio.to_thread(sidecar.wait_for, name, count)


async def test_a_cancelled_question_gives_back_what_it_may_have_reserved(
    sidecar: ScriptedSidecar,
) -> None:
    """Whoever asked is gone; the approval it never saw is reported CANCELED (S15)."""
    go_on = threading.Event()

    def late(request: Any) -> Any:
        go_on.wait(20)
        return sidecar.approve(request)

    sidecar.on["CheckOrder"] = late
    async with aio.Guard(sidecar.target, strategy="momentum", settings=PATIENT) as guard:
        asking = asyncio.ensure_future(_ask(guard))
        (asked,) = await arrived(sidecar, "CheckOrder")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        go_on.set()
        (report,) = await arrived(sidecar, "ReportTrade")
    assert (report.order_id, report.report_id) == (asked.order_id, "left-unsent")


async def test_cancelled_after_sending_reports_failed(sidecar: ScriptedSidecar) -> None:
    """A task cancelled inside its block leaves by an exception: FAILED, even if cancelled (S15)."""
    async with aio.Guard(sidecar.target, strategy="momentum", settings=PATIENT) as guard:
        is_sent = asyncio.Event()

        async def trade() -> None:
            async with guard.order("AAPL", Side.BUY, **BUY) as approval:
                approval.mark_sent()
                is_sent.set()
                await asyncio.Event().wait()

        trading = asyncio.create_task(trade())
        await is_sent.wait()
        trading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trading
        await arrived(sidecar, "ReportTrade")
    assert sidecar.reports() == [("left-by-exception", "FAILED")]


async def test_a_report_nobody_awaits_is_delivered(sidecar: ScriptedSidecar) -> None:
    """A fact is told from the moment it was made (S15)."""
    async with (
        aio.Guard(sidecar.target, strategy="momentum", settings=PATIENT) as guard,
        guard.order("AAPL", Side.BUY, **BUY) as approval,
    ):
        approval.mark_sent()
        approval.report_filled(quantity="10", price="100")
    assert sidecar.reports() == [("filled-1", "FILLED")]


async def test_a_cancelled_wait_for_a_report_loses_nothing(sidecar: ScriptedSidecar) -> None:
    """The report goes on, with the same id, when whoever awaited it is gone (S7.2)."""
    sidecar.on["ReportTrade"] = _unavailable
    async with aio.Guard(sidecar.target, strategy="momentum", settings=PATIENT) as guard:
        async with guard.order("AAPL", Side.BUY, **BUY) as approval:
            approval.mark_sent()
            report = asyncio.ensure_future(approval.report_filled(quantity="10", price="100"))
            report.cancel()
            with pytest.raises(asyncio.CancelledError):
                await report
        assert [fact.report_id for fact in guard.unreported] == ["filled-1"]
        await arrived(sidecar, "ReportTrade", 2)
        del sidecar.on["ReportTrade"]
    assert guard.unreported == ()


async def test_a_callback_may_be_a_coroutine(sidecar: ScriptedSidecar) -> None:
    """`on_halt` is awaited where it can be (S15)."""
    told: asyncio.Queue[GuardStatus] = asyncio.Queue()
    async with aio.Guard(sidecar.target, strategy="momentum", on_halt=told.put):
        await asyncio.to_thread(sidecar.feed.publish, sidecar.killed_status())
        status = await asyncio.wait_for(told.get(), 20)
    assert status.is_halted


async def test_a_callback_may_use_its_guard(sidecar: ScriptedSidecar) -> None:
    """On a stop the bot cancels, reports and asks: nothing is held that it needs (S15)."""
    denied: asyncio.Queue[Any] = asyncio.Queue()

    async def on_halt(_status: GuardStatus) -> None:
        await guard.report_api_error(api="cancel")
        await denied.put(await guard.order("AAPL", Side.SELL, **BUY))

    guard = aio.Guard(sidecar.target, strategy="momentum", on_halt=on_halt, settings=PATIENT)
    async with guard:
        await asyncio.to_thread(sidecar.feed.publish, sidecar.killed_status())
        assert await asyncio.wait_for(denied.get(), 20)


async def test_many_tasks_share_one_guard(sidecar: ScriptedSidecar) -> None:
    """Each gets the answer to its own question, over calls and over a stream alike."""
    for uses_check_stream in (False, True):
        settings = GuardSettings(check_timeout_seconds=20, uses_check_stream=uses_check_stream)
        async with aio.Guard(sidecar.target, strategy="momentum", settings=settings) as guard:
            approvals = await asyncio.gather(*(_ask(guard) for _ in range(50)))
        assert all(approval.decision.order_id == approval.order_id for approval in approvals)
        assert len({approval.order_id for approval in approvals}) == 50


async def test_a_closed_guard_denies(sidecar: ScriptedSidecar) -> None:
    """Nothing is sent by a guard that does not listen, before its block or after it (S15)."""
    settings = GuardSettings(check_timeout_seconds=0.01)
    guard = aio.Guard(sidecar.target, strategy="momentum", settings=settings)
    assert (await _ask(guard)).decision.reason is DenialReason.UNAVAILABLE
    async with guard:
        pass
    assert (await _ask(guard)).decision.reason is DenialReason.CLOSED
    with pytest.raises(RuntimeError, match="opens once"):
        await guard.open()
    await guard.close()


async def test_nothing_is_left_running(sidecar: ScriptedSidecar) -> None:
    """After its block a guard has no task."""
    before = asyncio.all_tasks()
    async with (
        aio.Guard(sidecar.target, strategy="momentum") as guard,
        guard.order("AAPL", Side.BUY, **BUY),
    ):
        pass
    for task in asyncio.all_tasks() - before:
        await asyncio.wait_for(task, 20)


async def _ask(guard: aio.Guard) -> aio.Approval:
    return await guard.order("AAPL", Side.BUY, quantity="10", limit_price="100")


def _unavailable(_request: Any) -> Any:
    raise Refusal(grpc.StatusCode.UNAVAILABLE)
