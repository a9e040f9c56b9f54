"""A service over the in-memory store and the manual clock, and the words its tests speak in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from sidecar.audit.keys import Signing
from sidecar.clock import SECOND_NS, Clock, ManualClock
from sidecar.core import engine
from sidecar.core.commands import (
    CheckOrder,
    KillMode,
    OrderType,
    ReportAccount,
    ReportedMark,
    ReportedPosition,
    ReportKind,
    ReportTrade,
    ResetKill,
    Side,
    TriggerKill,
)
from sidecar.core.state import State, to_plain
from sidecar.core.thresholds import Thresholds
from sidecar.service import Caller, ConfigurationSource, Role, Service, Settings
from sidecar.service.records import Record, decode_record
from sidecar.store.memory_store import MemoryStore
from sidecar.store.store import Store

BOT: Final = Caller(role=Role.BOT, peer="unix:", name="momentum")
OBSERVER: Final = Caller(role=Role.OBSERVER, peer="ipv4:10.0.0.9:1234")
OPERATOR: Final = Caller(role=Role.OPERATOR, peer="unix:", name="alice", has_operator_proof=True)

EQUITY: Final = Decimal(100_000)
WAIT_SECONDS: Final = 10.0


def make_service(
    store: Store,
    directory: Path,
    *,
    clock: Clock | None = None,
    thresholds: Thresholds | None = None,
    config_hash: str = "hash-1",
    source: ConfigurationSource | None = None,
    signing: Signing | None = None,
    **settings: Any,  # noqa: ANN401 - the fields of Settings, by name
) -> Service:
    """Return a service that looks for its KILL file in `directory`."""
    given = {"initial_equity": EQUITY, "is_assumed_flat": True, **settings}
    return Service(
        store=store,
        clock=clock or ManualClock(),
        thresholds=thresholds or Thresholds(),
        config_hash=config_hash,
        settings=Settings(kill_file_directory=str(directory), **given),
        source=source,
        signing=signing,
    )


@asynccontextmanager
async def running(store: MemoryStore, directory: Path, **options: Any) -> AsyncIterator[Service]:  # noqa: ANN401 - as make_service
    """Start a service and stop it at the end, whatever became of its store."""
    service = make_service(store, directory, **options)
    await service.start()
    try:
        yield service
    finally:
        store.release_syncs()
        await service.stop()


def an_order(order_id: str = "order-1", **changes: Any) -> CheckOrder:  # noqa: ANN401 - fields by name
    """Return a buy of 10 at 100, 1 % of the equity."""
    order = CheckOrder(
        order_id=order_id,
        strategy="momentum",
        symbol="ACME",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal(10),
        limit_price=Decimal(100),
    )
    return replace(order, **changes)


def an_exit(order_id: str = "exit-1") -> CheckOrder:
    """Return a sale of half of what `holding` reports."""
    return an_order(order_id, side=Side.SELL, quantity=Decimal(5))


def holding(service: Service, report_id: str = "holding-1") -> ReportAccount:
    """Return a complete report of a long position of 10 at 100, as of now."""
    position = ReportedPosition(
        strategy="momentum", symbol="ACME", quantity=Decimal(10), average_price=Decimal(100)
    )
    return ReportAccount(
        report_id=report_id,
        positions=(position,),
        positions_complete=True,
        open_orders_complete=True,
        as_of_sequence=service.status().view.last_sequence,
        as_of_venue_time=1,
        marks=(ReportedMark(symbol="ACME", price=Decimal(100)),),
    )


def a_fill(report_id: str = "fill-1", order_id: str = "order-1") -> ReportTrade:
    """Return the whole fill of `an_order`."""
    return ReportTrade(
        report_id=report_id,
        order_id=order_id,
        strategy="momentum",
        symbol="ACME",
        side=Side.BUY,
        kind=ReportKind.FILLED,
        fill_quantity=Decimal(10),
        fill_price=Decimal(100),
    )


def a_kill(mode: KillMode = KillMode.HALT) -> TriggerKill:
    """Return a trigger of scope ALL."""
    return TriggerKill(reason="drill", triggered_by="alice", mode=mode.value)


def a_reset(**changes: Any) -> ResetKill:  # noqa: ANN401 - fields by name
    """Return a reset of every kill."""
    return replace(ResetKill(reset_by="alice", reason="drill over"), **changes)


def equity_report(equity: int, report_id: str) -> ReportAccount:
    """Return a report of the equity alone."""
    return ReportAccount(report_id=report_id, equity=Decimal(equity))


async def until(condition: Callable[[], object]) -> None:
    """Return once `condition` holds; fails after ten seconds."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - the condition is the code under test, it sets no event
            await asyncio.sleep(0.005)


async def turns(count: int = 20) -> None:
    """Let everything run that can without the disk's answer."""
    for _ in range(count):
        await asyncio.sleep(0)


def records_of(store: Store) -> list[Record]:
    """Return the journal."""
    return [decode_record(payload) for _, payload in store.read(1)]


def kinds_of(store: Store) -> list[str]:
    """Return what the journal's records are about, in order."""
    return [record.kind for record in records_of(store)]


def replayed(store: Store) -> list[Any]:
    """Return the state that the journal alone gives, without any snapshot."""
    state = State()
    for record in records_of(store):
        engine.replay(state, record.sequence, record.time, record.events)
    return to_plain(state)


SECOND: Final = SECOND_NS
