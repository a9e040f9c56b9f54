"""The stream of the page: everything first, then the newest; a stop at once (S14)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from decimal import Decimal
from functools import partial

from haltline.v1 import account_pb2, order_pb2

from sidecar.bridge import Bridge
from sidecar.bridge.journal_tail import DECISIONS_COUNT_MAX
from sidecar.bridge.status_events import READERS_COUNT_MAX, StatusEvents
from tests.bridge.events import listening
from tests.bridge.harness import ask, bridge_on, parts_of
from tests.server.harness import WAIT_SECONDS, Sidecar, a_kill, a_mark, an_order


async def eventually(is_so: Callable[[], bool]) -> None:
    """Return once it is so; the test fails where it takes for ever."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not is_so():  # noqa: ASYNC110 - a condition of any kind has no event
            await asyncio.sleep(0.01)


def _has_moved(events: StatusEvents, before: int) -> bool:
    return events.published_count > before


async def test_everything_comes_first(sidecar: Sidecar, bridge: Bridge) -> None:
    """Who looks, the whole status, the chart, the decisions; numbered from 1."""
    await sidecar.safety().ReportAccount(a_mark())
    await sidecar.safety().CheckOrder(an_order())
    async with listening(bridge) as stream:
        assert b"text/event-stream" in stream.head
        assert b"no-store" in stream.head
        name, hello = await stream.next()
        assert (name, hello["is_local"]) == ("hello", True)
        assert hello["store_id"] == sidecar.service.store_id
        name, frame = await stream.next()
        assert (name, frame["kind"]) == ("status", "UPDATE")
        assert frame["status"]["trading_mode"] == "TRADING_MODE_NORMAL"
        assert frame["status"]["position_limits"]["symbols"][0]["name"] == "ACME"
        assert [order["order_id"] for order in frame["orders"]] == ["o-1"]
        assert (await stream.until("equity"))["is_whole"] is True
        decisions = (await stream.until("decisions"))["decisions"]
        while not decisions:  # told once they are power-durable
            decisions = (await stream.until("decisions"))["decisions"]
        assert [one["order_id"] for one in decisions] == ["o-1"]
        assert stream.ids == list(range(1, len(stream.ids) + 1))


async def test_a_stop_is_told_whatever_the_pace(sidecar: Sidecar, bridge: Bridge) -> None:
    """The kill reaches the reader with its epoch."""
    async with listening(bridge) as stream:
        await stream.until("status")
        await sidecar.safety().TriggerKill(a_kill())
        frame = await stream.until("status")
        while frame["status"]["trading_mode"] != "TRADING_MODE_HALTED":
            frame = await stream.until("status")
        assert frame["status"]["stop_epoch"] == "1"
        marks = (await stream.until("equity"))["marks"]
        while not marks:
            marks = (await stream.until("equity"))["marks"]
        assert [kind for _, kind in marks] == ["kill"]


async def test_silence_is_never_longer_than_a_heartbeat(bridge: Bridge) -> None:
    """While nothing changes something comes all the same, and the stream stays."""
    async with listening(bridge) as stream:
        for _ in range(6):
            await stream.next()
        assert len(stream.ids) >= 3


async def test_a_drain_says_going_away_and_ends_in_order(sidecar: Sidecar) -> None:
    """The last event is GOING_AWAY, and the answer is complete."""
    async with bridge_on(sidecar) as bridge, listening(bridge) as stream:
        await stream.until("decisions")
        sidecar.service.begin_draining()
        frame = await stream.until("status")
        while frame["kind"] != "GOING_AWAY":
            frame = await stream.until("status")
        assert frame["is_draining"] is True
        while not await stream.ended():
            await stream.next()


async def test_readers_are_bounded_and_a_place_comes_free(sidecar: Sidecar) -> None:
    """One more than fit is 503 in JSON; once one left, another finds its place."""
    async with bridge_on(sidecar) as bridge:
        async with AsyncExitStack() as stack:
            for _ in range(READERS_COUNT_MAX):
                stream = await stack.enter_async_context(listening(bridge))
                assert b" 200 " in stream.head.split(b"\r\n")[0]
            reply = await ask(bridge, "GET", "/api/v1/safety/status/stream")
            assert (reply.status, reply.json()["reason"]) == (503, "TOO_MANY_READERS")
        await eventually(lambda: not bridge.events.readers_count)
        async with listening(bridge) as stream:
            await stream.until("status")


async def test_a_reader_that_takes_nothing_holds_one_event(sidecar: Sidecar) -> None:
    """A slow reader misses what lies between and gets the newest; nothing piles up for it."""
    events = StatusEvents(parts_of(sidecar))
    taken: list[bytes] = []
    may_take = asyncio.Semaphore(2)

    async def send(body: bytes) -> None:
        await may_take.acquire()
        taken.append(body)

    events.take_place()
    task = asyncio.create_task(events.follow(send, {}, lambda: True))
    try:
        await eventually(lambda: len(taken) == 2)
        for number in range(5):
            equity = str(Decimal(90_000) + number)
            report = account_pb2.ReportAccountRequest(report_id=f"r{number}", equity=equity)
            await sidecar.safety().ReportAccount(report)
            before = events.published_count
            await eventually(partial(_has_moved, events, before))
        assert len(taken) == 2

        def has_come() -> bool:
            may_take.release()
            return b"90004" in taken[-1]

        await eventually(has_come)
        assert events.conflated_count >= 1
        assert sum(b'"equity":"90002"' in body for body in taken) <= 1
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        events.give_place_back()
        await events.end()


async def test_who_may_not_go_on_is_told_to_sign_in(sidecar: Sidecar) -> None:
    """A session that ended ends the stream, with a word."""
    events = StatusEvents(parts_of(sidecar))
    taken: list[bytes] = []

    async def send(body: bytes) -> None:
        taken.append(body)

    events.take_place()
    try:
        await asyncio.wait_for(events.follow(send, {}, lambda: False), WAIT_SECONDS)
        assert b"event: signed_out" in taken[-1]
    finally:
        events.give_place_back()
        await events.end()


async def test_nothing_is_written_without_a_reader(sidecar: Sidecar, bridge: Bridge) -> None:
    """Orders go on; no status is encoded for nobody."""
    for number in range(20):
        answer = await sidecar.safety().CheckOrder(an_order(f"o-{number}"))
        assert answer.verdict in {order_pb2.VERDICT_APPROVED, order_pb2.VERDICT_DENIED}
    assert bridge.events.published_count == 0


async def test_the_last_decisions_are_bounded(sidecar: Sidecar, bridge: Bridge) -> None:
    """The newest first, as many as there is place for, however many orders came."""
    for number in range(40):
        await sidecar.safety().CheckOrder(an_order(f"o-{number}", quantity="0.001"))
    async with listening(bridge) as stream:
        said = await stream.until("decisions")
        while said["decisions"][0]["order_id"] != "o-39":
            said = await stream.until("decisions")
        assert len(said["decisions"]) == DECISIONS_COUNT_MAX
