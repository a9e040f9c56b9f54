"""Reads the page's stream over a real socket, event by event."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sidecar.bridge import Bridge
from sidecar.bridge.page_routes import STREAM_PATH
from tests.server.harness import WAIT_SECONDS


@dataclass(slots=True)
class Listening:
    """One open stream. `ids` are the numbers that came, `head` is the answer's."""

    reader: asyncio.StreamReader
    head: bytes
    ids: list[int]
    text: bytes = b""

    async def next(self) -> tuple[str, dict[str, Any]]:
        """Return the next event: its name and what it says."""
        while b"\n\n" not in self.text:
            size = int(await self._line() or b"0", 16)
            assert size, "the stream ended"
            self.text += await asyncio.wait_for(self.reader.readexactly(size), WAIT_SECONDS)
            assert await self._line() == b""
        block, _, self.text = self.text.partition(b"\n\n")
        lines = dict(line.split(b": ", 1) for line in block.split(b"\n"))
        if b"id" in lines:
            self.ids.append(int(lines[b"id"]))
        return lines[b"event"].decode(), json.loads(lines[b"data"])

    async def until(self, name: str) -> dict[str, Any]:
        """Return the next event of this name."""
        while True:
            found, said = await self.next()
            if found == name:
                return said

    async def ended(self) -> bool:
        """Say whether the stream ends here, in good order."""
        return await self._line() == b"0"

    async def _line(self) -> bytes:
        line = await asyncio.wait_for(self.reader.readline(), WAIT_SECONDS)
        return line.rstrip(b"\r\n")


@asynccontextmanager
async def listening(bridge: Bridge, **headers: str) -> AsyncIterator[Listening]:
    """Open the stream; `headers` with underscores for dashes."""
    host, _, port = bridge.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [f"GET {STREAM_PATH} HTTP/1.1", f"Host: {bridge.address}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_SECONDS)
        yield Listening(reader, head, [])
    finally:
        writer.close()
        await writer.wait_closed()
