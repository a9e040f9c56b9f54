"""What can be read in two ways is refused before any route hears of it (issue, webhooks 6)."""

from __future__ import annotations

import contextlib
import time
from typing import Final

import pytest

from sidecar.bridge.http_body import FRAMED_BYTES_MAX
from sidecar.bridge.http_framing import (
    BODY_BYTES_MAX,
    HEAD_BYTES_MAX,
    HEADERS_COUNT_MAX,
    read_head,
)
from sidecar.bridge.refusals import Refused
from tests.bridge.harness import bridge_on
from tests.bridge.peer import Listening, peer_of
from tests.server.harness import Sidecar

HOST: Final = b"Host: localhost\r\n"
POST: Final = b"POST /x HTTP/1.1\r\n" + HOST
HIDDEN: Final = b"POST /hidden HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"


def a_get(*lines: bytes) -> bytes:
    """Return a request with more header lines."""
    return b"\r\n".join([b"GET /x HTTP/1.1", b"Host: localhost", *lines, b"", b""])


def a_post(*lines: bytes, body: bytes = b"") -> bytes:
    """Return a request with more header lines and a body."""
    return b"\r\n".join([b"POST /x HTTP/1.1", b"Host: localhost", *lines, b"", b""]) + body


ATTACKS: Final = {
    "bare LF ends the line": (b"GET /x HTTP/1.1\nHost: localhost\n\n", "LINE_ENDING_MALFORMED"),
    "bare LF in a value": (a_get(b"A: b\nC: d"), "LINE_ENDING_MALFORMED"),
    "bare CR in a value": (a_get(b"A: b\rC: d"), "LINE_ENDING_MALFORMED"),
    "CR CR LF": (a_get(b"A: b\r"), "LINE_ENDING_MALFORMED"),
    "LF ends the head": (b"GET /x HTTP/1.1\r\nHost: localhost\r\n\n", "LINE_ENDING_MALFORMED"),
    "NUL in a value": (a_get(b"A: b\x00c"), "CHARACTER_REFUSED"),
    "NUL in the target": (b"GET /\x00 HTTP/1.1\r\n" + HOST + b"\r\n", "CHARACTER_REFUSED"),
    "vertical tab": (a_get(b"A: b\x0bc"), "CHARACTER_REFUSED"),
    "DEL": (a_get(b"A: \x7f"), "CHARACTER_REFUSED"),
    "empty first line": (b"\r\n" + a_get(), "REQUEST_LINE_MALFORMED"),
    "HTTP/0.9": (b"GET /x\r\n\r\n", "REQUEST_LINE_MALFORMED"),
    "two spaces": (b"GET  /x HTTP/1.1\r\n" + HOST + b"\r\n", "REQUEST_LINE_MALFORMED"),
    "a tab for a space": (b"GET\t/x HTTP/1.1\r\n" + HOST + b"\r\n", "REQUEST_LINE_MALFORMED"),
    "a space in the target": (b"GET /x y HTTP/1.1\r\n" + HOST + b"\r\n", "REQUEST_LINE_MALFORMED"),
    "lower-case version": (b"GET /x http/1.1\r\n" + HOST + b"\r\n", "REQUEST_LINE_MALFORMED"),
    "HTTP/1.2": (b"GET /x HTTP/1.2\r\n" + HOST + b"\r\n", "HTTP_VERSION_REFUSED"),
    "HTTP/11": (b"GET /x HTTP/11\r\n" + HOST + b"\r\n", "HTTP_VERSION_REFUSED"),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP_VERSION_REFUSED"),
    "absolute form": (b"GET http://localhost/x HTTP/1.1\r\n" + HOST + b"\r\n", "TARGET_MALFORMED"),
    "asterisk form": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", "TARGET_MALFORMED"),
    "authority form": (b"CONNECT a:443 HTTP/1.1\r\n" + HOST + b"\r\n", "TARGET_MALFORMED"),
    "a fragment": (b"GET /x#y HTTP/1.1\r\n" + HOST + b"\r\n", "TARGET_MALFORMED"),
    "half an escape": (b"GET /%4 HTTP/1.1\r\n" + HOST + b"\r\n", "TARGET_MALFORMED"),
    "a target beyond ASCII": (b"GET /\xe9 HTTP/1.1\r\n" + HOST + b"\r\n", "TARGET_MALFORMED"),
    "a backslash": (b"GET /\\x HTTP/1.1\r\n" + HOST + b"\r\n", "TARGET_MALFORMED"),
    "a space before the colon": (a_get(b"Content-Length : 0"), "HEADER_MALFORMED"),
    "no colon": (a_get(b"Content-Length"), "HEADER_MALFORMED"),
    "no name": (a_get(b": x"), "HEADER_MALFORMED"),
    "a name beyond ASCII": (a_get("Ä: x".encode()), "HEADER_MALFORMED"),
    "a folded header": (a_get(b"A: b", b" c"), "HEADER_FOLDED"),
    "folded with a tab": (a_get(b"A: b", b"\tTransfer-Encoding: chunked"), "HEADER_FOLDED"),
    "folded at once": (b"GET /x HTTP/1.1\r\n Host: localhost\r\n\r\n", "HEADER_FOLDED"),
    "no Host": (b"GET /x HTTP/1.1\r\n\r\n", "HOST_MISSING"),
    "no Host in HTTP/1.0": (b"GET /x HTTP/1.0\r\n\r\n", "HOST_MISSING"),
    "an empty Host": (b"GET /x HTTP/1.1\r\nHost:\r\n\r\n", "HOST_MISSING"),
    "two Hosts": (a_get(b"Host: localhost"), "HEADER_REPEATED"),
    "two lengths alike": (a_post(b"Content-Length: 1", b"Content-Length: 1"), "HEADER_REPEATED"),
    "two lengths": (a_post(b"Content-Length: 0", b"content-length: 9"), "HEADER_REPEATED"),
    "two encodings": (
        a_post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
        "HEADER_REPEATED",
    ),
    "two hs1 signatures": (
        a_post(b"X-Haltline-Signature: a", b"x-haltline-signature: b"),
        "HEADER_REPEATED",
    ),
    "two timestamps": (a_post(b"Webhook-Timestamp: 1", b"Webhook-Timestamp: 2"), "HEADER_REPEATED"),
    "two nonces": (a_post(b"X-Haltline-Nonce: 1", b"X-Haltline-Nonce: 1"), "HEADER_REPEATED"),
    "two original signatures": (
        a_post(b"X-HMAC-Signature: a", b"X-Hmac-Signature: a"),
        "HEADER_REPEATED",
    ),
    "two message ids": (a_post(b"Webhook-Id: 1", b"Webhook-Id: 2"), "HEADER_REPEATED"),
    "two authorizations": (
        a_post(b"Authorization: Bearer a", b"Authorization: Bearer b"),
        "HEADER_REPEATED",
    ),
    "two kinds of content": (
        a_post(b"Content-Type: text/plain", b"Content-Type: application/json"),
        "HEADER_REPEATED",
    ),
    "two origins": (a_post(b"Origin: http://localhost", b"Origin: null"), "HEADER_REPEATED"),
    "a length beside chunks": (
        a_post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + HIDDEN),
        "FRAMING_AMBIGUOUS",
    ),
    "chunks beside a length": (
        a_post(b"Transfer-Encoding: chunked", b"Content-Length: 0", body=HIDDEN),
        "FRAMING_AMBIGUOUS",
    ),
    "a signed length": (a_post(b"Content-Length: +5", body=b"hello"), "CONTENT_LENGTH_MALFORMED"),
    "a negative length": (a_post(b"Content-Length: -1"), "CONTENT_LENGTH_MALFORMED"),
    "a list of lengths": (
        a_post(b"Content-Length: 5, 5", body=b"hello"),
        "CONTENT_LENGTH_MALFORMED",
    ),
    "a length in hexadecimal": (a_post(b"Content-Length: 0x5"), "CONTENT_LENGTH_MALFORMED"),
    "a length of 1_0": (a_post(b"Content-Length: 1_0"), "CONTENT_LENGTH_MALFORMED"),
    "an empty length": (a_post(b"Content-Length:"), "CONTENT_LENGTH_MALFORMED"),
    "Arabic digits": (a_post("Content-Length: ٣".encode()), "CONTENT_LENGTH_MALFORMED"),
    "gzip, chunked": (a_post(b"Transfer-Encoding: gzip, chunked"), "TRANSFER_ENCODING_REFUSED"),
    "chunked, chunked": (
        a_post(b"Transfer-Encoding: chunked, chunked"),
        "TRANSFER_ENCODING_REFUSED",
    ),
    "xchunked": (a_post(b"Transfer-Encoding: xchunked"), "TRANSFER_ENCODING_REFUSED"),
    "identity": (a_post(b"Transfer-Encoding: identity"), "TRANSFER_ENCODING_REFUSED"),
    "no encoding": (a_post(b"Transfer-Encoding:"), "TRANSFER_ENCODING_REFUSED"),
    "chunks over HTTP/1.0": (
        b"POST /x HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "TRANSFER_ENCODING_REFUSED",
    ),
    "an expectation nobody knows": (a_post(b"Expect: 200-ok"), "EXPECTATION_REFUSED"),
    "a head without an end": (b"GET /x HTTP/1.1\r\nA: " + b"a" * HEAD_BYTES_MAX, "HEAD_TOO_LARGE"),
    "a head of one byte too many": (
        a_get(b"A: " + b"a" * (HEAD_BYTES_MAX - len(a_get(b"A: ")) + 1)),
        "HEAD_TOO_LARGE",
    ),
    "too many headers": (a_get(*(b"A: b",) * HEADERS_COUNT_MAX), "HEADERS_TOO_MANY"),
    "a body of one byte too many": (
        a_post(b"Content-Length: %d" % (BODY_BYTES_MAX + 1)),
        "BODY_TOO_LARGE",
    ),
    "a length beyond every number": (a_post(b"Content-Length: " + b"9" * 400), "BODY_TOO_LARGE"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "CHARACTER_REFUSED"),
}
CHUNKS: Final = {
    "an extension": (b"5;a=b\r\nhello\r\n0\r\n\r\n", "CHUNK_MALFORMED"),
    "a trailer": (b"5\r\nhello\r\n0\r\nX-HMAC-Signature: a\r\n\r\n", "CHUNK_MALFORMED"),
    "bare LF behind the size": (b"5\nhello\r\n0\r\n\r\n", "CHUNK_MALFORMED"),
    "bare LF behind the bytes": (b"5\r\nhello\n0\r\n\r\n", "CHUNK_MALFORMED"),
    "more bytes than said": (b"5\r\nhello!\r\n0\r\n\r\n", "CHUNK_MALFORMED"),
    "a size of nothing": (b"\r\nhello\r\n0\r\n\r\n", "CHUNK_MALFORMED"),
    "a signed size": (b"+5\r\nhello\r\n0\r\n\r\n", "CHUNK_MALFORMED"),
    "a size of 0x5": (b"0x5\r\nhello\r\n0\r\n\r\n", "CHUNK_MALFORMED"),
    "a size with a space": (b"5 \r\nhello\r\n0\r\n\r\n", "CHUNK_MALFORMED"),
    "a size of nine digits": (b"000000005\r\nhello\r\n0\r\n\r\n", "CHUNK_MALFORMED"),
    "a chunk too large": (b"10001\r\n", "BODY_TOO_LARGE"),
    "a size that overflows": (b"FFFFFFFF\r\n", "BODY_TOO_LARGE"),
    "chunks that add up": (b"8000\r\n" + b"a" * 0x8000 + b"\r\n8001\r\n", "BODY_TOO_LARGE"),
    "more size than content": (
        b"00000001\r\na\r\n" * (FRAMED_BYTES_MAX // 13 + 1),
        "BODY_TOO_LARGE",
    ),
}
ALL: Final = ATTACKS | {
    f"chunks: {name}": (a_post(b"Transfer-Encoding: chunked", body=body), reason)
    for name, (body, reason) in CHUNKS.items()
}
STATUS_OF: Final = {"HEAD_TOO_LARGE": 413, "BODY_TOO_LARGE": 413}


@pytest.mark.parametrize("name", ALL)
async def test_an_attack_on_the_framing_is_refused(sidecar: Sidecar, name: str) -> None:
    """It gets its reason as JSON and a closed connection; no route hears of it or what follows."""
    data, reason = ALL[name]
    app = Listening()
    async with bridge_on(sidecar, app=app) as bridge, peer_of(bridge) as peer:
        await peer.send(data)
        reply = await peer.reply()
        assert (reply.status, reply.json()["reason"]) == (STATUS_OF.get(reason, 400), reason)
        assert b"connection: close" in reply.head
        await peer.send(HIDDEN)
        assert await peer.rest() == b""
        assert app.heard == []


GOOD_ONES: Final = {
    "plain": (a_get(), ""),
    "a head of exactly as much": (a_get(b"A: " + b"a" * (HEAD_BYTES_MAX - len(a_get(b"A: ")))), ""),
    "as many headers": (a_get(*(b"A: b",) * (HEADERS_COUNT_MAX - 1)), ""),
    "a query and escapes": (b"GET /x%20y?a=%2F&b=~ HTTP/1.1\r\n" + HOST + b"\r\n", ""),
    "a value beyond ASCII": (a_get("A: é".encode("latin-1")), ""),
    "an empty value": (a_get(b"A:"), ""),
    "two proxies that say the scheme": (
        a_get(b"X-Forwarded-Proto: a", b"X-Forwarded-Proto: b"),
        "",
    ),
    "no space behind the colon": (a_get(b"A:b"), ""),
    "a length": (a_post(b"Content-Length: 5", body=b"hello"), "hello"),
    "a length of nothing": (a_post(b"Content-Length: 0"), ""),
    "chunks": (
        a_post(b"Transfer-Encoding: Chunked", body=b"3\r\nhel\r\n02\r\nlo\r\n0\r\n\r\n"),
        "hello",
    ),
    "no chunk": (a_post(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), ""),
    "a body that looks like a request": (
        a_post(b"Content-Length: %d" % len(HIDDEN), body=HIDDEN),
        HIDDEN.decode(),
    ),
    "as much body": (
        a_post(b"Content-Length: %d" % BODY_BYTES_MAX, body=b"a" * BODY_BYTES_MAX),
        "a" * BODY_BYTES_MAX,
    ),
    "as much in chunks": (
        a_post(
            b"Transfer-Encoding: chunked",
            body=b"10000\r\n" + b"a" * BODY_BYTES_MAX + b"\r\n0\r\n\r\n",
        ),
        "a" * BODY_BYTES_MAX,
    ),
    "HTTP/1.0": (b"GET /x HTTP/1.0\r\n" + HOST + b"\r\n", ""),
    "an upgrade nobody makes": (a_get(b"Connection: Upgrade", b"Upgrade: h2c"), ""),
}


@pytest.mark.parametrize("name", GOOD_ONES)
async def test_what_is_plain_is_heard(sidecar: Sidecar, name: str) -> None:
    """A request inside every bound reaches the application, its body byte for byte."""
    data, body = GOOD_ONES[name]
    app = Listening()
    async with bridge_on(sidecar, app=app) as bridge, peer_of(bridge) as peer:
        await peer.send(data)
        reply = await peer.reply()
        assert reply.status == 200
        assert [heard["body"] for heard in app.heard] == [body]


def test_a_value_is_without_the_blanks_around_it() -> None:
    """Spaces and tabs before and behind it are none of its own, those inside are."""
    head = read_head(a_get(b"A: \t b \t c\t "))
    assert head.value(b"a") == b"b \t c"


@pytest.mark.parametrize("line", [b"A: a%sb", b"A: %sb", b"A: b%s", b"A%s: b", b"%s: b"])
def test_blanks_cost_no_more_than_letters(line: bytes) -> None:
    """No head takes the square of its length: the loop that decides would stand still meanwhile.

    A pattern over the whole line took some ten thousand times as long for blanks inside a value.
    """
    count = HEAD_BYTES_MAX - 200
    blank_ns, letter_ns = (
        min(_cost_ns(a_get(line % (filling * count))) for _ in range(3)) for filling in (b" ", b"a")
    )
    assert blank_ns < 200 * max(letter_ns, 10_000)


def _cost_ns(head: bytes) -> int:
    begun = time.process_time_ns()
    with contextlib.suppress(Refused):
        read_head(head)
    return time.process_time_ns() - begun
