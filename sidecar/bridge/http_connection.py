"""One connection: reads a request within its bounds, has it answered, and ends in bounded time.

Rules:
1. One request at a time. What comes before the answer was sent is not read as a request: the
   connection ends after the answer, so that nothing hides behind a request (no pipelining).
2. Every state has a time of its own (`Pace`). Who says nothing is closed without a word; who began
   a request and does not end it is told 408.
3. A refusal ends the connection: after it nobody knows where the next request would begin. What
   still comes is read and thrown away for a moment, so that the refusal is not lost to a reset.
4. A request that was let in is answered though its sender is gone: a stop that arrived is done.
5. The state changes in one turn of the loop, never across an await.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol, cast

from sidecar.bridge.door import Arrival, Door
from sidecar.bridge.exchange import App, Exchange, Gone, Request, own_headers
from sidecar.bridge.http_body import BodyReader
from sidecar.bridge.http_framing import Head, find_end, read_head
from sidecar.bridge.options import Pace
from sidecar.bridge.refusals import Refusal, Refused, refusal_of
from sidecar.bridge.tls_layer import TlsError, TlsLayer
from sidecar.bridge.visitors import Visitor

IGNORED_BYTES_MAX: Final = 256 * 1024
UNSENT_BYTES_MAX: Final = 64 * 1024
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_NOWHERE: Final = ("", 0)


class State(Enum):
    """What a connection is doing."""

    HEAD = "waits for a head"
    BODY = "waits for a body"
    ANSWERING = "is answered"
    ENDING = "was refused, or is done"
    CLOSED = "is no more"


class House(Protocol):
    """What all connections of a bridge share."""

    app: App
    door: Door
    pace: Pace
    server: tuple[str, int]

    def new_tls(self) -> TlsLayer | None:
        """Return the TLS of a new connection, None where plain HTTP is spoken."""

    def enter(self, connection: HttpConnection) -> bool:
        """Find room for a new connection; False where there is none."""

    def wait(self, connection: HttpConnection) -> None:
        """It waits for a request from now on."""

    def run(self, connection: HttpConnection, work: Coroutine[Any, Any, None]) -> None:
        """It has a whole request: run `work`, which answers it."""

    def end(self, connection: HttpConnection) -> None:
        """It takes no further request."""

    def leave(self, connection: HttpConnection) -> None:
        """It is no more."""

    def count(self, head: Head | None, status: int) -> None:
        """Count an answer; `head` is None where the request was never read whole."""


@dataclass(frozen=True, slots=True)
class Coming:
    """A request whose head passed, and as much of its body as is there."""

    head: Head
    visitor: Visitor
    body: BodyReader


class HttpConnection(asyncio.Protocol):
    """The protocol of one connection."""

    def __init__(self, house: House) -> None:
        """Nothing has come yet."""
        self._house = house
        self._pace = house.pace
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._tls: TlsLayer | None = None
        self._arrival = Arrival(host="", port=0)
        self.state = State.HEAD
        self._timer: asyncio.TimerHandle | None = None
        self._buffer = bytearray()
        self._looked_at = 0
        self._coming: Coming | None = None
        self._exchange: Exchange | None = None
        self._ignored = 0
        self._is_last = False
        self._is_rested = False
        self._gone = asyncio.Event()
        self._room: asyncio.Future[None] | None = None

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A peer connected."""
        # uvloop's is no subclass of asyncio's, and has its methods.
        self._transport = cast("asyncio.Transport", transport)
        host, port = (transport.get_extra_info("peername") or _NOWHERE)[:2]
        self._tls = self._house.new_tls()
        self._arrival = Arrival(host=str(host), port=port, is_tls=self._tls is not None)
        self._transport.set_write_buffer_limits(high=UNSENT_BYTES_MAX)
        if not self._house.enter(self):
            self._transport.abort()
            return
        self._after(self._pace.head, self._slow_head)
        if not self._house.door.admits(str(host)):
            self._refuse(refusal_of("PROXY_ONLY", f"you are {host}"))

    def data_received(self, data: bytes) -> None:
        """The peer sent bytes."""
        if self.state is State.CLOSED:
            return
        if self._tls is not None and self.state is not State.ENDING:
            self._hear(self._decrypt(self._tls, data))
            if self._tls is not None and self._tls.is_ended and not self.eof_received():
                self._close()
        else:
            self._hear(data)

    def _hear(self, data: bytes) -> None:
        if not data:
            return
        if self.state is State.HEAD or self.state is State.BODY:
            try:
                self._take(data)
            except Refused as refused:
                self._refuse(refused.refusal)
        else:
            self._ignore(len(data))

    def eof_received(self) -> bool:
        """The peer says nothing more; it may still read the answer it waits for."""
        if self.state is State.ANSWERING:
            self._is_last = True
            self._gone.set()
            return True
        return False

    def pause_writing(self) -> None:
        """The peer takes less than we send."""
        if self._room is None:
            self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        """The peer caught up."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is no more."""
        del exc
        self.state = State.CLOSED
        self._stop_timer()
        self._gone.set()
        self.resume_writing()
        self._house.leave(self)

    @property
    def deadline(self) -> float | None:
        """When its present state runs out, in the loop's time; None while it is answered."""
        return None if self._timer is None else self._timer.when()

    # Reading.

    def _decrypt(self, tls: TlsLayer, data: bytes) -> bytes:
        """Return what came in clear; empty where there is nothing to do with it."""
        was_open = tls.is_open
        try:
            heard = tls.feed(data)
        except TlsError:
            alert = tls.outgoing()
            if tls.is_plain:
                self._tls = None
                self._refuse(refusal_of("TLS_REQUIRED"))
            else:
                self._transport.write(alert)
                self._close()
            return b""
        self._transport.write(tls.outgoing())
        if tls.is_open and not was_open:
            self._arrival = Arrival(
                host=self._arrival.host,
                port=self._arrival.port,
                is_tls=True,
                certificate=tls.certificate,
            )
        return heard

    def _take(self, data: bytes) -> None:
        """Read on. Raises Refused."""
        coming = self._coming
        if coming is None:
            if self._is_rested:
                self._is_rested = False
                self._after(self._pace.head, self._slow_head)
            self._buffer += data
            end = find_end(self._buffer, self._looked_at)
            self._looked_at = len(self._buffer)
            if end == 0:
                return
            head = read_head(bytes(self._buffer[:end]))
            visitor = self._house.door.judge(head, self._arrival)
            coming = self._coming = Coming(head, visitor, BodyReader(head.body_length))
            data = bytes(self._buffer[end:])
            self._buffer.clear()
            self._looked_at = 0
            self.state = State.BODY
            self._after(self._pace.body, self._slow_body)
            if head.expects_continue and not data:
                self._send_now(_CONTINUE)
        left = coming.body.feed(data)
        if coming.body.is_whole:
            self._begin(coming, left)

    def _begin(self, coming: Coming, left: bytes) -> None:
        """Have the request answered; `left` is what came behind it (rule 1)."""
        self._stop_timer()
        self._is_last = self._is_last or bool(left) or not coming.head.is_kept_alive
        self._ignored = len(left)
        request = Request(
            head=coming.head,
            body=coming.body,
            arrival=self._arrival,
            visitor=coming.visitor,
            server=self._house.server,
        )
        exchange = self._exchange = Exchange(request, self, may_stay=not self._is_last)
        exchange.read_again()
        self.state = State.ANSWERING
        self._gone.clear()
        self._house.run(self, self._answer(exchange, coming.head))

    def _ignore(self, count: int) -> None:
        """Throw bytes away; too many end the connection at once."""
        self._is_last = True
        self._ignored += count
        if self._ignored > IGNORED_BYTES_MAX:
            self._transport.abort()

    # Answering.

    @property
    def is_streaming(self) -> bool:
        """Whether an answer was begun and goes on."""
        exchange = self._exchange
        return self.state is State.ANSWERING and exchange is not None and exchange.is_begun

    async def _answer(self, exchange: Exchange, head: Head) -> None:
        """Run the request that is whole, and go on to the next or end."""
        try:
            await exchange.run(self._house.app)
        except Gone:
            self._transport.abort()
        finally:
            self._house.count(head, exchange.status)
            self._finish(exchange)

    def _finish(self, exchange: Exchange) -> None:
        self._exchange = self._coming = None
        if self.state is not State.ANSWERING:
            return
        if not exchange.is_whole:
            self._transport.abort()
        elif self._is_last or not exchange.may_stay:
            if self._ignored:
                self._linger()
            else:
                self._close()
        else:
            self.state = State.HEAD
            self._is_rested = True
            self._after(self._pace.idle, self._close)
            self._house.wait(self)

    async def write(self, data: bytes) -> None:
        """Send; returns once there is room for more. Raises Gone."""
        if self.state is not State.ANSWERING or self._transport.is_closing():
            raise Gone("the connection is closed")
        self._send_now(data)
        room = self._room
        if room is None:
            return
        try:
            async with asyncio.timeout(self._pace.write):
                await asyncio.shield(room)
        except TimeoutError:
            self._transport.abort()
            raise Gone("the reader took nothing for too long") from None

    async def until_gone(self) -> None:
        """Return once nobody reads any more, or the sidecar drains."""
        await self._gone.wait()

    def _send_now(self, data: bytes) -> None:
        try:
            self._transport.write(data if self._tls is None else self._tls.seal(data))
        except TlsError:
            self._transport.abort()

    # Ending.

    def drain(self) -> None:
        """Take no further request, and tell what streams to end."""
        if self.state is State.ANSWERING:
            self._is_last = True
            self._gone.set()
        elif self.state is not State.ENDING:
            self._close()

    def abort(self) -> None:
        """End at once."""
        self._transport.abort()

    def _slow_head(self) -> None:
        if self._buffer:
            self._refuse(refusal_of("HEAD_TOO_SLOW"))
        else:
            self._close()

    def _slow_body(self) -> None:
        self._refuse(refusal_of("BODY_TOO_SLOW"))

    def _refuse(self, refusal: Refusal) -> None:
        """Answer outside of the application, and end (rule 3)."""
        self._house.count(None, refusal.status)
        self._send_now(raw_answer(refusal, is_tls=self._tls is not None))
        self._linger()

    def _linger(self) -> None:
        """Say that nothing more comes, and read on for a moment."""
        if self.state is State.CLOSED:
            return
        self.state = State.ENDING
        self._buffer.clear()
        self._house.end(self)
        if self._tls is not None:
            self._transport.write(self._tls.close())
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()
        self._after(self._pace.linger, self._transport.abort)

    def _close(self) -> None:
        """Close, and give what is unsent its time."""
        self.state = State.ENDING
        self._house.end(self)
        if self._tls is not None and self._tls.is_open:
            self._transport.write(self._tls.close())
        self._transport.close()
        self._after(self._pace.write, self._transport.abort)

    def _after(self, seconds: float, call: Callable[[], Any]) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(seconds, call)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def raw_answer(refusal: Refusal, *, is_tls: bool) -> bytes:
    """Return a whole answer that closes the connection."""
    body = refusal.body()
    lines = [
        f"HTTP/1.1 {refusal.status} {refusal.content()['error']}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
        *(f"{name}: {value}" for name, value in refusal.headers),
        *(f"{name.decode()}: {value.decode()}" for name, value in own_headers((), is_tls=is_tls)),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body
