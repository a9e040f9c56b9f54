"""Offers load to a server from a process of its own, and takes the time of every answer.

Rules:
1. Requests are made before the clock starts; answers are not read beyond their bytes.
2. One in flight is a closed loop: the next is sent when the last was answered.
3. Paced load is open: sends follow a fixed schedule whether or not earlier ones were answered, and
   latency counts from the intended send, so that a stall is felt by every order it delayed
   (coordinated omission).
4. Whatever was approved in a block is ended untimed, so that every block meets the same state.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeAlias

import grpc
from haltline.v1 import order_pb2, reports_pb2

from bench.bytes_path import request, request_bytes
from bench.noop_server import CHECK_ORDER, CHECK_ORDER_STREAM, CHECK_ORDERS, REPORT_TRADES
from bench.servers import Running
from bench.timing import Sample, sample_of

REPORTS_IN_A_CALL = 200
CALL_SECONDS_MAX = 20.0
_SCHEDULE_AHEAD_NS = 5_000_000

Call: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"
Metadata: TypeAlias = "tuple[tuple[str, str], ...] | None"
OPTIONS = (("grpc.use_local_subchannel_pool", 1),)
_NUMBERS = count()


@dataclass(slots=True)
class DrivenTime:
    """The time a driven sidecar is told: so much later with each order."""

    step: timedelta
    now: datetime = datetime(2026, 1, 5, tzinfo=UTC)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return what a call carries."""
        return (("haltline-time", self.now.isoformat().replace("+00:00", "Z")),)


@dataclass(slots=True)
class Target:
    """One server under load, and the ids of the orders still open at it."""

    channel: grpc.aio.Channel
    remembers: bool
    clock: DrivenTime | None = None
    open_ids: list[str] = field(default_factory=list)

    def unary(self, path: str) -> Call:
        """Return the call of `path`, bytes in and bytes out."""
        call: Call = self.channel.unary_unary(path)
        return call

    def new_ids(self, number: int) -> list[str]:
        """Return ids never used before, kept to be ended later."""
        ids = [f"order-{next(_NUMBERS):010d}" for _ in range(number)]
        self.open_ids += ids
        if self.clock is not None:
            self.clock.now += number * self.clock.step
        return ids

    @property
    def metadata(self) -> Metadata:
        """Return what every call carries: the time, where this target is told it."""
        return None if self.clock is None else self.clock.metadata()

    async def end_all(self) -> None:
        """Cancel what this target has approved; the one that decides nothing has none."""
        ids, self.open_ids = self.open_ids, []
        if not self.remembers:
            return
        call = self.unary(REPORT_TRADES)
        for at in range(0, len(ids), REPORTS_IN_A_CALL):
            body = _cancels(ids[at : at + REPORTS_IN_A_CALL])
            await call(body, timeout=CALL_SECONDS_MAX, metadata=self.metadata)


def _cancels(ids: Sequence[str]) -> bytes:
    return reports_pb2.ReportTradesRequest(
        trades=[
            reports_pb2.ReportTradeRequest(
                report_id="end",
                order_id=order_id,
                strategy="momentum",
                symbol="AAPL",
                side=order_pb2.SIDE_BUY,
                kind=reports_pb2.TRADE_REPORT_KIND_CANCELED,
            )
            for order_id in ids
        ]
    ).SerializeToString()


def open_target(address: str, *, remembers: bool, clock: DrivenTime | None = None) -> Target:
    """Connect to a server; each target has a connection of its own."""
    return Target(grpc.aio.insecure_channel(address, options=OPTIONS), remembers, clock)


async def one_in_flight(target: Target, orders: int) -> Sample:
    """Ask one order after the other."""
    call = target.unary(CHECK_ORDER)
    taken: list[int] = []
    for body in [request_bytes(order_id) for order_id in target.new_ids(orders)]:
        begun = time.perf_counter_ns()
        await call(body, timeout=CALL_SECONDS_MAX)
        taken.append(time.perf_counter_ns() - begun)
    await target.end_all()
    return sample_of(taken)


