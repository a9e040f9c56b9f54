"""When a connection's time runs out, and how it ends: read off it, not waited for."""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

import pytest

from sidecar.bridge.http_connection import IGNORED_BYTES_MAX, HttpConnection
from sidecar.bridge.listener import Listener
from tests.bridge.peer import Listening, bare_on, until
from tests.bridge.test_http_connection import Streaming

HALF: Final = b"GET /x HTTP/1.1\r\nHost: loc"
REST: Final = b"alhost\r\n\r\n"
POST: Final = b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n"


class Transport(asyncio.Transport):
    """A transport that keeps what was done to it."""

    def __init__(self) -> None:
        """Nothing was done."""
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.written = b""
        self.done: list[str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing: everything is taken."""

    def can_write_eof(self) -> bool:
        """It can."""
        return True

    def write_eof(self) -> None:
        """Keep that it was asked for."""
        self.done.append("eof")

    def abort(self) -> None:
        """As above."""
        self.done.append("abort")

    def close(self) -> None:
        """As above."""
        self.done.append("close")

    def is_closing(self) -> bool:
        """Say whether it was ended."""
        return "abort" in self.done or "close" in self.done


def connected(listener: Listener) -> tuple[HttpConnection, Transport]:
    """Return a connection of the listener over such a transport."""
    connection, transport = HttpConnection(listener), Transport()
    connection.connection_made(transport)
    return connection, transport


def deadline(connection: HttpConnection) -> float:
    """Return when its time runs out; there must be such a time."""
    found = connection.deadline
    assert found is not None
    return found


async def test_the_time_of_a_head_begins_with_the_connection_and_no_byte_moves_it() -> None:
    """Neither the first byte nor any later one buys time."""
    async with bare_on(Listening()) as bare:
        connection, _ = connected(bare.listener)
        begun = deadline(connection)
        for byte in HALF:
            connection.data_received(bytes([byte]))
            assert deadline(connection) == begun
        connection.connection_lost(None)


async def test_no_byte_moves_the_time_of_a_body() -> None:
    """It begins with the end of the head, and stays."""
    async with bare_on(Listening()) as bare:
        connection, _ = connected(bare.listener)
        connection.data_received(POST)
        begun = deadline(connection)
        for byte in b"{}":
            connection.data_received(bytes([byte]))
            assert deadline(connection) == begun
        connection.connection_lost(None)


async def test_a_rested_connection_has_the_time_of_a_head_from_its_next_byte() -> None:
    """No time runs while it is answered; then that of its rest; then, once, that of a head."""
    async with bare_on(Listening()) as bare:
        connection, transport = connected(bare.listener)
        connection.data_received(HALF + REST)
        assert connection.deadline is None
        await until(lambda: transport.written.endswith(b"}"))
        await until(lambda: connection.deadline is not None)
        resting = deadline(connection)
        connection.data_received(HALF)
        begun = deadline(connection)
        assert begun >= resting
        connection.data_received(REST[:1])
        assert deadline(connection) == begun
        connection.connection_lost(None)


@pytest.mark.parametrize("data", [b"\n", POST.replace(b": 3", b": 70000")])
async def test_a_refusal_leaves_the_connection_open_for_what_still_comes(data: bytes) -> None:
    """Closed with unread bytes the kernel would reset it, and the refusal be lost: half a close."""
    async with bare_on(Listening()) as bare:
        connection, transport = connected(bare.listener)
        connection.data_received(data)
        assert transport.written.startswith(b"HTTP/1.1 4")
        assert transport.done == ["eof"]
        said = transport.written
        connection.data_received(HALF + REST)
        assert (transport.written, transport.done) == (said, ["eof"])
        assert connection.deadline is not None
        connection.connection_lost(None)


async def test_an_answer_after_which_nothing_came_is_closed_at_once() -> None:
    """`Connection: close` needs no waiting."""
    async with bare_on(Listening()) as bare:
        connection, transport = connected(bare.listener)
        connection.data_received(HALF + REST[:-2] + b"Connection: close\r\n\r\n")
        await until(lambda: cast("Any", transport).done == ["close"])
        assert b"connection: close" in transport.written.lower()
        connection.connection_lost(None)


async def test_beyond_a_bound_nothing_more_is_thrown_away() -> None:
    """After a refusal, and behind a request that is answered, too many bytes end it at once."""
    streaming = Streaming()
    async with bare_on(streaming) as bare:
        for data in (b"\n", HALF + REST):
            connection, transport = connected(bare.listener)
            connection.data_received(data)
            connection.data_received(b"a" * IGNORED_BYTES_MAX)
            assert "abort" not in transport.done
            connection.data_received(b"a")
            assert transport.done[-1] == "abort"
            connection.connection_lost(None)
