"""Random commands, all at once, over a disk that answers when it likes: memory is the replay."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import pytest

from sidecar.clock import SECOND_NS, ManualClock
from sidecar.core.commands import (
    BatchMode,
    KillMode,
    ReleaseOrder,
    ReportApiError,
    ReportKind,
    ResetAll,
    Side,
    TriggerKill,
)
from sidecar.core.denial import CallRefused
from sidecar.core.events import KillActivated, KillReset, OrderApproved
from sidecar.core.state import to_plain
from sidecar.service import Service
from sidecar.service.records import decode_snapshot
from sidecar.store.memory_store import MemoryStore
from tests.service.harness import (
    BOT,
    OPERATOR,
    a_fill,
    a_kill,
    an_order,
    equity_report,
    records_of,
    replayed,
    running,
)

SEEDS = range(25)
COMMANDS_COUNT = 120


def any_command(service: Service, chance: random.Random) -> Callable[[], Awaitable[object]]:
    """Return one call with arguments that often collide with those of others."""
    order_id = f"order-{chance.randrange(20)}"
    side = chance.choice(list(Side))
    order = an_order(order_id, side=side, quantity=Decimal(chance.randrange(1, 200)))
    fill = a_fill(f"fill-{chance.randrange(3)}", order_id)
    fill.fill_quantity, fill.side = Decimal(chance.randrange(1, 20)), side
    cancel = a_fill(f"end-{chance.randrange(3)}", order_id)
    cancel.kind, cancel.fill_quantity, cancel.fill_price = ReportKind.CANCELED, None, None
    number = chance.randrange(10_000)
    scoped = TriggerKill(scope_kind="STRATEGY", scope_name="momentum", mode="REDUCE_ONLY")
    equity = equity_report(chance.randrange(96_000, 110_000), f"equity-{number}")
    mode = chance.choice(list(BatchMode))
    others = [order, an_order(f"order-{chance.randrange(20, 40)}")]
    release = ReleaseOrder(order_id=order_id, released_by="alice", reason="test")
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: service.check_order(order, BOT),
        lambda: service.check_order(order, BOT),
        lambda: service.check_orders(others, mode, BOT),
        lambda: service.report_trade(fill, BOT),
        lambda: service.report_trade(cancel, BOT),
        lambda: service.report_account(equity, BOT),
        lambda: service.report_api_error(ReportApiError(report_id=f"error-{number}"), BOT),
        lambda: service.trigger_kill(a_kill(chance.choice(list(KillMode))), BOT),
        lambda: service.trigger_kill(scoped, BOT),
        lambda: service.reset_all(ResetAll(reset_by="alice", reason="test"), OPERATOR),
        lambda: service.reset_all(ResetAll(reset_by="alice", reason="test"), OPERATOR),
        lambda: service.release_order(release, OPERATOR),
    ]
    return chance.choice(calls)


async def call_of(call: Callable[[], Awaitable[object]]) -> None:
    """Make a call; a refusal is an answer as good as any here."""
    refusals = []
    try:
        await call()
    except CallRefused as refused:
        refusals.append(refused)
    assert all(refused.message for refused in refusals)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("approvals_need_power", [False, True])
async def test_memory_is_the_replay_whatever_came_between(
    tmp_path: Path, seed: int, *, approvals_need_power: bool
) -> None:
    """Held syncs, callers that go away, kills into resets: the journal tells the same (S3)."""
    chance = random.Random(seed)
    store, clock = MemoryStore(), ManualClock()
    options = {"clock": clock, "approvals_need_power": approvals_need_power}
    async with running(store, tmp_path, **options) as service:
        tasks: list[asyncio.Task[None]] = []
        for _ in range(COMMANDS_COUNT):
            tasks.append(asyncio.create_task(call_of(any_command(service, chance))))
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            clock.advance(chance.randrange(3 * SECOND_NS))
            move = chance.random()
            if move < 0.2:
                store.hold_syncs()
            elif move < 0.5:
                store.release_syncs()
            elif move < 0.6:
                chance.choice(tasks).cancel()
        store.release_syncs()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        faults = [r for r in results if isinstance(r, Exception)]
        assert not faults
        assert service.is_ready
    again = store.reopen()
    found = again.latest_snapshot()
    assert found is not None
    assert to_plain(decode_snapshot(found[1])) == replayed(again)
    assert_no_approval_under_halt(again)


def assert_no_approval_under_halt(store: MemoryStore) -> None:
    """Between a HALT of everything and its reset no record is an approval (S4.7)."""
    is_halted = False
    for record in records_of(store):
        for event in record.events:
            if isinstance(event, KillActivated) and event.scope.name == "":
                is_halted = event.mode is KillMode.HALT
            elif isinstance(event, KillReset):
                is_halted = False
            assert not (is_halted and isinstance(event, OrderApproved)), record.sequence
