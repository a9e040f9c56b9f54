"""One connection has its share of everything that can be held, and no more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from haltline.v1 import order_pb2, status_pb2

from sidecar.core.denial import CallRefused
from sidecar.server import ServerOptions
from sidecar.server.shares import Shares
from tests.server.harness import WAIT_SECONDS, a_kill, an_order, sidecar_on
from tests.server.test_kill_hammer import canceled


def test_a_share_is_given_back_and_nobody_is_remembered() -> None:
    """What a peer holds is counted while it holds it; a Unix socket's callers share no name."""
    shares = Shares("streams", count_max=3, per_peer_max=1)
    with shares.hold("ipv4:1:1"):
        with (
            pytest.raises(CallRefused, match="of one connection: at most 1"),
            shares.hold("ipv4:1:1"),
        ):
            pass
        with shares.hold("unix:"), shares.hold("unix:"):
            assert shares.count == 3
            with pytest.raises(CallRefused, match="at most 3"), shares.hold("ipv4:1:2"):
                pass
    assert shares.count == 0
    assert shares.peers_count == 0


async def test_calls_in_flight_of_one_connection_leave_room_for_another(tmp_path: Path) -> None:
    """Beyond its share a connection's reports are refused; others' are taken, and its kill is."""
    options = ServerOptions(calls_in_flight_per_peer_max=1)
    async with sidecar_on(tmp_path, options=options) as sidecar:
        greedy, other = sidecar.safety(), sidecar.safety()
        sidecar.store.hold_syncs()
        revision = sidecar.service.revision
        first = asyncio.ensure_future(greedy.ReportTrade(canceled("one")))
        await sidecar.service.wait_changed(revision, WAIT_SECONDS)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await greedy.CheckOrder(an_order())
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await other.CheckOrder(an_order())).verdict == order_pb2.VERDICT_APPROVED
        kill = asyncio.ensure_future(greedy.TriggerKill(a_kill()))
        sidecar.store.release_syncs()
        assert (await kill).durable
        await first


async def test_streams_of_one_connection_leave_room_for_another(tmp_path: Path) -> None:
    """Status and order streams each have a share; what is given back can be had again."""
    options = ServerOptions(status_streams_per_peer_max=1, order_streams_per_peer_max=1)
    async with sidecar_on(tmp_path, options=options) as sidecar:
        greedy, other = sidecar.safety(), sidecar.safety()
        request = status_pb2.StreamStatusRequest(subscriber="test")
        held = greedy.StreamStatus(request)
        assert await held.read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await greedy.StreamStatus(request).read()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await other.StreamStatus(request).read()
        orders = greedy.CheckOrderStream()
        await orders.write(order_pb2.CheckOrderStreamRequest(request_id=1, order=an_order()))
        assert await orders.read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await greedy.CheckOrderStream().read()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
