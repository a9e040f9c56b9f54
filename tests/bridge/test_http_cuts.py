"""However a request is cut into packets it is one request; whatever else comes is never a 2xx."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any, Final, TypeVar

import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.bridge.http_body import BodyReader
from sidecar.bridge.http_framing import Head, find_end, read_head
from sidecar.bridge.refusals import Refused
from tests.bridge.peer import GOOD, Listening, bare_on, peer_of
from tests.bridge.test_http_framing import ALL, GOOD_ONES

_Result = TypeVar("_Result")
LARGE: Final = 4_000
REQUESTS: Final = {name: data for name, (data, _) in (ALL | GOOD_ONES).items() if len(data) < LARGE}


class Reading:
    """The readers of one request under a loop of the test's own: no socket."""

    def __init__(self) -> None:
        """Nothing has come."""
        self.buffer = bytearray()
        self.looked_at = 0
        self.head: Head | None = None
        self.body = BodyReader(0)
        self.left = b""

    def feed(self, data: bytes) -> None:
        """Take more bytes. Raises Refused."""
        if self.head is None:
            self.buffer += data
            end = find_end(self.buffer, self.looked_at)
            self.looked_at = len(self.buffer)
            if not end:
                return
            self.head = read_head(bytes(self.buffer[:end]))
            self.body = BodyReader(self.head.body_length)
            data = bytes(self.buffer[end:])
        self.left += self.body.feed(data)


def outcome(parts: list[bytes]) -> tuple[object, ...]:
    """Return what the readers made of these packets."""
    reading = Reading()
    try:
        for part in parts:
            reading.feed(part)
    except Refused as refused:
        return ("refused", refused.refusal.reason)
    head = reading.head
    read = None if head is None else (head.method, head.target, head.headers)
    return (read, bytes(reading.body.body), reading.body.is_whole, reading.left)


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run it on the loop that `serve` has."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Return `data` cut at these places, whatever they are."""
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@settings(max_examples=1_000, deadline=None)
@given(name=st.sampled_from(sorted(REQUESTS)), places=st.lists(st.integers(0, LARGE), max_size=8))
def test_no_cut_changes_what_is_read(name: str, places: list[int]) -> None:
    """The readers come to the same request or the same refusal, wherever the bytes are cut."""
    data = REQUESTS[name]
    assert outcome(cut(data, places)) == outcome([data])


def test_no_single_byte_changes_what_is_read() -> None:
    """Byte by byte, every case of the tables is read as it is read whole."""
    for name, data in REQUESTS.items():
        assert outcome([bytes([byte]) for byte in data]) == outcome([data]), name


@settings(max_examples=50, deadline=None)
@given(
    name=st.sampled_from(sorted(name for name in GOOD_ONES if name in REQUESTS)),
    places=st.lists(st.integers(0, LARGE), min_size=1, max_size=4),
)
def test_a_cut_request_gets_the_same_answer(name: str, places: list[int]) -> None:
    """Over a socket too: cut anywhere, with turns of the loop in between, it is answered alike."""
    data = REQUESTS[name]
    whole, in_parts = run(_answers([[data], cut(data, places)]))
    assert whole == in_parts
    assert whole[0] == 200


async def _answers(requests: list[list[bytes]]) -> list[tuple[int, bytes]]:
    """Send each request on a connection of its own, and return status and body of the answers."""
    found = []
    async with bare_on(Listening()) as bare:
        for parts in requests:
            async with peer_of(bare) as peer:
                for part in parts:
                    await peer.send(part)
                    await asyncio.sleep(0)
                reply = await peer.reply()
                found.append((reply.status, reply.body))
    return found


HEADS: Final = st.one_of(
    st.binary(max_size=300),
    st.text(
        alphabet=st.sampled_from("GET /xHTP1.0\r\n:host,chunked-0 \t\x00\xe9"), max_size=200
    ).map(lambda text: text.encode("latin-1")),
    st.tuples(
        st.sampled_from(sorted(REQUESTS)),
        st.lists(st.tuples(st.integers(0, LARGE), st.binary(max_size=3)), min_size=1, max_size=4),
    ).map(lambda drawn: _mutated(REQUESTS[drawn[0]], drawn[1])),
)


def _mutated(data: bytes, changes: list[tuple[int, bytes]]) -> bytes:
    """Return `data` with bytes put over others."""
    changed = bytearray(data)
    for place, written in changes:
        at = place % (len(changed) + 1)
        changed[at : at + len(written)] = written
    return bytes(changed)


@settings(max_examples=100, deadline=None)
@given(heads=st.lists(HEADS, min_size=1, max_size=10))
def test_garbage_is_never_answered_with_a_2xx(heads: list[bytes]) -> None:
    """What is no request of ours is refused or closed, h11 agrees, and a good one still passes."""
    run(_send_garbage(heads))


async def _send_garbage(heads: list[bytes]) -> None:
    loop = asyncio.get_running_loop()
    crashes: list[object] = []
    loop.set_exception_handler(lambda _, context: crashes.append(context))
    app = Listening()
    async with bare_on(app) as bare:
        for head in heads:
            is_good = outcome([head])[0] not in {"refused", None} and outcome([head])[2]
            before = len(app.heard)
            async with peer_of(bare) as peer:
                await peer.send(head)
                peer.writer.write_eof()
                answer = await peer.rest()
            assert is_good or not answer.startswith(b"HTTP/1.1 2"), head
            assert is_good or len(app.heard) == before, head
        async with peer_of(bare) as peer:
            await peer.send(GOOD)
            assert (await peer.reply()).status == 200
    assert crashes == []
