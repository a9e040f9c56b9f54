"""Many readers of StreamStatus in one process, and how long a kill takes to reach the last.

Rules:
1. Every reader has had its first frame before the first kill.
2. A reader has heard a kill when a frame with a higher stop epoch than it had seen has arrived; the
   bare fan-out sends the sidecar's own bytes of such a frame, and is read in the same way.
3. Time runs from the acknowledgement of the kill, and, beside that, from its sending.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import grpc
from haltline.v1 import kill_switch_pb2, status_pb2

from bench.noop_server import STREAM_STATUS, TRIGGER_KILL
from bench.plans import KillsPlan, KillsTaken

HEARD_SECONDS_MAX = 30.0
_BETWEEN_ROUNDS_SECONDS = 0.3
"""Less than the silence after which a heartbeat goes to every reader, and enough to settle."""
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One kill: microseconds to the last reader, and from sending to the acknowledgement."""

    from_acknowledged: float
    from_sent: float
    acknowledged: float
    frame: bytes

    def shown(self) -> dict[str, float]:
        """Return what is printed of it."""
        return {
            "from_acknowledged": self.from_acknowledged,
            "from_sent": self.from_sent,
            "acknowledged": self.acknowledged,
            "frame_bytes": len(self.frame),
        }


@dataclass(slots=True)
class Crowd:
    """All readers: what the last of them has heard, and when."""

    wanted: int
    epoch: int = 0
    begun: int = 0
    heard: int = 0
    last_ns: int = 0
    frame: bytes = b""
    is_begun: asyncio.Event = field(default_factory=asyncio.Event)
    is_heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, channel: grpc.aio.Channel) -> None:
        """Read one stream until it is cancelled."""
        call: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(STREAM_STATUS)
        first = True
        seen = 0
        async for body in call(b""):
            frame = status_pb2.StreamStatusResponse.FromString(body)
            if first:
                first, seen = False, frame.stop_epoch
                self.begun += 1
                if self.begun == self.wanted:
                    self.is_begun.set()
            elif frame.stop_epoch > seen:
                seen = frame.stop_epoch
                self.hear(body)

    def hear(self, body: bytes) -> None:
        """Count one more reader that has it."""
        self.heard += 1
        if self.heard == self.wanted:
            self.last_ns, self.frame = time.perf_counter_ns(), body
            self.is_heard.set()


async def fan_out_rounds(
    address: str, readers: int, rounds: int, first: int, *, bare_frame: bytes = b""
) -> list[Round]:
    """Return `rounds` kills heard by `readers`. With `bare_frame` the server only fans that out."""
    channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
    crowd = Crowd(readers)
    tasks = [asyncio.create_task(crowd.read(channel)) for _ in range(readers)]
    try:
        await asyncio.wait_for(crowd.is_begun.wait(), HEARD_SECONDS_MAX)
        taken = []
        for at in range(rounds):
            await asyncio.sleep(_BETWEEN_ROUNDS_SECONDS)
            body = _numbered(bare_frame, at) if bare_frame else _kill(first + at)
            taken.append(await _round(channel, crowd, body))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await channel.close()
    return taken


async def take_kills(plan: KillsPlan) -> KillsTaken:
    """Kill one symbol after the other, each durable before the next; none is a repeat."""
    taken = KillsTaken()
    async with grpc.aio.insecure_channel(plan.sidecar, options=_OPTIONS) as channel:
        method: Any = channel.unary_unary(TRIGGER_KILL)
        for at in range(plan.first, plan.first + plan.kills):
            request = kill_switch_pb2.TriggerKillRequest(
                reason="bench",
                triggered_by="bench",
                scope=kill_switch_pb2.KillScope(symbol=f"S{at}"),
            )
            begun = time.perf_counter_ns()
            body = await method(request.SerializeToString(), timeout=HEARD_SECONDS_MAX)
            taken.kills.append((time.perf_counter_ns() - begun) / 1_000)
            answer = kill_switch_pb2.TriggerKillResponse.FromString(body)
            if not answer.durable or answer.already_active:
                raise RuntimeError(f"kill {at} was no new, durable one: {answer}")
    return taken


async def _round(channel: grpc.aio.Channel, crowd: Crowd, body: bytes) -> Round:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(TRIGGER_KILL)
    crowd.heard = 0
    crowd.is_heard.clear()
    sent_ns = time.perf_counter_ns()
    await call(body, timeout=HEARD_SECONDS_MAX)
    acknowledged_ns = time.perf_counter_ns()
    await asyncio.wait_for(crowd.is_heard.wait(), HEARD_SECONDS_MAX)
    return Round(
        from_acknowledged=max(0, crowd.last_ns - acknowledged_ns) / 1_000,
        from_sent=(crowd.last_ns - sent_ns) / 1_000,
        acknowledged=(acknowledged_ns - sent_ns) / 1_000,
        frame=crowd.frame,
    )


def _kill(number: int) -> bytes:
    """Return a kill of a symbol of its own: a new activation, so the stop epoch rises."""
    return kill_switch_pb2.TriggerKillRequest(
        reason="bench",
        triggered_by="bench",
        mode=kill_switch_pb2.KILL_MODE_HALT,
        scope=kill_switch_pb2.KillScope(symbol=f"BENCH{number}"),
    ).SerializeToString()


def _numbered(frame: bytes, at: int) -> bytes:
    """Return the sidecar's frame with a stop epoch that is higher each time."""
    message = status_pb2.StreamStatusResponse.FromString(frame)
    message.stop_epoch += at
    return message.SerializeToString()
