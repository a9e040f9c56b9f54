"""A flood over HTTP: idle sockets, and bad requests without a pause (issue 5, webhooks 6).

Rules:
1. Each bad request has a connection of its own and is read to its end; every kind comes in turn.
2. An idle socket that is closed is opened again: there are always as many.
3. How many bad requests were answered or closed stands in a file, for the bench to read.

Usage: python -m bench.http_flood HOST:PORT SENDERS IDLE FILE (until it is ended; prints `ready`)
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import sys
from pathlib import Path
from typing import Final

TOLD_EVERY: Final = 50
TRIGGER: Final = b"POST /api/v1/safety/kill-switch/trigger HTTP/1.1\r\nHost: localhost\r\n"
BAD: Final = (
    b"GET / HTTP/1.1\nHost: localhost\n\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: evil.example.com\r\n\r\n",
    TRIGGER + b"Content-Length: 70000\r\n\r\n",
    TRIGGER + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    TRIGGER
    + b"Content-Length: 2\r\nConnection: close\r\nX-HMAC-Signature: %b\r\n\r\n{}" % (b"0" * 64),
    TRIGGER + b"Content-Length: 9\r\n\r\n{",
)
HALF: Final = BAD[-1]
"""The sender of this one goes away in the middle of it."""


class Told:
    """How many were sent, in a file every so often."""

    def __init__(self, file: Path) -> None:
        """Nothing was sent."""
        self.begun = asyncio.Event()
        self._file = file
        self._count = 0

    def add(self) -> None:
        """One more was sent."""
        self._count += 1
        if self._count % TOLD_EVERY == 0:
            self._file.write_text(str(self._count), encoding="utf-8")
            self.begun.set()


async def _send_bad(host: str, port: int, told: Told) -> None:
    for data in itertools.cycle(BAD):
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(data)
            if data is not HALF:
                await reader.read()
            writer.close()
            told.add()


async def _stay_idle(host: str, port: int) -> None:
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(host, port)
            await reader.read()
            writer.close()


async def _until_ended(address: str, senders: int, idle: int, sent: Path) -> None:
    host, _, port = address.rpartition(":")
    ended, told = asyncio.Event(), Told(sent)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    tasks = [asyncio.create_task(_stay_idle(host, int(port))) for _ in range(idle)]
    tasks += [asyncio.create_task(_send_bad(host, int(port), told)) for _ in range(senders)]
    await told.begun.wait()
    print("ready", flush=True)
    await ended.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(_until_ended(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
