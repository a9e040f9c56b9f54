"""A receiver of webhooks on a loopback port that behaves as it is told, well or badly."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from standardwebhooks import Webhook

SECRET: Final = f"whsec_{base64.b64encode(b'a secret of thirty-two bytes ...').decode()}"
OTHER_SECRET: Final = f"whsec_{base64.b64encode(b'another secret of thirty-two by.').decode()}"
WAIT_SECONDS: Final = 20.0
OK: Final = b"HTTP/1.1 204 No Content\r\n\r\n"


def status(code: int, *headers: str) -> bytes:
    """Return a whole answer without a body."""
    return "\r\n".join([f"HTTP/1.1 {code} X", "Content-Length: 0", *headers, "", ""]).encode()


@dataclass(frozen=True, slots=True)
class Received:
    """One request, as it came."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """What repeats are told by."""
        return self.headers["webhook-id"]

    def json(self) -> dict[str, Any]:
        """Return the body."""
        read: dict[str, Any] = json.loads(self.body)
        return read

    def verified(self, secret: str = SECRET) -> dict[str, Any]:
        """Return the body, proved by the reference implementation; it raises otherwise."""
        read: dict[str, Any] = Webhook(secret).verify(self.body, dict(self.headers))
        return read


@dataclass(slots=True)
class Receiver:
    """Keeps what came, and answers each request with what `answer` says; b"" answers nothing."""

    answer: Callable[[Received], bytes] = lambda _: OK
    received: list[Received] = field(default_factory=list)
    connections_count: int = 0
    url: str = ""
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _open: dict[asyncio.StreamWriter, asyncio.Task[None]] = field(default_factory=dict)

    @property
    def types(self) -> list[str]:
        """What happened, in the order told."""
        return [request.json()["type"] for request in self.received]

    @property
    def ids(self) -> list[str]:
        """Their ids."""
        return [request.id for request in self.received]

    async def wait(self, count: int) -> list[Received]:
        """Return once so many came."""
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.received) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.received

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection in a task of its own."""
        self.connections_count += 1
        self._open[writer] = asyncio.get_running_loop().create_task(self._serve(reader, writer))

    async def close(self) -> None:
        """End every connection."""
        tasks = list(self._open.values())
        for writer in self._open:
            writer.transport.abort()
        if tasks:
            await asyncio.wait(tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request and answer it."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *rest = head.split("\r\n")
            pairs = (item.partition(":") for item in rest if item)
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            request = Received(line, headers, body)
            self.received.append(request)
            self._arrived.set()
            answer = self.answer(request)
            if not answer:
                await reader.read()  # until the other side gives up
            writer.write(answer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return  # the other side went away
        finally:
            self._open.pop(writer, None)
            writer.close()


@asynccontextmanager
async def receiving(
    answer: Callable[[Received], bytes] = lambda _: OK,
    *,
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Receiver]:
    """Serve a receiver; `url` says where."""
    receiver = Receiver(answer=answer)
    server = await asyncio.start_server(receiver.connected, "127.0.0.1", port, ssl=tls)
    host, at = server.sockets[0].getsockname()
    receiver.url = f"http{'s' if tls else ''}://{host}:{at}/hook"
    try:
        yield receiver
    finally:
        server.close()
        await receiver.close()


Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def serving(handle: Handle) -> AsyncIterator[str]:
    """Serve raw bytes on a loopback port, HOST:PORT; every connection must end by itself."""
    tasks: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            return  # the other side went away
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.get_running_loop().create_task(serve(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield "{}:{}".format(*server.sockets[0].getsockname())
        async with asyncio.timeout(WAIT_SECONDS):
            await asyncio.gather(*tasks)
    finally:
        server.close()
