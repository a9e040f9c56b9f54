"""Reports through the service: power-durable before the answer, or refused so they are repeated."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from sidecar.core.commands import ReportApiError, ReportKind
from sidecar.core.denial import CallRefused, ErrorCode, malformed
from sidecar.service import Service
from sidecar.service.opening import open_state
from sidecar.store.memory_store import MemoryStore
from tests.service.harness import (
    BOT,
    OBSERVER,
    a_fill,
    an_order,
    equity_report,
    holding,
    kinds_of,
    running,
    turns,
)


def position_of(service: Service) -> Decimal:
    """Return the quantity of the one book."""
    positions = service.status().view.limits.positions
    return positions[0].quantity if positions else Decimal(0)


async def test_a_report_is_answered_when_it_survives_power_loss(tmp_path: Path) -> None:
    """Reports are power-durable before the answer (S12.1)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.check_order(an_order(), BOT)
        store.hold_syncs()
        reported = asyncio.create_task(service.report_trade(a_fill(), BOT))
        await turns()
        assert not reported.done()
        store.release_syncs()
        answer = await reported
        assert store.durable_sequence >= answer.sequence
        found = open_state(store.crash(is_power_lost=True)).state
        assert found.orders["order-1"].filled == 10


async def test_concurrent_reports_share_one_commit(tmp_path: Path) -> None:
    """A hundred reports at once cost the disk a few syncs (S12.2)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        before = store.syncs_count
        errors = [ReportApiError(report_id=f"error-{n}") for n in range(100)]
        await asyncio.gather(*(service.report_api_error(error, BOT) for error in errors))
        assert store.syncs_count - before <= 3


async def test_a_cancelled_report_counts_all_the_same(tmp_path: Path) -> None:
    """A deadline while the disk works: the repetition is a duplicate (S7.2)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.check_order(an_order(), BOT)
        store.hold_syncs()
        reported = asyncio.create_task(service.report_trade(a_fill(), BOT))
        await turns()
        reported.cancel()
        await asyncio.wait((reported,))
        store.release_syncs()
        answer = await service.report_trade(a_fill(), BOT)
        assert answer.duplicate
        assert position_of(service) == 10


async def test_a_duplicate_has_the_sequence_of_the_newest_record(tmp_path: Path) -> None:
    """What left no record names no sequence a later order could get (S8.2, as_of_sequence)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        first = await service.report_trade(a_fill(), BOT)
        again = await service.report_trade(a_fill(), BOT)
        assert again.duplicate
        assert again.sequence == first.sequence == store.last_sequence


async def test_a_duplicate_waits_for_the_report_it_repeats(tmp_path: Path) -> None:
    """`duplicate` says that it is remembered, so it is not said before it is (S12.1)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        store.hold_syncs()
        first = asyncio.create_task(service.report_trade(a_fill(), BOT))
        await turns()
        again = asyncio.create_task(service.report_trade(a_fill(), BOT))
        await turns()
        assert not again.done()
        store.release_syncs()
        assert not (await first).duplicate
        assert (await again).duplicate


@pytest.mark.parametrize("fault", ["append", "sync"])
async def test_a_report_that_is_not_durable_counts_and_is_refused(
    tmp_path: Path, fault: str
) -> None:
    """It holds in memory, and the bot is told to repeat it after the restart (S12.3)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        if fault == "append":
            store.fail_next_append()
        else:
            store.fail_next_sync()
        for _ in range(2):
            with pytest.raises(CallRefused) as caught:
                await service.report_trade(a_fill(), BOT)
            assert caught.value.code is ErrorCode.UNAVAILABLE
            assert caught.value.reason == "STORE_UNAVAILABLE"
        assert position_of(service) == 10
        assert not service.is_ready


async def test_all_who_wait_for_a_failing_sync_are_refused(tmp_path: Path) -> None:
    """One error of the disk answers every waiter, and no later sync succeeds (S12.3)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        store.hold_syncs()
        store.fail_next_sync()
        reports = [ReportApiError(report_id=f"error-{n}") for n in range(5)]
        tasks = [asyncio.create_task(service.report_api_error(r, BOT)) for r in reports]
        await turns()
        store.release_syncs()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, CallRefused) for result in results)


async def test_a_conflicting_report_is_journalled_and_refused(tmp_path: Path) -> None:
    """Same id, other content: ALREADY_EXISTS naming the fields, counted and shown (S7.2)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.report_trade(a_fill(), BOT)
        with pytest.raises(CallRefused) as caught:
            await service.report_trade(replace(a_fill(), fill_price=Decimal(101)), BOT)
        assert caught.value.code is ErrorCode.ALREADY_EXISTS
        assert "fill_price" in caught.value.message
        assert kinds_of(store)[-2:] == ["ReportTrade", "ReportTrade"]
        assert service.status().view.orders.conflicting_reports == 1


async def test_a_report_that_trips_the_breaker_is_durable_before_it_is_answered(
    tmp_path: Path,
) -> None:
    """A trip acknowledged is a trip a power cut does not undo (S12.1)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        answer = await service.report_account(equity_report(94_000, "loss"), BOT)
        assert answer.status.is_breaker_open
        found = open_state(store.crash(is_power_lost=True)).state
        assert found.breaker.is_open


async def test_a_batch_of_reports_is_one_write_and_one_sync(tmp_path: Path) -> None:
    """Each item has its own answer; malformed and conflicting ones among them (contract.md)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        before = store.syncs_count
        refused = malformed([])
        cancel = replace(
            a_fill("cancel-1", "order-2"),
            kind=ReportKind.CANCELED,
            fill_quantity=None,
            fill_price=None,
        )
        other = replace(a_fill(), fill_price=Decimal(90))
        answers = await service.report_trades([a_fill(), refused, cancel, other], BOT)
        assert answers[1] is refused
        assert isinstance(answers[3], CallRefused)
        assert answers[3].code is ErrorCode.ALREADY_EXISTS
        sequences = [a.sequence for a in (answers[0], answers[2]) if not isinstance(a, CallRefused)]
        assert sequences[1] == sequences[0] + 1
        assert store.syncs_count - before <= 2


async def test_a_batch_of_reports_that_is_not_durable_is_refused(tmp_path: Path) -> None:
    """As one report is (S12.3)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        store.fail_next_append()
        with pytest.raises(CallRefused) as caught:
            await service.report_trades([a_fill()], BOT)
        assert caught.value.reason == "STORE_UNAVAILABLE"
        assert position_of(service) == 10


async def test_an_observer_reports_nothing(tmp_path: Path) -> None:
    """Facts come from bots and operators."""
    async with running(MemoryStore(), tmp_path) as service:
        for call in (
            service.report_trade(a_fill(), OBSERVER),
            service.report_trades([a_fill()], OBSERVER),
            service.report_account(holding(service), OBSERVER),
            service.report_api_error(ReportApiError(report_id="e"), OBSERVER),
        ):
            with pytest.raises(CallRefused) as caught:
                await call
            assert caught.value.code is ErrorCode.PERMISSION_DENIED
