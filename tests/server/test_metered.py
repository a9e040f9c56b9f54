"""Calls are told by their names in the contract, and by the status they ended with."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import grpc
import pytest
from haltline.v1 import operator_service_pb2, order_pb2, safety_service_pb2, status_pb2

from sidecar.server.metered import STOPS
from sidecar.server.options import ServerOptions
from sidecar.telemetry.tracing import Sampling, Trace, Tracing
from tests.server.harness import Sidecar, a_kill, an_order, sidecar_on

PARENT = (("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),)


class Kept:
    """Keeps every trace."""

    def __init__(self) -> None:
        """Nothing came yet."""
        self.traces: list[Trace] = []

    def put(self, item: Trace) -> bool:
        """Take it."""
        self.traces.append(item)
        return True


def traced(sidecar: Sidecar) -> Kept:
    """Have every call traced; return where the traces go."""
    kept = Kept()
    sidecar.service.signals.tracing = Tracing(Sampling(ratio=1.0), kept)
    return kept


def test_no_two_methods_share_a_name() -> None:
    """So that a method can be told without its service."""
    services = [
        *safety_service_pb2.DESCRIPTOR.services_by_name.values(),
        *operator_service_pb2.DESCRIPTOR.services_by_name.values(),
    ]
    names = Counter(method.name for service in services for method in service.methods)
    names.update(("Check", "Watch", "ServerReflectionInfo"))
    assert [name for name, count in names.items() if count > 1] == []
    assert set(names) >= STOPS


async def test_a_call_that_its_client_gave_up_is_cancelled(tmp_path: Path) -> None:
    """It is counted and traced as such, and the cancellation goes on to grpc."""
    async with sidecar_on(tmp_path) as sidecar:
        kept, signals = traced(sidecar), sidecar.service.signals
        sidecar.store.hold_syncs()
        call = sidecar.safety().TriggerKill(a_kill())
        while not signals.kills_triggered:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)
        call.cancel()
        while not kept.traces:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)
        sidecar.store.release_syncs()
    assert signals.rpc_errors.values == {("TriggerKill", "CANCELLED"): 1}
    [trace] = kept.traces
    assert trace.attributes["rpc.response.status_code"] == "CANCELLED"
    assert not trace.is_error


@pytest.mark.parametrize("is_stop", [True, False])
async def test_a_bound_refuses_a_call_and_is_seen(tmp_path: Path, is_stop: bool) -> None:
    """Too many calls in flight: counted by its code; a stop is taken all the same."""
    async with sidecar_on(tmp_path, options=ServerOptions(calls_in_flight_max=0)) as sidecar:
        safety, signals = sidecar.safety(), sidecar.service.signals
        if is_stop:
            await safety.TriggerKill(a_kill())
        else:
            with pytest.raises(grpc.aio.AioRpcError):
                await safety.GetStatus(status_pb2.GetStatusRequest())
    counted = {} if is_stop else {("GetStatus", "RESOURCE_EXHAUSTED"): 1}
    assert signals.rpc_errors.values == counted


async def test_each_order_of_a_stream_is_a_span_and_the_stream_is_none(tmp_path: Path) -> None:
    """In the trace of whoever opened the stream."""
    async with sidecar_on(tmp_path) as sidecar:
        kept = traced(sidecar)
        stream = sidecar.safety().CheckOrderStream(metadata=PARENT)
        for at in range(2):
            order = an_order(f"o-{at}")
            await stream.write(order_pb2.CheckOrderStreamRequest(request_id=at, order=order))
            await stream.read()
        await stream.done_writing()
    assert [trace.name.rpartition("/")[2] for trace in kept.traces] == ["CheckOrderStream"] * 2
    assert {trace.trace_id for trace in kept.traces} == {0x4BF92F3577B34DA6A3CE929D0E0E4736}
    assert [[part[0] for part in trace.children] for trace in kept.traces] == [
        ["decide", "append"],
        ["decide", "append"],
    ]


async def test_a_batch_is_one_span_with_its_decision(tmp_path: Path) -> None:
    """However many orders it brings."""
    async with sidecar_on(tmp_path) as sidecar:
        kept = traced(sidecar)
        for mode in (order_pb2.BATCH_MODE_INDEPENDENT, order_pb2.BATCH_MODE_ALL_OR_NONE):
            orders = [an_order(f"{mode}-{at}") for at in range(3)]
            request = order_pb2.CheckOrdersRequest(orders=orders, mode=mode)
            await sidecar.safety().CheckOrders(request)
    assert [trace.children[0][0] for trace in kept.traces] == ["decide", "decide"]
    assert all("haltline.verdict" not in trace.attributes for trace in kept.traces)


async def test_a_denial_is_told_in_its_span(tmp_path: Path) -> None:
    """Verdict, layer and first code; it is an answer, and so no error."""
    async with sidecar_on(tmp_path) as sidecar:
        kept = traced(sidecar)
        await sidecar.safety().CheckOrder(an_order(quantity="100000"))
    [trace] = kept.traces
    assert trace.attributes["haltline.verdict"] == "DENIED"
    assert trace.attributes["haltline.layer"] == "POSITION_LIMITS"
    assert trace.attributes["haltline.code"] == "SYMBOL_EXPOSURE"
    assert trace.attributes["rpc.response.status_code"] == "OK"
    assert not trace.is_error
