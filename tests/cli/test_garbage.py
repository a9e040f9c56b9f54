"""The collector in the process that serves: what is remembered is never walked, cycles go."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from haltline.v1 import (
    order_pb2,
    safety_service_pb2_grpc,
    status_pb2,
)

from sidecar.cli import compose, garbage
from tests.cli.test_compose import plan_in, ready_line

CALLS_COUNT = 600
STREAMS_COUNT = 30


class Cycle:
    """An object that only a collection can reclaim."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Hold each test to leaving the collector as it was."""
    before = (gc.get_threshold(), list(gc.callbacks), gc.isenabled())
    yield
    assert (gc.get_threshold(), list(gc.callbacks), gc.isenabled()) == before
    gc.unfreeze()


def alive() -> int:
    """Return how many cycles of this test live; what was set aside is looked at too."""
    gc.unfreeze()
    return sum(isinstance(one, Cycle) for one in gc.get_objects())


def test_what_outlives_a_full_collection_is_not_walked_again() -> None:
    """So no pause grows with what is remembered; the thresholds come back at the end."""
    with garbage.collected_in_small_turns():
        assert gc.get_threshold() == garbage.THRESHOLDS
        kept = [[number] for number in range(1_000)]
        gc.collect()
        assert gc.get_freeze_count() >= len(kept)
        assert len(gc.get_objects()) < len(kept)
    assert gc.get_freeze_count() == 0


def test_nothing_is_collected_while_the_state_is_read_back() -> None:
    """What is read back is set aside as a whole, also where reading fails."""
    runs: list[str] = []

    def note(phase: str, info: dict[str, Any]) -> None:
        runs.append(f"{phase} {info}")

    def read_back() -> None:
        with garbage.nothing_collected():
            gc.callbacks.append(note)
            kept.extend([number] for number in range(5_000))
            gc.callbacks.remove(note)
            raise KeyError(len(kept))

    kept: list[list[int]] = []
    with pytest.raises(KeyError):
        read_back()
    assert runs == []
    assert gc.get_freeze_count() >= len(kept)


def test_cycles_are_reclaimed_while_they_are_young() -> None:
    """Ten thousand exceptions that hold their own frames leave nothing that grows."""
    with garbage.collected_in_small_turns():
        for _ in range(10_000):
            Cycle()
        assert alive() <= garbage.THRESHOLDS[0]


async def test_the_sidecar_that_serves_keeps_the_policy_and_cancelled_calls_leave_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Set in the running composition; what was cancelled is gone, also if it was set aside."""
    plan = plan_in(tmp_path)
    running = asyncio.create_task(compose.run(plan))
    await ready_line(capsys)
    assert gc.get_threshold() == garbage.THRESHOLDS
    assert gc.get_freeze_count() > 10_000, "what the start read is set aside"
    async with grpc.aio.insecure_channel(plan.addresses[0]) as channel:
        stub: Any = safety_service_pb2_grpc.SafetyServiceStub(channel)
        await asyncio.gather(*(cancel_call(stub, number) for number in range(CALLS_COUNT)))
        streams = [
            stub.StreamStatus(status_pb2.StreamStatusRequest(subscriber=f"reader-{number}"))
            for number in range(STREAMS_COUNT)
        ]
        for stream in streams:
            await stream.read()
        gc.collect()
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*(ended(stream) for stream in streams))
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 0
    del streams, stream, stub, channel, running
    # What is still found now was set aside while it lived and became a cycle later.
    gc.collect()
    gc.unfreeze()
    assert gc.collect() < CALLS_COUNT


async def cancel_call(stub: Any, number: int) -> None:  # noqa: ANN401 - a generated stub
    """Ask about an order and go away: before it is sent, under way, or answered."""
    order = order_pb2.CheckOrderRequest(
        order_id=f"order-{number}",
        strategy="momentum",
        symbol="AAPL",
        side=order_pb2.SIDE_BUY,
        order_type=order_pb2.ORDER_TYPE_LIMIT,
        quantity="1",
        limit_price="100",
    )
    call = stub.CheckOrder(order, timeout=10)
    for _ in range(number % 5):
        await asyncio.sleep(0)
    call.cancel()
    await ended(call)


async def ended(call: Any) -> None:  # noqa: ANN401 - a call of grpc.aio
    """Return once a call is over, however it ended."""
    await call.code()
