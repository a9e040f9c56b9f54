"""Bytes in to bytes out: wire, service, core, memory store, wire; no transport."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from decimal import Decimal
from itertools import count

from haltline.v1 import order_pb2

from bench.figures import Figure, judged
from bench.timing import WARM, Sample, in_turns, measure
from sidecar import wire
from sidecar.clock import ManualClock
from sidecar.core.commands import ReportAccount, ReportedMark
from sidecar.core.thresholds import Thresholds
from sidecar.service import Caller, Role, Service, Settings
from sidecar.store.memory_store import MemoryStore

BYTES_MICROSECONDS_MAX = 12.0


def request(order_id: str) -> order_pb2.CheckOrderRequest:
    """Return a CheckOrder request as a bot sends it."""
    return order_pb2.CheckOrderRequest(
        order_id=order_id,
        strategy="momentum",
        symbol="AAPL",
        side=order_pb2.SIDE_BUY,
        order_type=order_pb2.ORDER_TYPE_LIMIT,
        quantity="12.5",
        limit_price="100.25",
    )


def request_bytes(order_id: str) -> bytes:
    """Return the bytes of that request."""
    return request(order_id).SerializeToString()


def bytes_figures(*, rounds: int, blocks: int) -> list[Figure]:
    """Time request bytes to answer bytes through the real service with the memory store."""
    return asyncio.run(_figures(rounds, blocks))


@contextlib.asynccontextmanager
async def bench_service(
    thresholds: Thresholds | None = None,
) -> AsyncIterator[tuple[Service, Caller]]:
    """Give a service on the memory store with plenty of equity, and a bot that calls it."""
    with tempfile.TemporaryDirectory(prefix="haltline-bench-") as directory:
        service = Service(
            store=MemoryStore(),
            clock=ManualClock(1_700_000_000_000_000_000),
            thresholds=thresholds or Thresholds(),
            config_hash="bench",
            settings=Settings(kill_file_directory=directory),
        )
        await service.start()
        caller = Caller(role=Role.BOT, peer="bench", name="bench")
        marks = (ReportedMark(symbol="AAPL", price=Decimal(100)),)
        await service.report_account(
            ReportAccount(report_id="equity", equity=Decimal(10) ** 12, marks=marks), caller
        )
        try:
            yield service, caller
        finally:
            await service.stop()


async def _figures(rounds: int, blocks_count: int) -> list[Figure]:
    async with bench_service() as (service, caller):
        (blocks,) = in_turns([lambda: _block(service, caller, rounds)], blocks_count)
    return [
        judged(
            "request bytes to answer bytes, no transport, memory store",
            "<= 12 p50",
            blocks.p50,
            BYTES_MICROSECONDS_MAX,
            figure=f"p50 {blocks.p50:.1f} (best block {blocks.best_p50:.1f}), p99 {blocks.p99:.1f}",
        )
    ]


_ORDERS = count()


def _block(service: Service, caller: Caller, rounds: int) -> Sample:
    writer = wire.DecisionWriter(store_id=service.store_id)
    requests = [request_bytes(f"order-{next(_ORDERS)}") for _ in range(rounds + WARM)]

    async def answer(body: bytes) -> bytes:
        order = wire.read_order(order_pb2.CheckOrderRequest.FromString(body))
        return writer.encode(await service.check_order(order, caller))

    def check(at: int) -> None:
        # The path has no await that suspends, so the coroutine ends in one step.
        coroutine = answer(requests[at])
        try:
            coroutine.send(None)
        except StopIteration:
            return
        raise RuntimeError("an approval waited for something it should not wait for")

    return measure(check, rounds=rounds)
