"""The stop epoch over restarts: a forgotten approval is never valid again (S4.6, S12.4)."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

from sidecar.core.commands import KillMode, ScopeKind, TriggerKill
from sidecar.store.memory_store import MemoryStore
from tests.service.harness import (
    BOT,
    a_kill,
    an_exit,
    an_order,
    holding,
    make_service,
    running,
    turns,
)

OTHERS = TriggerKill(
    reason="drill",
    triggered_by="alice",
    scope_kind=ScopeKind.STRATEGY.value,
    scope_name="others",
)


async def test_an_approval_never_carries_an_epoch_that_power_may_take_back(tmp_path: Path) -> None:
    """A kill of others is written, an order approved after it, power goes: kill and approval are
    forgotten, and the start's own stop must not bring the same epoch again (S4.6).
    """
    store = MemoryStore()
    service = make_service(store, tmp_path)
    await service.start()
    store.hold_syncs()
    kill = asyncio.create_task(service.trigger_kill(OTHERS, BOT))
    check = asyncio.create_task(service.check_order(an_order(), BOT))
    await turns()
    given_out = [check.result()] if check.done() else []
    after = store.crash(is_power_lost=True)
    async with running(after, tmp_path) as again:
        assert again.status().view.recovery.way_out
        assert [d for d in given_out if d.stop_epoch >= again.stop_epoch] == []
    for task in (kill, check):
        task.cancel()
    store.release_syncs()
    await service.stop()


async def test_an_approval_from_memory_is_older_than_the_start_that_forgot_it(
    tmp_path: Path,
) -> None:
    """A poisoned store approves an exit under kills that only memory knows; whatever number they
    reached, the next start is beyond it (S4.2, S12.4).
    """
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.report_account(holding(service), BOT)
        store.fail_next_sync()
        await service.trigger_kill(a_kill(KillMode.REDUCE_ONLY), BOT)
        assert store.poisoned
        for name in range(3):
            scoped = TriggerKill(scope_kind=ScopeKind.STRATEGY.value, scope_name=f"other-{name}")
            await service.trigger_kill(scoped, BOT)
        decision = await service.check_order(an_exit(), BOT)
        assert decision.is_approved
        assert not decision.durable
    async with running(store.reopen(), tmp_path) as again:
        assert again.status().view.recovery.denies_reducing
        assert again.stop_epoch > decision.stop_epoch


async def test_an_approval_waits_for_no_kill_that_is_durable(tmp_path: Path) -> None:
    """Once the kill is on the disk, an order it does not cover is answered in one turn (S12.1)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.trigger_kill(OTHERS, BOT)
        store.hold_syncs()
        async with asyncio.timeout(10):
            decision = await service.check_order(an_order(quantity=Decimal(1)), BOT)
        assert decision.is_approved
        assert decision.stop_epoch == service.stop_epoch


async def test_a_start_that_is_not_durable_approves_nothing_from_memory(tmp_path: Path) -> None:
    """The start's own stop is lost with it, so the next one would count to the same epoch: what
    this one approved from memory could not be told from what that one approves (S4.2, S12.4).
    """
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.report_account(holding(service), BOT)
    again = store.reopen()
    again.fail_next_sync()
    async with running(again, tmp_path) as service:
        decision = await service.check_order(an_exit(), BOT)
        assert not decision.is_approved
        books = next(part for part in service.health() if part.name == "books")
        assert "start" in books.cause
        kill = await service.trigger_kill(a_kill(), BOT)
        assert kill.activation.mode is KillMode.HALT
