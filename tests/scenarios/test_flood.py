"""A flood of bad calls over real sockets: the good ones are answered and the kill is taken.

Rules: the sidecar is a process of its own with its store on; facts are asserted, never a speed.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import grpc
import pytest
from haltline.v1 import kill_switch_pb2, order_pb2, safety_service_pb2_grpc

from bench.flood import flooded, open_status, own_channel
from sidecar.core import engine, events, folding
from sidecar.core.state import State
from sidecar.server.options import ServerOptions
from sidecar.service.records import Record
from tests.cli.running import RunningSidecar
from tests.concurrency.rounds import read_records
from tests.scenarios.real_sidecar import APPROVED, CALL_SECONDS_MAX, a_fill, an_order

PEERS: int = 6
GOOD_ORDERS: int = 150
BAD_CALLS: int = 3_000
STREAMS: int = 2_000


@dataclass(slots=True)
class Trader:
    """A good peer on a connection of its own."""

    channel: grpc.aio.Channel

    @property
    def safety(self) -> "safety_service_pb2_grpc.SafetyServiceAsyncStub":
        """Its stub."""
        stub = safety_service_pb2_grpc.SafetyServiceStub(self.channel)
        return cast("safety_service_pb2_grpc.SafetyServiceAsyncStub", stub)

    async def trade(self, count: int) -> None:
        """Open and close a small position; every call is answered as on a quiet day."""
        for _ in range(count):
            for side in (order_pb2.SIDE_BUY, order_pb2.SIDE_SELL):
                order = an_order(side=side, quantity="1")
                decision = await self.safety.CheckOrder(order, timeout=CALL_SECONDS_MAX)
                assert decision.verdict == APPROVED, decision
                reported = await self.safety.ReportTrade(a_fill(order), timeout=CALL_SECONDS_MAX)
                assert not reported.unsolicited

    async def kill(self) -> kill_switch_pb2.TriggerKillResponse:
        """Stop everything."""
        request = kill_switch_pb2.TriggerKillRequest(reason="flood", triggered_by="test")
        return await self.safety.TriggerKill(request, timeout=CALL_SECONDS_MAX)


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[RunningSidecar]:
    """Run one that listens on loopback too, where every connection has a name of its own."""
    running = RunningSidecar(directory=tmp_path / "data")
    try:
        running.start("--equity", "100000", "--assume-flat", "--listen", "127.0.0.1:0")
        yield running
    finally:
        running.close()


def address_of(sidecar: RunningSidecar) -> str:
    """Return its address on loopback."""
    found = re.search(r"127\.0\.0\.1:\d+", sidecar.ready)
    assert found is not None, sidecar.ready
    return found[0]


@pytest.mark.slow
async def test_a_flood_of_bad_calls_leaves_the_good_ones_and_the_kill_alone(
    sidecar: RunningSidecar,
) -> None:
    """Every good call is answered, the kill is durable, and state and journal stay small."""
    address = address_of(sidecar)
    async with own_channel(address) as channel:
        trader = Trader(channel)
        async with flooded(address, PEERS) as flood:
            await trader.trade(GOOD_ORDERS)
            while flood.calls_count < BAD_CALLS:
                await trader.trade(1)
            killed = await trader.kill()
            assert killed.durable
            assert not killed.already_active
            after = await trader.safety.CheckOrder(an_order(), timeout=CALL_SECONDS_MAX)
            assert after.verdict == order_pb2.VERDICT_DENIED
    assert_each_bad_call_was_refused(flood.heard)
    assert sidecar.stop() == 0, sidecar.logs
    records = read_records(sidecar.directory)
    assert_journal_is_folded(records, flood.denied_count)
    state = State()
    for record in records:
        engine.replay(state, record.sequence, record.time, record.events)
    assert set(state.symbols) == {"ACME"}
    assert set(state.strategies) == {"momentum"}
    assert len(state.orders) <= 2 * (GOOD_ORDERS + flood.calls_count)


def assert_each_bad_call_was_refused(heard: Counter[str]) -> None:
    """Each kind was met, and each had its one code."""
    assert set(heard) == {
        "garbage INVALID_ARGUMENT",
        "malformed INVALID_ARGUMENT",
        "unknown method UNIMPLEMENTED",
        "oversized RESOURCE_EXHAUSTED",
        "denied alike OK",
        "unknown name OK",
        "denied batch OK",
        "cancelled call OK",
        "dropped stream OK",
    }


def assert_journal_is_folded(records: list[Record], denied: int) -> None:
    """Every denial that was answered is counted, in no more records than a second may have."""
    singles, folded = Counter[int](), 0
    for record in records:
        for event in record.events:
            if isinstance(event, events.OrderDenied):
                singles[record.time // 1_000_000_000] += 1
            elif isinstance(event, events.DenialsFolded):
                folded += sum(fold.count for fold in event.folds)
    assert singles.total() + folded >= denied
    assert folded > singles.total()
    # One kind of each bad peer repeats itself; of the names nobody knows each kind is its own.
    per_peer = folding.KINDS_PER_PEER_MAX + folding.SINGLES_PER_SECOND
    assert max(singles.values()) <= (PEERS + 1) * per_peer


@pytest.mark.slow
async def test_two_thousand_streams_of_one_peer_leave_room_for_others(
    sidecar: RunningSidecar,
) -> None:
    """One connection has its share of streams and no more; another reads, trades and kills."""
    address = address_of(sidecar)
    share = ServerOptions().status_streams_per_peer_max
    async with own_channel(address) as greedy, own_channel(address) as channel:
        streams = [open_status(greedy) for _ in range(STREAMS)]
        first = Counter(await asyncio.gather(*(_first_frame(stream) for stream in streams)))
        assert first[""] == share
        # A stream that is refused while its neighbours are is at times only reset by grpc.
        assert set(first) <= {"", "RESOURCE_EXHAUSTED", "CANCELLED"}
        assert first["RESOURCE_EXHAUSTED"] > first["CANCELLED"]
        trader = Trader(channel)
        assert await _first_frame(open_status(channel)) == ""
        await trader.trade(5)
        assert (await trader.kill()).durable
        for stream in streams:
            stream.cancel()
    assert sidecar.stop() == 0, sidecar.logs


async def _first_frame(stream: grpc.aio.UnaryStreamCall[bytes, bytes]) -> str:
    """Return why no frame came; empty where one did."""
    try:
        return "" if await stream.read() else "ended"
    except grpc.aio.AioRpcError as error:
        return error.code().name
