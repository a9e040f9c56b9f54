"""A flood of bad calls over real connections: what a broken or hostile peer sends (issue: bounds).

Rules:
1. Every kind of bad call is sent in turn by every worker; each answer is counted by its code.
2. Each peer has connections of its own, as another process would.
3. Nothing here is asserted: tests and the bench hold what they need to the counts.

Usage: python -m bench.flood ADDRESS PEERS (until it is ended; prints `ready` once it floods)
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from haltline.v1 import order_pb2, status_pb2

SERVICE: Final = "/haltline.v1.SafetyService"
CALL_SECONDS_MAX: Final = 30.0
OVERSIZED: Final = b"\x0a" + b"\xff" * (5 * 1024 * 1024)
GARBAGE: Final = b"\xff\xff\xff\xff no message"
OVERSIZED_EVERY: Final = 64
"""Five megabytes take the sender as long as a thousand small calls: one in so many rounds."""
_OPTIONS: Final = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", 2 * len(OVERSIZED)),
)


def own_channel(address: str) -> grpc.aio.Channel:
    """Return a connection of its own."""
    return grpc.aio.insecure_channel(address, options=_OPTIONS)


@dataclass(slots=True)
class Flood:
    """Sends bad calls until stopped; `sent` counts by kind, `heard` by kind and code."""

    address: str
    sent: Counter[str] = field(default_factory=Counter)
    heard: Counter[str] = field(default_factory=Counter)
    denied_count: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _is_over: bool = False

    async def run_peer(self) -> None:
        """Send every kind in turn on one connection until `stop`."""
        async with own_channel(self.address) as channel:
            for turn in itertools.count():
                for name, send in self._kinds(turn):
                    if self._is_over:
                        return
                    self.sent[name] += 1
                    self.heard[f"{name} {await _code_of(send(channel))}"] += 1
                    self.begun.set()

    def stop(self) -> None:
        """Have every peer end after the call it is at."""
        self._is_over = True

    @property
    def calls_count(self) -> int:
        """How many calls were sent."""
        return self.sent.total()

    def _kinds(self, turn: int) -> list[tuple[str, Callable[[grpc.aio.Channel], Awaitable[None]]]]:
        kinds: list[tuple[str, Callable[[grpc.aio.Channel], Awaitable[None]]]] = [
            ("garbage", _garbage),
            ("malformed", self._malformed),
            ("unknown method", _unknown_method),
            ("denied alike", self._denied_alike),
            ("unknown name", self._unknown_name),
            ("denied batch", self._denied_batch),
            ("cancelled call", self._cancelled_call),
            ("dropped stream", _dropped_stream),
        ]
        return kinds if turn % OVERSIZED_EVERY else [*kinds, ("oversized", _oversized)]

    def _order(self, **changes: str) -> order_pb2.CheckOrderRequest:
        fields: dict[str, Any] = {
            "order_id": f"flood-{next(self._numbers)}-{id(self)}",
            "strategy": "flood",
            "symbol": "ACME",
            "side": order_pb2.SIDE_BUY,
            "order_type": order_pb2.ORDER_TYPE_LIMIT,
            "quantity": "100000000000000",
            "limit_price": "1000",
            **changes,
        }
        return order_pb2.CheckOrderRequest(**fields)

    async def _check(self, channel: grpc.aio.Channel, order: order_pb2.CheckOrderRequest) -> None:
        body = await call(channel, "CheckOrder", order.SerializeToString())
        answer = order_pb2.CheckOrderResponse.FromString(body)
        self.denied_count += answer.verdict == order_pb2.VERDICT_DENIED

    async def _denied_alike(self, channel: grpc.aio.Channel) -> None:
        await self._check(channel, self._order())

    async def _unknown_name(self, channel: grpc.aio.Channel) -> None:
        number = next(self._numbers)
        await self._check(channel, self._order(strategy=f"s{number}", symbol=f"S{number}"))

    async def _malformed(self, channel: grpc.aio.Channel) -> None:
        await self._check(channel, self._order(quantity="1e9", strategy=""))

    async def _denied_batch(self, channel: grpc.aio.Channel) -> None:
        orders = [self._order() for _ in range(20)]
        request = order_pb2.CheckOrdersRequest(orders=orders, mode=order_pb2.BATCH_MODE_INDEPENDENT)
        body = await call(channel, "CheckOrders", request.SerializeToString())
        results = order_pb2.CheckOrdersResponse.FromString(body).results
        self.denied_count += sum(
            result.decision.verdict == order_pb2.VERDICT_DENIED for result in results
        )

    async def _cancelled_call(self, channel: grpc.aio.Channel) -> None:
        method: Any = channel.unary_unary(f"{SERVICE}/CheckOrder")
        asked = method(self._order().SerializeToString(), timeout=CALL_SECONDS_MAX)
        asked.cancel()
        with contextlib.suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
            await asked


async def call(channel: grpc.aio.Channel, name: str, body: bytes) -> bytes:
    """Send these very bytes to a call of SafetyService."""
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
        f"{SERVICE}/{name}"
    )
    return await method(body, timeout=CALL_SECONDS_MAX)


async def _garbage(channel: grpc.aio.Channel) -> None:
    await call(channel, "CheckOrder", GARBAGE)


async def _oversized(channel: grpc.aio.Channel) -> None:
    await call(channel, "CheckOrder", OVERSIZED)


async def _unknown_method(channel: grpc.aio.Channel) -> None:
    await call(channel, "NoSuchCall", b"")


async def _dropped_stream(channel: grpc.aio.Channel) -> None:
    stream = open_status(channel)
    await stream.read()
    stream.cancel()


def open_status(channel: grpc.aio.Channel) -> Any:  # noqa: ANN401 - grpc's stream call
    """Open a status stream; bytes out."""
    request = status_pb2.StreamStatusRequest(subscriber="flood").SerializeToString()
    method: Any = channel.unary_stream(f"{SERVICE}/StreamStatus")
    return method(request)


async def _code_of(asked: Awaitable[None]) -> str:
    try:
        await asked
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


@contextlib.asynccontextmanager
async def flooded(address: str, peers: int) -> AsyncIterator[Flood]:
    """Flood an address from so many connections while the block runs."""
    flood = Flood(address)
    tasks = [asyncio.create_task(flood.run_peer()) for _ in range(peers)]
    try:
        yield flood
    finally:
        flood.stop()
        await asyncio.gather(*tasks)


async def _until_ended(address: str, peers: int) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with flooded(address, peers) as flood:
        await flood.begun.wait()
        print("ready", flush=True)
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(_until_ended(sys.argv[1], int(sys.argv[2])))
