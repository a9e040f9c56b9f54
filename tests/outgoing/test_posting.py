"""One post to a receiver that is well, slow, hostile or not there: an answer, in bounded time."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import uvloop

from sidecar.config.outgoing_sections import OutgoingFormat
from sidecar.outgoing.posting import Poster
from sidecar.outgoing.retries import Answer, Outcome
from sidecar.outgoing.targets import Target
from tests.outgoing.receiver import OK, receiving, serving, status
from tests.server.certificates import write_certificates

MEGABYTE: Final = 1 << 20


def target(url: str, **changes: Any) -> Target:  # noqa: ANN401 - fields of Target by name
    """Return a target that waits as long as a slow machine needs."""
    given = Target(name="desk", url=url, format=OutgoingFormat.STANDARD, timeout_seconds=20.0)
    return replace(given, **changes)


async def post(url: str, **changes: Any) -> Answer:  # noqa: ANN401 - as above
    """Post three bytes once."""
    return await Poster(real_seconds=lambda: 0.0).post(target(url, **changes), b"{ }", {"a": "b"})


@pytest.mark.parametrize(
    ("answer", "outcome", "retry_after"),
    [
        (OK, Outcome.DELIVERED, None),
        (status(200), Outcome.DELIVERED, None),
        (status(299), Outcome.DELIVERED, None),
        (status(301, "Location: http://127.0.0.1:1/"), Outcome.REDIRECTED, None),
        (status(307, "Location: http://127.0.0.1:1/"), Outcome.REDIRECTED, None),
        (status(400), Outcome.REFUSED, None),
        (status(401), Outcome.REFUSED, None),
        (status(410), Outcome.GONE, None),
        (status(429, "Retry-After: 7"), Outcome.LIMITED, 7.0),
        (status(503, "Retry-After: Thu, 01 Jan 1970 00:01:00 GMT"), Outcome.FAILED, 60.0),
        (status(503, "Retry-After: soon"), Outcome.FAILED, None),
        (status(500), Outcome.FAILED, None),
        (status(999), Outcome.FAILED, None),
    ],
)
async def test_a_status_is_what_is_read_of_an_answer(
    answer: bytes, outcome: Outcome, retry_after: float | None
) -> None:
    """Any 2xx is delivered, 410 gone, a redirect is not followed, everything else a failure."""
    async with receiving(lambda _: answer) as receiver:
        found = await post(receiver.url)
        assert (found.outcome, found.retry_after_seconds) == (outcome, retry_after)
        assert len(receiver.received) == 1
        (request,) = receiver.received
    assert (request.line, request.body) == ("POST /hook HTTP/1.1", b"{ }")
    assert request.headers["a"] == "b"
    assert "cookie" not in request.headers


@pytest.mark.parametrize(
    "garbage",
    [
        b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200",
        b"HTTP/1.1 2 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x" * MEGABYTE,
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000,
        b"\x00" * MEGABYTE,
        b"\x16\x03\x01" + b"\xff" * 100,
    ],
    ids=lambda garbage: repr(garbage[:24]),
)
async def test_garbage_is_a_failure(garbage: bytes) -> None:
    """Whatever a receiver writes, a post ends with an answer, and none of it is quoted."""
    async with receiving(lambda _: garbage) as receiver:
        found = await post(receiver.url)
    assert found.outcome in (Outcome.FAILED, Outcome.UNREACHABLE)
    assert "SSH" not in found.detail


async def test_a_huge_body_is_not_read() -> None:
    """The status counts; a gigabyte that follows is neither waited for nor kept."""
    sent = 0

    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        while True:
            writer.write(b"x" * MEGABYTE)
            await writer.drain()
            sent += MEGABYTE

    async with serving(flood) as address:
        found = await post(f"http://{address}/")
    assert found.outcome is Outcome.DELIVERED
    assert sent < 1024 * MEGABYTE


@pytest.mark.parametrize(
    "beginning",
    [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"],
)
async def test_one_that_accepts_and_never_answers_is_given_its_time_in_all(
    beginning: bytes,
) -> None:
    """So is one that drips a byte now and then, or says 100 Continue for ever."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{ }")
        while not (writer.is_closing() or reader.at_eof()):
            writer.write(beginning)
            await writer.drain()
            await asyncio.sleep(0.05)

    async with serving(drip) as address:
        found = await post(f"http://{address}/", timeout_seconds=0.3)
    assert found.outcome is Outcome.TIMED_OUT
    assert found.detail == "no answer within 0.3 s"


