"""Mixed load for a while: orders, reports, streams, and calls and streams that are cancelled.

Rules:
1. Orders are asked on a fixed schedule and ended at once; their latency counts from the intended
   send. Few enough that remembered ids do not hide what leaks.
2. Cancelling keeps a schedule of its own, spread over the whole time: calls at once or in flight,
   streams after their first frame; every hundredth time a whole connection is dropped.
3. A window is looked at when nothing is being cancelled, so that descriptors can be compared.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import grpc
from haltline.v1 import order_pb2

from bench.bytes_path import request
from bench.flood import GARBAGE, SERVICE, call, open_status, own_channel
from bench.load import Target, open_target, paced
from bench.plans import SoakPlan, SoakWindow
from bench.servers import Running
from bench.timing import Sample

_CALL_SECONDS_MAX = 30.0
_CANCELLERS = 8
_CONNECTION_DROPPED_EVERY = 100
_LOOKS_PER_SECOND = 4


@dataclass(slots=True)
class Cancelling:
    """What is cancelled, on a schedule; paused while a window is looked at."""

    plan: SoakPlan
    begun: float
    count: int = 0
    busy: int = 0
    may_run: asyncio.Event = field(default_factory=asyncio.Event)
    is_idle: asyncio.Event = field(default_factory=asyncio.Event)
    _turns: itertools.count[int] = field(default_factory=itertools.count)

    async def run(self) -> None:
        """Cancel until all that was asked for is."""
        channel = own_channel(self.plan.sidecar)
        while (turn := next(self._turns)) < self.plan.cancels:
            due = self.begun + self.plan.seconds * turn / self.plan.cancels
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self.may_run.wait()
            self.busy += 1
            self.is_idle.clear()
            try:
                await _KINDS[turn % len(_KINDS)](channel, turn)
                if turn % _CONNECTION_DROPPED_EVERY == 0:
                    await channel.close()
                    channel = own_channel(self.plan.sidecar)
            finally:
                self.count += 1
                self.busy -= 1
                if not self.busy:
                    self.is_idle.set()
        await channel.close()

    async def pause(self) -> None:
        """Return when nothing is being cancelled."""
        self.may_run.clear()
        if self.busy:
            await self.is_idle.wait()


def _dry(turn: int) -> order_pb2.CheckOrderRequest:
    order = request(f"dry-{turn}")
    order.dry_run = True
    return order


async def _cancel_at_once(channel: grpc.aio.Channel, turn: int) -> None:
    method: Any = channel.unary_unary(f"{SERVICE}/CheckOrder")
    asked = method(_dry(turn).SerializeToString(), timeout=_CALL_SECONDS_MAX)
    asked.cancel()
    with contextlib.suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
        await asked


async def _cancel_in_flight(channel: grpc.aio.Channel, turn: int) -> None:
    method: Any = channel.unary_unary(f"{SERVICE}/CheckOrder")
    asked = method(_dry(turn).SerializeToString(), timeout=_CALL_SECONDS_MAX)
    await asyncio.sleep(0.000_2)
    asked.cancel()
    with contextlib.suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
        await asked


async def _cancel_status(channel: grpc.aio.Channel, _turn: int) -> None:
    stream = open_status(channel)
    await stream.read()
    stream.cancel()


async def _cancel_orders(channel: grpc.aio.Channel, turn: int) -> None:
    method: Any = channel.stream_stream(f"{SERVICE}/CheckOrderStream")
    stream = method()
    asked = order_pb2.CheckOrderStreamRequest(request_id=turn, order=_dry(turn))
    await stream.write(asked.SerializeToString())
    await stream.read()
    stream.cancel()


async def _send_garbage(channel: grpc.aio.Channel, _turn: int) -> None:
    with contextlib.suppress(grpc.aio.AioRpcError):
        await call(channel, "CheckOrder", GARBAGE)


_KINDS = (_cancel_at_once, _cancel_in_flight, _cancel_status, _cancel_orders, _send_garbage)


async def _read(channel: grpc.aio.Channel) -> None:
    async for _ in open_status(channel):
        pass


async def soak(plan: SoakPlan) -> Soaked:
    """Keep the load up for its time and look once a window."""
    running = Running(plan.sidecar, plan.sidecar_pid)
    target = open_target(plan.sidecar, remembers=True)
    reading = own_channel(plan.sidecar)
    readers = [asyncio.create_task(_read(reading)) for _ in range(plan.readers)]
    await _ask(target, plan, plan.orders_per_second)
    cancelling = Cancelling(plan, time.monotonic())
    cancelling.may_run.set()
    cancellers = [asyncio.create_task(cancelling.run()) for _ in range(_CANCELLERS)]
    soaked = Soaked()
    windows = max(1, round(plan.seconds / plan.window_seconds))
    orders = max(1, round(plan.window_seconds * plan.orders_per_second))
    for at in range(windows):
        sample = await _ask(target, plan, orders)
        if at + 1 == windows:
            await asyncio.gather(*cancellers)
        await cancelling.pause()
        gc.collect()
        soaked.windows.append(
            asdict(
                SoakWindow(
                    seconds=time.monotonic() - cancelling.begun,
                    resident=running.resident_bytes,
                    descriptors=running.descriptors_count,
                    orders=(at + 1) * orders,
                    cancelled=cancelling.count,
                    p50=sample.p50,
                    p99=sample.p99,
                )
            )
        )
        cancelling.may_run.set()
    for task in readers:
        task.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    await reading.close()
    await target.channel.close()
    return soaked


async def _ask(target: Target, plan: SoakPlan, orders: int) -> Sample:
    return await paced(target, orders, plan.orders_per_second)


@dataclass(slots=True)
class Soaked:
    """Every window, in order."""

    windows: list[dict[str, Any]] = field(default_factory=list)