async def one_on_a_stream(target: Target, orders: int) -> Sample:
    """Ask one order after the other on one CheckOrderStream."""
    stream: Any = target.channel.stream_stream(CHECK_ORDER_STREAM)()
    bodies = [
        order_pb2.CheckOrderStreamRequest(request_id=at, order=request(order_id))
        for at, order_id in enumerate(target.new_ids(orders))
    ]
    taken: list[int] = []
    for body in [message.SerializeToString() for message in bodies]:
        begun = time.perf_counter_ns()
        await stream.write(body)
        await stream.read()
        taken.append(time.perf_counter_ns() - begun)
    await stream.done_writing()
    await target.end_all()
    return sample_of(taken)


@dataclass(frozen=True, slots=True)
class Rate:
    """Orders answered in a second, and the server's processor microseconds of each."""

    per_second: float
    processor: float


async def at_once(target: Target, orders: int, in_flight: int, running: Running) -> Rate:
    """Keep `in_flight` orders in flight."""
    bodies = [request_bytes(order_id) for order_id in target.new_ids(orders)]
    return await _rate(target, CHECK_ORDER, bodies, orders, in_flight, running)


async def in_batches(
    target: Target, calls: int, orders: int, in_flight: int, running: Running
) -> Rate:
    """Ask about `orders` orders in each call."""
    bodies = [
        order_pb2.CheckOrdersRequest(
            orders=[request(order_id) for order_id in target.new_ids(orders)],
            mode=order_pb2.BATCH_MODE_INDEPENDENT,
        ).SerializeToString()
        for _ in range(calls)
    ]
    return await _rate(target, CHECK_ORDERS, bodies, orders * calls, in_flight, running)


async def _rate(
    target: Target, path: str, bodies: list[bytes], orders: int, in_flight: int, running: Running
) -> Rate:
    before = running.processor_seconds
    seconds = await _seconds(target.unary(path), iter(bodies), in_flight, target.metadata)
    used = running.processor_seconds - before
    await target.end_all()
    return Rate(orders / seconds, 1e6 * used / orders)


async def _seconds(
    call: Call, bodies: Iterator[bytes], in_flight: int, metadata: Metadata
) -> float:
    """Send every body, `in_flight` at a time; return how long that took."""

    async def work() -> None:
        for body in bodies:
            await call(body, timeout=CALL_SECONDS_MAX, metadata=metadata)

    begun = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(in_flight)))
    return time.perf_counter() - begun


async def paced(target: Target, orders: int, per_second: float) -> Sample:
    """Send `orders` on a fixed schedule; latency counts from the intended send."""
    call = target.unary(CHECK_ORDER)
    bodies = [request_bytes(order_id) for order_id in target.new_ids(orders)]
    taken: list[int] = []
    metadata = target.metadata

    async def ask(body: bytes, due_ns: int) -> None:
        await call(body, timeout=CALL_SECONDS_MAX, metadata=metadata)
        taken.append(time.perf_counter_ns() - due_ns)

    await on_schedule(lambda at, due_ns: ask(bodies[at], due_ns), orders, per_second)
    await target.end_all()
    return sample_of(taken)


async def on_schedule(
    send: Callable[[int, int], Coroutine[Any, Any, None]], number: int, per_second: float
) -> None:
    """Start `send(at, due_ns)` at each instant of a fixed schedule, and wait for them all.

    A thread keeps the schedule: timers of the loop are a millisecond coarse, and a loop that spins
    instead would take a processor from the servers.
    """
    step_ns = 1_000_000_000 / per_second
    begun_ns = time.perf_counter_ns() + _SCHEDULE_AHEAD_NS
    due_times = [begun_ns + round(at * step_ns) for at in range(number)]
    tasks: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()
    is_over = asyncio.Event()

    def start(at: int) -> None:
        tasks.append(loop.create_task(send(at, due_times[at])))
        if len(tasks) == number:
            is_over.set()

    def keep_schedule() -> None:
        for at, due_ns in enumerate(due_times):
            left_ns = due_ns - time.perf_counter_ns()
            if left_ns > 0:
                time.sleep(left_ns / 1_000_000_000)
            loop.call_soon_threadsafe(start, at)

    keeper = threading.Thread(target=keep_schedule, name="schedule")
    keeper.start()
    await is_over.wait()
    keeper.join()
    await asyncio.gather(*tasks)
