"""One connection to a bridge, byte by byte, and an application that says what it heard.

Rules: a peer sends exactly what it is told; what it reads is read by a reader of its own, strict
about where an answer ends.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.addresses import TcpAddress
from sidecar.bridge import Bridge
from sidecar.bridge.door import Door
from sidecar.bridge.exchange import App
from sidecar.bridge.listener import Listener
from sidecar.bridge.options import BridgeOptions
from sidecar.telemetry.counts import Counts
from tests.bridge.harness import PATIENT, Reply
from tests.server.harness import WAIT_SECONDS

GOOD: Final = b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass(slots=True)
class Listening:
    """An application that answers every request with what it was, and keeps them."""

    heard: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401 - as ASGI has them
        """Answer one request."""
        message = await receive()
        heard = {
            "method": scope["method"],
            "target": (scope["raw_path"] + b"?" + scope["query_string"]).decode(),
            "headers": [
                [name.decode("latin-1"), value.decode("latin-1")]
                for name, value in scope["headers"]
            ],
            "body": message["body"].decode("latin-1"),
        }
        self.heard.append(heard)
        body = json.dumps(heard).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@dataclass(slots=True)
class Peer:
    """An open connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self) -> Reply:
        """Read one answer, whole; of a stream, which has no end, its head."""
        async with asyncio.timeout(WAIT_SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n"))[:-4]
            status = int(head.split()[1])
            if status == 100:
                return Reply(status, head, b"")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            length = int(fields.get(b"content-length", b"0"))
            body = await self.reader.readexactly(length)
            return Reply(status, head, body)

    async def rest(self) -> bytes:
        """Read until the other side closed; a reset counts as closed."""
        async with asyncio.timeout(WAIT_SECONDS):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""


async def until(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not holds():  # noqa: ASYNC110 - what it looks at tells nobody
            await asyncio.sleep(0.001)


@dataclass(slots=True)
class Bare:
    """A listener with an application of the test's own, and no sidecar behind it."""

    listener: Listener
    address: str = ""


@asynccontextmanager
async def bare_on(app: App) -> AsyncIterator[Bare]:
    """Serve `app` on a loopback port, until the end."""
    listener = Listener(
        app=app,
        door=Door(BridgeOptions(), None),
        pace=PATIENT,
        keeper=None,
        routes=frozenset(),
        requests=Counts("route", "status"),
    )
    port = await listener.start(TcpAddress(host="127.0.0.1", port=0, is_loopback=True))
    try:
        yield Bare(listener, f"127.0.0.1:{port}")
    finally:
        await asyncio.wait_for(listener.drain(), WAIT_SECONDS)


@asynccontextmanager
async def peer_of(
    bridge: Bridge | Bare, context: ssl.SSLContext | None = None
) -> AsyncIterator[Peer]:
    """Connect, over TLS where `context` says how, and close at the end."""
    host, _, port = bridge.address.rpartition(":")
    host = "127.0.0.1" if host in {"0.0.0.0", "127.0.0.1"} else host.strip("[]")  # noqa: S104 - read, not bound
    name = host if context is not None else None
    reader, writer = await asyncio.open_connection(
        host, int(port), ssl=context, server_hostname=name, limit=1024 * 1024
    )
    try:
        yield Peer(reader, writer)
    finally:
        writer.transport.abort()
