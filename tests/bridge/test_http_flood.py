"""Bad requests and idle sockets keep no good request out (issue, webhooks 6)."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AsyncExitStack
from typing import Any, Final

import pytest

from sidecar.bridge import Bridge, listener
from tests.bridge.harness import bridge_on
from tests.bridge.peer import GOOD, Listening, Peer, peer_of, until
from tests.bridge.signing import RESET, TRIGGER
from tests.bridge.test_http_connection import Streaming
from tests.bridge.test_http_framing import ATTACKS
from tests.bridge.webhooks import parts, trigger
from tests.server.harness import Sidecar

BAD_COUNT: Final = 5_000
IDLE_COUNT: Final = 500
SENDERS_COUNT: Final = 8


async def _flood(bridge: Bridge, count: int, data: list[bytes]) -> int:
    """Send so many bad requests, each on its own connection; return how many were refused."""
    refused = 0
    for number in range(count):
        async with peer_of(bridge) as peer:
            await peer.send(data[number % len(data)])
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                refused += (await peer.reply()).status in {400, 401, 413}
    return refused


def _unsigned(path: str) -> bytes:
    """Return a webhook with a wrong signature, written out."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nX-HMAC-Signature: {'0' * 64}\r\n"
        "Content-Length: 2\r\nConnection: close\r\n\r\n{}"
    ).encode()


@pytest.mark.slow
async def test_a_good_request_passes_a_flood(sidecar: Sidecar) -> None:
    """5,000 bad requests of eight senders, 500 idle sockets: every trigger in between stops."""
    bad = [data for data, _ in ATTACKS.values()]
    bad += [_unsigned(TRIGGER), _unsigned(RESET)] * (len(bad) // 4)
    good = 0
    async with bridge_on(sidecar, **parts()) as bridge, AsyncExitStack() as idle:
        for _ in range(IDLE_COUNT):
            await idle.enter_async_context(peer_of(bridge))
        floods = [
            asyncio.create_task(_flood(bridge, BAD_COUNT // SENDERS_COUNT, bad))
            for _ in range(SENDERS_COUNT)
        ]
        while not all(flood.done() for flood in floods):
            assert (await trigger(bridge)).status == 200
            good += 1
            assert bridge.listener.connections_count <= listener.CONNECTIONS_COUNT_MAX
        assert sum([await flood for flood in floods]) == BAD_COUNT
    assert good > 1


async def test_who_waited_longest_gives_way_and_the_new_one_is_heard(sidecar: Sidecar) -> None:
    """Where all places are taken by silence, the oldest silence ends for whoever comes."""
    async with bridge_on(sidecar, app=Listening()) as bridge, AsyncExitStack() as stack:
        silent = [
            await stack.enter_async_context(peer_of(bridge))
            for _ in range(listener.CONNECTIONS_COUNT_MAX)
        ]
        await until(lambda: bridge.listener.connections_count == listener.CONNECTIONS_COUNT_MAX)
        new = await stack.enter_async_context(peer_of(bridge))
        await new.send(GOOD)
        assert (await new.reply()).status == 200
        assert await silent[0].rest() == b""
        assert bridge.listener.evicted_count == 1
        await silent[1].send(GOOD)
        assert (await silent[1].reply()).status == 200
        # The second has just been answered: the third has waited longer now.
        other = await stack.enter_async_context(peer_of(bridge))
        await other.send(GOOD)
        assert (await other.reply()).status == 200
        assert await silent[2].rest() == b""
        await silent[1].send(GOOD)
        assert (await silent[1].reply()).status == 200


async def test_half_a_request_is_no_reason_to_stay(sidecar: Sidecar) -> None:
    """Bytes that never become a request keep no place, however many there are."""
    async with bridge_on(sidecar, app=Listening()) as bridge, AsyncExitStack() as stack:
        for _ in range(listener.CONNECTIONS_COUNT_MAX):
            peer = await stack.enter_async_context(peer_of(bridge))
            await peer.send(b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        for _ in range(3):
            new = await stack.enter_async_context(peer_of(bridge))
            await new.send(GOOD)
            assert (await new.reply()).status == 200


async def test_the_oldest_stream_gives_way_where_all_are_answered(
    sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Viewers do not keep a stop out: one of them is cut, and comes again."""
    monkeypatch.setattr(listener, "CONNECTIONS_COUNT_MAX", 2)
    stream, plain = Streaming(), Listening()

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401 - as ASGI has them
        await (stream if scope["path"] == "/stream" else plain)(scope, receive, send)

    async with bridge_on(sidecar, app=app) as bridge, AsyncExitStack() as stack:
        viewers: list[Peer] = []
        for _ in range(2):
            viewer = await stack.enter_async_context(peer_of(bridge))
            await viewer.send(GOOD.replace(b"/x", b"/stream"))
            await viewer.reader.readuntil(b"x\n\n\r\n")
            viewers.append(viewer)
        new = await stack.enter_async_context(peer_of(bridge))
        await new.send(GOOD)
        assert (await new.reply()).status == 200
        assert await viewers[0].rest() == b""
        assert await stream.ended_by.get() == "http.disconnect"
        assert bridge.listener.connections_count == 2


async def test_silence_gives_way_before_a_stream(
    sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A viewer is cut only where nobody waits with less."""
    monkeypatch.setattr(listener, "CONNECTIONS_COUNT_MAX", 2)
    stream = Streaming()
    async with (
        bridge_on(sidecar, app=stream) as bridge,
        peer_of(bridge) as viewer,
        peer_of(bridge) as silent,
        AsyncExitStack() as stack,
    ):
        await viewer.send(GOOD)
        await viewer.reader.readuntil(b"x\n\n\r\n")
        await until(lambda: bridge.listener.connections_count == 2)
        new = await stack.enter_async_context(peer_of(bridge))
        await new.send(GOOD)
        await new.reader.readuntil(b"x\n\n\r\n")
        assert await silent.rest() == b""
        assert stream.ended_by.empty()


async def test_a_request_that_is_answered_is_never_cut_for_another(
    sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where every place is a request at work, the newcomer is the one that goes."""
    monkeypatch.setattr(listener, "CONNECTIONS_COUNT_MAX", 1)
    may_go = asyncio.Event()
    plain = Listening()

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401 - as ASGI has them
        await may_go.wait()
        await plain(scope, receive, send)

    async with (
        bridge_on(sidecar, app=app) as bridge,
        peer_of(bridge) as first,
        AsyncExitStack() as stack,
    ):
        await first.send(GOOD)
        await until(lambda: bridge.listener.answering_count == 1)
        second = await stack.enter_async_context(peer_of(bridge))
        assert await second.rest() == b""
        may_go.set()
        assert (await first.reply()).status == 200
