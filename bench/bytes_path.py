"""Bytes in to bytes out: wire, service, core, memory store, wire; no transport."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from haltline.v1 import order_pb2

from bench.timing import Sample, measure
from sidecar import wire
from sidecar.clock import ManualClock
from sidecar.core.commands import ReportAccount, ReportedMark
from sidecar.core.thresholds import Thresholds
from sidecar.service import Caller, Role, Service, Settings
from sidecar.store.memory_store import MemoryStore


def request_bytes(order_id: str) -> bytes:
    """Return the bytes of a CheckOrder request as a bot sends it."""
    return order_pb2.CheckOrderRequest(
        order_id=order_id,
        strategy="momentum",
        symbol="AAPL",
        side=order_pb2.SIDE_BUY,
        order_type=order_pb2.ORDER_TYPE_LIMIT,
        quantity="12.5",
        limit_price="100.25",
    ).SerializeToString()


async def measure_bytes(directory: Path, rounds: int) -> Sample:
    """Time request bytes to answer bytes through the real service with the memory store."""
    service = Service(
        store=MemoryStore(),
        clock=ManualClock(1_700_000_000_000_000_000),
        thresholds=Thresholds(),
        config_hash="bench",
        settings=Settings(kill_file_directory=str(directory)),
    )
    await service.start()
    caller = Caller(role=Role.BOT, peer="bench", name="bench")
    await service.report_account(
        ReportAccount(
            report_id="equity",
            equity=Decimal(10) ** 12,
            marks=(ReportedMark(symbol="AAPL", price=Decimal(100)),),
        ),
        caller,
    )
    writer = wire.DecisionWriter(store_id=service.store_id, config_hash=service.config_hash)
    requests = [request_bytes(f"order-{at}") for at in range(rounds + 200)]

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

    sample = measure(check, rounds=rounds)
    await service.stop()
    return sample