async def test_one_that_is_not_there_is_unreachable() -> None:
    """A refused connection is an answer like any other, and names no address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        found = await post(f"http://127.0.0.1:{taken.getsockname()[1]}/secret-path")
    assert found.outcome is Outcome.UNREACHABLE
    assert "secret" not in found.detail


@pytest.fixture
def authority(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    """A server's TLS context and the file of the authority that signed its certificate."""
    files = write_certificates(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.private_key)
    return context, str(files.authority)


async def test_a_certificate_is_verified(authority: tuple[ssl.SSLContext, str]) -> None:
    """One that a known authority signed is taken, any other refused before a byte is posted."""
    context, file = authority
    async with receiving(tls=context) as receiver:
        refused = await post(receiver.url)
        assert refused.outcome is Outcome.TLS
        assert "certificate is not accepted" in refused.detail
        assert receiver.received == []
        taken = await post(receiver.url, authority_file=file)
        assert taken.outcome is Outcome.DELIVERED
        elsewhere = receiver.url.replace("127.0.0.1", "localhost")
        other_name = await post(elsewhere, authority_file=file)
        assert other_name.outcome is Outcome.TLS


async def test_a_handshake_that_hangs_is_given_its_time() -> None:
    """A receiver that accepts and speaks no TLS costs its own time alone."""

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(silent) as address:
        found = await post(f"https://{address}/", timeout_seconds=0.3)
    assert found.outcome is Outcome.TIMED_OUT


async def test_one_that_speaks_no_tls_is_a_failure_of_tls() -> None:
    """What answers a handshake in plain words is not spoken to."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with serving(greet) as address:
        found = await post(f"https://{address}/")
    assert found.outcome is Outcome.TLS


async def test_an_authority_file_that_is_not_there_is_a_failure_each_time() -> None:
    """It may be there at the next try; nothing is sent without it."""
    async with receiving() as receiver:
        https = receiver.url.replace("http:", "https:")
        found = await post(https, authority_file="/nowhere.pem")
        assert receiver.received == []
    assert (found.outcome, found.detail) == (
        Outcome.UNREACHABLE,
        "the file of its authorities is not there",
    )


async def test_nothing_of_the_environment_leads_a_post_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A proxy of the environment would see what only the receiver is to see."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with receiving() as receiver:
        found = await post(receiver.url)
    assert found.outcome is Outcome.DELIVERED


async def test_a_cancelled_post_leaves_no_connection() -> None:
    """A stop does not wait for a receiver."""
    async with receiving(lambda _: b"") as receiver:
        posting = asyncio.create_task(post(receiver.url, timeout_seconds=20.0))
        await receiver.wait(1)
        posting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await posting


@pytest.mark.parametrize(
    "case",
    [
        test_a_huge_body_is_not_read,
        test_one_that_is_not_there_is_unreachable,
        test_a_handshake_that_hangs_is_given_its_time,
        test_one_that_speaks_no_tls_is_a_failure_of_tls,
        test_a_cancelled_post_leaves_no_connection,
    ],
)
def test_it_holds_on_the_loop_that_a_sidecar_runs_on(
    case: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    """`haltline serve` runs on uvloop, whose streams are not the library's."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(case())


def test_certificates_are_verified_on_the_loop_that_a_sidecar_runs_on(
    authority: tuple[ssl.SSLContext, str],
) -> None:
    """And names in them."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test_a_certificate_is_verified(authority))
