"""One connection lives within its bounds: slow, idle, halved, pipelined, streamed, drained."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import pytest

from sidecar.bridge import http_connection
from sidecar.bridge.door import Arrival
from sidecar.bridge.exchange import Exchange, Gone, Request
from sidecar.bridge.http_body import BodyReader
from sidecar.bridge.http_framing import read_head
from sidecar.bridge.options import Pace
from sidecar.bridge.refusals import Refused
from sidecar.bridge.visitors import Visitor
from tests.bridge.harness import PATIENT, ask, bridge_on, send
from tests.bridge.peer import GOOD, Listening, Peer, peer_of, until
from tests.server.harness import WAIT_SECONDS, Sidecar

SOON: Final = 0.05
"""A bound in seconds that a test waits out."""
POST: Final = b"POST /x HTTP/1.1\r\nHost: localhost\r\n"


def paced(**changes: float) -> Pace:
    """Return a patient pace with one bound that runs out soon."""
    bounds = {name: getattr(PATIENT, name) for name in PATIENT.__slots__}
    return Pace(**(bounds | changes))


@dataclass(slots=True)
class Streaming:
    """An application that streams until it is told to end, and says how it ended."""

    part: bytes = b"data: x\n\n"
    is_endless: bool = False
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended_by: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    async def __call__(self, _scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401 - as ASGI has them
        """Answer one request."""
        await receive()
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.part, "more_body": True})
        self.begun.set()
        try:
            while self.is_endless:
                await send({"type": "http.response.body", "body": self.part, "more_body": True})
            message = await receive()
        except Gone:
            self.ended_by.put_nowait("Gone")
            raise
        self.ended_by.put_nowait(message["type"])
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def test_a_head_that_never_ends_is_told_so(sidecar: Sidecar) -> None:
    """A head that is not whole in its time is 408, though its bytes keep coming."""
    app = Listening()
    async with (
        bridge_on(sidecar, app=app, pace=paced(head=SOON)) as bridge,
        peer_of(bridge) as peer,
    ):
        await peer.send(b"GET /x HTTP/1.1\r\nHost: localhost\r\nA: ")
        reply = await peer.reply()
        assert (reply.status, reply.json()["reason"]) == (408, "HEAD_TOO_SLOW")
        assert await peer.rest() == b""
        assert app.heard == []


def test_a_request_that_is_read_otherwise_is_answered_by_nobody() -> None:
    """Where h11 counts the bytes of the body otherwise than we did, the request is refused."""
    counted, chunked = POST + b"Content-Length: 5\r\n\r\n", POST + b"%b: chunked\r\n\r\n"
    cases: list[tuple[bytes, BodyReader]] = []
    for given in (b"hell", b"hello!", b""):
        body = BodyReader(len(given))
        body.feed(given)
        cases.append((counted, body))
    body = BodyReader(None)
    body.feed(b"5\r\nhello\r\n0\r\n\r\n")
    body.body[:] = b"other"
    cases.append((chunked % b"Transfer-Encoding", body))
    for raw, body in cases:
        request = Request(
            head=read_head(raw),
            body=body,
            arrival=Arrival(host="127.0.0.1", port=1),
            visitor=Visitor(peer="http:127.0.0.1:1", is_local=True),
            server=("127.0.0.1", 2),
        )
        with pytest.raises(Refused, match="REQUEST_AMBIGUOUS"):
            Exchange(request, NoWire(), may_stay=True).read_again()


class NoWire:
    """A wire that nothing is written to."""

    async def write(self, data: bytes) -> None:
        """Fail: nobody may be answered."""
        raise AssertionError(data)

    async def until_gone(self) -> None:
        """Fail, as above."""
        raise AssertionError


async def test_bytes_that_trickle_buy_no_time(sidecar: Sidecar) -> None:
    """The time of a head runs from its first byte, whatever comes later."""
    async with (
        bridge_on(sidecar, pace=paced(head=4 * SOON)) as bridge,
        peer_of(bridge) as peer,
    ):
        await peer.send(b"GET /x HTTP/1.1\r\nHost: localhost\r\nA: ")
        reply = asyncio.create_task(peer.reply())
        async with asyncio.timeout(WAIT_SECONDS):
            while not reply.done():
                peer.writer.write(b"a")
                await asyncio.sleep(SOON / 10)
        assert (await reply).json()["reason"] == "HEAD_TOO_SLOW"


async def test_a_body_that_never_ends_is_told_so(sidecar: Sidecar) -> None:
    """A body that is not whole in its time is 408."""
    app = Listening()
    async with (
        bridge_on(sidecar, app=app, pace=paced(body=SOON)) as bridge,
        peer_of(bridge) as peer,
    ):
        await peer.send(POST + b"Content-Length: 2\r\n\r\n{")
        reply = await peer.reply()
        assert (reply.status, reply.json()["reason"]) == (408, "BODY_TOO_SLOW")
        assert await peer.rest() == b""
        assert app.heard == []


async def test_a_connection_that_says_nothing_is_closed_without_a_word(sidecar: Sidecar) -> None:
    """Nobody asked, so nothing is answered."""
    async with bridge_on(sidecar, pace=paced(head=SOON)) as bridge, peer_of(bridge) as peer:
        assert await peer.rest() == b""


async def test_a_connection_is_kept_and_closed_once_idle(sidecar: Sidecar) -> None:
    """Requests follow one another on one connection; between two it may rest so long."""
    app = Listening()
    async with (
        bridge_on(sidecar, app=app, pace=paced(idle=SOON)) as bridge,
        peer_of(bridge) as peer,
    ):
        for _ in range(3):
            await peer.send(GOOD)
            reply = await peer.reply()
            assert (reply.status, b"connection: close" in reply.head) == (200, False)
        assert await peer.rest() == b""
        assert len(app.heard) == 3


@pytest.mark.parametrize(
    "data",
    [
        GOOD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        GOOD.replace(b"\r\n\r\n", b"\r\nConnection: x, Close\r\n\r\n"),
        GOOD.replace(b"HTTP/1.1", b"HTTP/1.0"),
        GOOD.replace(b"HTTP/1.1", b"HTTP/1.0").replace(
            b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n"
        ),
    ],
)
async def test_who_asks_for_it_is_closed_after_the_answer(sidecar: Sidecar, data: bytes) -> None:
    """`Connection: close`, and HTTP/1.0 whatever it says, end the connection."""
    async with bridge_on(sidecar, app=Listening()) as bridge, peer_of(bridge) as peer:
        await peer.send(data)
        assert (await peer.reply()).status == 200
        assert await peer.rest() == b""


async def test_one_byte_at_a_time_is_read_as_one_request(sidecar: Sidecar) -> None:
    """How a request is cut into packets changes nothing."""
    app = Listening()
    async with bridge_on(sidecar, app=app) as bridge, peer_of(bridge) as peer:
        for byte in POST + b"Content-Length: 5\r\n\r\nhello":
            await peer.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await peer.reply()).status == 200
        assert app.heard[0]["body"] == "hello"


async def test_a_request_behind_a_request_is_not_read(sidecar: Sidecar) -> None:
    """No pipelining: the first is answered, and what came behind it dies with the connection."""
    app = Listening()
    async with bridge_on(sidecar, app=app) as bridge, peer_of(bridge) as peer:
        await peer.send(POST + b"Content-Length: 2\r\n\r\n{}" + GOOD + GOOD)
        reply = await peer.reply()
        assert (reply.status, b"connection: close" in reply.head) == (200, True)
        assert await peer.rest() == b""
        assert len(app.heard) == 1


async def test_a_sender_that_waits_for_a_word_gets_it(sidecar: Sidecar) -> None:
    """`Expect: 100-continue` is answered once the head passed, and the body is then heard."""
    app = Listening()
    async with bridge_on(sidecar, app=app) as bridge, peer_of(bridge) as peer:
        await peer.send(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert (await peer.reply()).status == 100
        await peer.send(b"hello")
        assert (await peer.reply()).status == 200
        assert app.heard[0]["body"] == "hello"


async def test_a_body_that_is_too_large_is_never_asked_for(sidecar: Sidecar) -> None:
    """413 comes in the place of `100 Continue`."""
    async with bridge_on(sidecar) as bridge, peer_of(bridge) as peer:
        await peer.send(POST + b"Expect: 100-continue\r\nContent-Length: 65537\r\n\r\n")
        assert (await peer.reply()).status == 413


async def test_a_refusal_reaches_who_still_sends(sidecar: Sidecar) -> None:
    """What is sent on after a refusal is thrown away, so that no reset swallows the answer."""
    async with bridge_on(sidecar) as bridge, peer_of(bridge) as peer:
        await peer.send(POST + b"Content-Length: 70000\r\n\r\n" + b"a" * 70_000)
        assert (await peer.reply()).json()["reason"] == "BODY_TOO_LARGE"


async def test_who_sends_without_end_is_cut(sidecar: Sidecar) -> None:
    """Beyond a bound nothing more is read for the sake of a refusal."""
    async with bridge_on(sidecar) as bridge, peer_of(bridge) as peer:
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(_send_without_end(peer), WAIT_SECONDS)


async def _send_without_end(peer: Peer) -> NoReturn:
    while True:
        await peer.send(b"\n" + b"a" * http_connection.IGNORED_BYTES_MAX)


async def test_head_is_answered_without_a_body(sidecar: Sidecar) -> None:
    """HEAD has the head of GET and nothing else, and the connection goes on."""
    async with bridge_on(sidecar) as bridge, peer_of(bridge) as peer:
        await peer.send(b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = await peer.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        await peer.send(GOOD)
        assert (await peer.reply()).status == 404


async def test_every_answer_carries_the_security_headers(sidecar: Sidecar) -> None:
    """Routes, refusals of routes and refusals before any route alike; and no CORS, ever."""
    async with bridge_on(sidecar) as bridge:
        for data in (GOOD, b"\n", GOOD.replace(b"/x", b"/healthz")):
            head = (
                await send(bridge, data.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            ).head
            for line in (
                b"x-content-type-options: nosniff",
                b"referrer-policy: no-referrer",
                b"cache-control: no-store",
            ):
                assert line in head
            assert b"access-control" not in head
            assert b"strict-transport-security" not in head


async def test_a_sender_that_half_closed_is_answered(sidecar: Sidecar) -> None:
    """Who says nothing more may still read, as `nc -N` does."""
    async with bridge_on(sidecar) as bridge, peer_of(bridge) as peer:
        await peer.send(GOOD.replace(b"/x", b"/healthz"))
        peer.writer.write_eof()
        assert (await peer.reply()).status == 200
        assert await peer.rest() == b""


async def test_a_request_whose_sender_left_is_done_all_the_same(sidecar: Sidecar) -> None:
    """A stop that arrived whole is carried out though nobody waits for the answer."""
    done = asyncio.Event()
    may_go = asyncio.Event()

    async def app(_scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401 - as ASGI has them
        await receive()
        await may_go.wait()
        done.set()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async with bridge_on(sidecar, app=app) as bridge:
        async with peer_of(bridge) as peer:
            await peer.send(GOOD)
            await until(lambda: bridge.listener.answering_count == 1)
        may_go.set()
        await asyncio.wait_for(done.wait(), WAIT_SECONDS)


async def test_a_stream_goes_on_and_hears_that_its_reader_left(sidecar: Sidecar) -> None:
    """A long answer comes in chunks; the application hears `http.disconnect`."""
    app = Streaming()
    async with bridge_on(sidecar, app=app, pace=paced(idle=SOON, head=SOON)) as bridge:
        async with peer_of(bridge) as peer:
            await peer.send(GOOD)
            head = await peer.reader.readuntil(b"\r\n\r\n")
            assert b"transfer-encoding: chunked" in head.lower()
            assert await peer.reader.readuntil(b"x\n\n\r\n") == b"9\r\ndata: x\n\n\r\n"
            async with peer_of(bridge) as silent:
                assert await silent.rest() == b""  # its time ran out, and the stream's has not
            assert app.ended_by.empty()
        assert await asyncio.wait_for(app.ended_by.get(), WAIT_SECONDS) == "http.disconnect"


async def test_a_reader_that_does_not_read_is_cut(sidecar: Sidecar) -> None:
    """Beyond a bound the answer waits, and then the application hears that it is over."""
    app = Streaming(part=b"a" * 65_536, is_endless=True)
    async with (
        bridge_on(sidecar, app=app, pace=paced(write=SOON)) as bridge,
        peer_of(bridge) as peer,
    ):
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined] # it reads, too
        await peer.send(GOOD)
        assert await asyncio.wait_for(app.ended_by.get(), WAIT_SECONDS) == "Gone"
        await until(lambda: bridge.listener.connections_count == 0)


async def test_a_drain_ends_streams(sidecar: Sidecar) -> None:
    """A stream hears that it is over and may say a last word; the drain waits for no reader."""
    app = Streaming()
    async with bridge_on(sidecar, app=app) as bridge, peer_of(bridge) as peer:
        await peer.send(GOOD)
        await asyncio.wait_for(app.begun.wait(), WAIT_SECONDS)
        await asyncio.wait_for(bridge.drain(), WAIT_SECONDS)
        assert app.ended_by.get_nowait() == "http.disconnect"
        assert (await peer.rest()).endswith(b"0\r\n\r\n")


async def test_a_drain_cuts_what_does_not_end(
    sidecar: Sidecar, caplog: pytest.LogCaptureFixture
) -> None:
    """A request that hears nothing is cut after its time, and that is said."""

    async def deaf(*_: object) -> None:
        await asyncio.Event().wait()

    with caplog.at_level(logging.WARNING):
        async with (
            bridge_on(sidecar, app=deaf, pace=paced(drain=SOON)) as bridge,
            peer_of(bridge) as peer,
        ):
            await peer.send(GOOD)
            await until(lambda: bridge.listener.answering_count == 1)
            await asyncio.wait_for(bridge.drain(), WAIT_SECONDS)
            assert await peer.rest() == b""
    assert "1 requests were cut off unanswered" in caplog.text


async def test_an_application_that_fails_is_a_500(
    sidecar: Sidecar, caplog: pytest.LogCaptureFixture
) -> None:
    """What nobody expected is logged and answered as JSON; the connection and others go on."""

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    async with bridge_on(sidecar, app=broken) as bridge, peer_of(bridge) as peer:
        for _ in range(2):
            await peer.send(GOOD)
            reply = await peer.reply()
            assert (reply.status, reply.json()["reason"]) == (500, "UNEXPECTED")
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("has_length", [False, True])
async def test_an_answer_that_breaks_off_looks_broken(
    sidecar: Sidecar, caplog: pytest.LogCaptureFixture, has_length: bool
) -> None:
    """Half an answer never looks whole: the connection is cut."""

    async def broken(_scope: object, _receive: object, send: Any) -> None:  # noqa: ANN401 - as ASGI has it
        headers = [(b"content-length", b"9")] if has_length else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ZeroDivisionError

    async with bridge_on(sidecar, app=broken) as bridge, peer_of(bridge) as peer:
        await peer.send(GOOD)
        rest = await peer.rest()
        assert not rest.endswith(b"0\r\n\r\n")
    assert "ZeroDivisionError" in caplog.text


async def test_answers_are_counted_by_route_and_status(sidecar: Sidecar) -> None:
    """A path of ours counts by its name, anything else as `other`."""
    async with bridge_on(sidecar) as bridge:
        counts = bridge.requests.values
        await ask(bridge, "GET", "/healthz?x")
        await ask(bridge, "GET", "/nowhere")
        await send(bridge, b"\n")
        assert counts == {("/healthz", "200"): 1, ("other", "404"): 1, ("other", "400"): 1}
