"""The service over the store that serves: what memory promises, the disk keeps."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sidecar.clock import ManualClock
from sidecar.core.answers import RecoveryState, TradingMode
from sidecar.core.state import to_plain
from sidecar.service.opening import open_state, read_state
from sidecar.store.lock import Holder
from sidecar.store.read_only import open_read_only
from sidecar.store.sqlite_open import OpenOptions, open_sqlite_store
from sidecar.store.sqlite_store import SqliteStore
from tests.service.harness import (
    BOT,
    OPERATOR,
    a_fill,
    a_kill,
    a_reset,
    an_order,
    holding,
    make_service,
    replayed,
)


def open_store(directory: Path) -> SqliteStore:
    """Open the store in `directory`, as `serve` does."""
    holder = Holder(name="test", since="2026-01-02T03:04:05Z")
    return open_sqlite_store(directory, OpenOptions(clock_kind="wall", holder=holder))


async def test_a_day_of_trading_is_read_back_from_the_disk_alone(tmp_path: Path) -> None:
    """Snapshot and replay of the real files give the state that was served (S12.5)."""
    clock = ManualClock()
    service = make_service(open_store(tmp_path), tmp_path, clock=clock)
    await service.start()
    await service.report_account(holding(service), BOT)
    orders = [an_order(f"order-{number}") for number in range(1, 51)]
    answers = await asyncio.gather(*(service.check_order(order, BOT) for order in orders))
    assert [answer.is_approved for answer in answers].count(True) == 29
    await service.report_trade(a_fill(), BOT)
    await service.trigger_kill(a_kill(), BOT)
    await service.reset_kill(a_reset(), OPERATOR)
    before = service.status().view
    assert await service.stop()
    store = open_store(tmp_path)
    opened = open_state(store)
    assert opened.recovery is RecoveryState.CLEAN
    assert opened.replayed_count == 0
    assert to_plain(opened.state) == replayed(store)
    again = make_service(store, tmp_path, clock=clock)
    await again.start()
    assert again.status().view.limits == before.limits
    assert again.status().view.account == before.account
    assert again.status().view.mode is TradingMode.NORMAL
    assert await again.stop()


async def test_a_stopped_directory_is_read_without_being_opened(tmp_path: Path) -> None:
    """`haltline safety` reads what a stopped sidecar left, and changes nothing (contract.md)."""
    service = make_service(open_store(tmp_path), tmp_path)
    await service.start()
    await service.trigger_kill(a_kill(), BOT)
    await service.stop()
    with open_read_only(tmp_path) as reader:
        read = read_state(reader)
    assert read.damage is None
    assert list(read.state.activations) == ["ALL"]
