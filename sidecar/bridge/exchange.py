"""One request and its answer: the ASGI application on one side, h11 on the other.

Rules:
1. The request is whole before the application hears of it: a slow sender holds no route.
2. h11 reads it a second time; where it reads another request than we did, nobody is answered.
3. An answer is written as the application gives it, bounded by the reader's pace; a reader who is
   gone or takes nothing is a `Gone`, which is an OSError, to the application.
4. `http.disconnect` comes when the peer hangs up or the sidecar drains, to what still listens.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import unquote

import h11

from sidecar.bridge.door import Arrival
from sidecar.bridge.http_body import FRAMED_BYTES_MAX, BodyReader
from sidecar.bridge.http_framing import HEAD_BYTES_MAX, Head
from sidecar.bridge.refusals import Refusal, refusal_of, refuse
from sidecar.bridge.visitors import SCOPE_KEY, TARGET_KEY, Visitor

LOG: Final = logging.getLogger(__name__)

Scope = dict[str, Any]
Message = dict[str, Any]
App = Callable[
    [Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]
_Pairs = Iterable[tuple[bytes, bytes]]

_START: Final = "http.response.start"
_BODY: Final = "http.response.body"
SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
HSTS: Final = (b"strict-transport-security", b"max-age=31536000")


class Gone(ConnectionError):  # noqa: N818 - it says what happened
    """The reader hung up, or took nothing for too long."""


class Wire(Protocol):
    """Where an answer goes."""

    async def write(self, data: bytes) -> None:
        """Send; returns once there is room for more. Raises Gone."""

    async def until_gone(self) -> None:
        """Return once nobody reads any more, or the sidecar drains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A whole request that was let in."""

    head: Head
    body: BodyReader
    arrival: Arrival
    visitor: Visitor
    server: tuple[str, int]


class Exchange:
    """Runs one request through the application."""

    def __init__(self, request: Request, wire: Wire, *, may_stay: bool) -> None:
        """`may_stay`: the connection may take another request afterwards."""
        self._request = request
        self._wire = wire
        self._may_stay = may_stay
        self._h11 = h11.Connection(
            h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX + FRAMED_BYTES_MAX
        )
        self._was_body_given = False
        self._start: Message | None = None
        self.status = 0
        self.is_begun = False
        self.is_whole = False

    @property
    def may_stay(self) -> bool:
        """Whether the connection may take another request after this answer."""
        return self.is_whole and self._h11.our_state is h11.DONE

    def read_again(self) -> None:
        """Have h11 read the request (rule 2). Raises Refused."""
        head, body = self._request.head, self._request.body
        content = bytearray()
        try:
            self._h11.receive_data(head.raw + body.raw)
            request = self._h11.next_event()
            event = self._h11.next_event()
            while isinstance(event, h11.Data):
                content += event.data
                event = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            raise refuse("REQUEST_AMBIGUOUS", str(error)) from None
        is_same = (
            isinstance(request, h11.Request)
            and isinstance(event, h11.EndOfMessage)
            and (request.method.decode(), request.target) == (head.method, head.target)
            and len(request.headers) == len(head.headers)
            and content == body.body
            and not self._h11.trailing_data[0]
        )
        if not is_same:
            raise refuse("REQUEST_AMBIGUOUS")

    async def run(self, app: App) -> None:
        """Have the application answer. Raises Gone where nobody reads it."""
        try:
            await app(self._scope(), self._receive, self._send)
        except Gone:
            raise
        except Exception:
            # Starlette answers first, and raises then.
            LOG.exception("a request failed")
        if self.is_whole:
            return
        if self.is_begun:
            raise Gone("the application ended in the middle of its answer")
        self._start = None
        await self.answer(refusal_of("UNEXPECTED"))

    async def answer(self, refusal: Refusal) -> None:
        """Answer in the application's place."""
        body = refusal.body()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            *((name.encode(), value.encode()) for name, value in refusal.headers),
        ]
        await self._send({"type": _START, "status": refusal.status, "headers": headers})
        await self._send({"type": _BODY, "body": body})

    def _scope(self) -> Scope:
        head, arrival = self._request.head, self._request.arrival
        path, _, query = head.target.partition(b"?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": head.version,
            "method": head.method,
            "scheme": self._request.visitor.scheme,
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": list(head.headers),
            "client": (arrival.host, arrival.port),
            "server": self._request.server,
            SCOPE_KEY: self._request.visitor,
            TARGET_KEY: head.target,
        }

    async def _receive(self) -> Message:
        if not self._was_body_given:
            self._was_body_given = True
            body = bytes(self._request.body.body)
            return {"type": "http.request", "body": body, "more_body": False}
        await self._wire.until_gone()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == _START and self._start is None:
            self._start = message
            self.status = message["status"]
            return
        if kind != _BODY or self._start is None or self.is_whole:
            raise RuntimeError(f"{kind} is out of turn")
        data = b"" if self._request.head.method == "HEAD" else message.get("body", b"")
        is_last = not message.get("more_body", False)
        parts = []
        if not self.is_begun:
            self.is_begun = True
            parts.append(self._h11.send(self._head_of(self._start)) or b"")
        if data:
            parts.append(self._h11.send(h11.Data(data=data)) or b"")
        if is_last:
            parts.append(self._h11.send(h11.EndOfMessage()) or b"")
            self.is_whole = True
        await self._wire.write(b"".join(parts))

    def _head_of(self, start: Message) -> h11.Response:
        headers = [(bytes(name).lower(), bytes(value)) for name, value in start["headers"]]
        headers += own_headers(headers, is_tls=self._request.arrival.is_tls)
        if not self._may_stay:
            headers.append((b"connection", b"close"))
        return h11.Response(status_code=start["status"], headers=headers)


def own_headers(given: _Pairs, *, is_tls: bool) -> list[tuple[bytes, bytes]]:
    """Return the headers every answer carries, but those the application gave itself."""
    names = {name for name, _ in given}
    every = (*SECURITY_HEADERS, HSTS) if is_tls else SECURITY_HEADERS
    return [pair for pair in every if pair[0] not in names]
