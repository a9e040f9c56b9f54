"""The head of an HTTP/1.1 request, judged byte by byte before anything else reads it.

Rules:
1. What two readers could read differently is refused: a bare CR or LF, a folded header, a space
   before a colon, two lengths, a length beside chunks. A request must not hide behind another.
2. A head is judged alike however it arrives: the first byte that is wrong decides, then, once it
   is whole, its request line, its headers, what frames its body.
3. A header that proves or frames comes once. So does every name with signature, timestamp or
   nonce in it: of two signatures one would be verified, and the other believed elsewhere.

The story: h11 takes a length beside chunks, bare line feeds and two signature headers as they
come (design.md, fact 9); it is asked second, about what passed here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from sidecar.bridge.refusals import refuse, shown

HEAD_BYTES_MAX: Final = 16 * 1024
HEADERS_COUNT_MAX: Final = 100
BODY_BYTES_MAX: Final = 64 * 1024
_LENGTH_DIGITS_MAX: Final = 10

_END: Final = b"\r\n\r\n"
_WRONG_BYTE: Final = re.compile(rb"(?<!\r)\n|\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_REQUEST_LINE: Final = re.compile(rb"(%b{1,32}) ([^ ]+) (HTTP/[0-9.]{1,8})" % _TOKEN)
_TARGET: Final = re.compile(rb"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")
_NAME: Final = re.compile(rb"%b{1,128}" % _TOKEN)
_DIGITS: Final = re.compile(rb"[0-9]+")

VERSIONS: Final = {b"HTTP/1.1": "1.1", b"HTTP/1.0": "1.0"}
SINGLE: Final = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"cookie",
        b"expect",
        b"host",
        b"origin",
        b"proxy-authorization",
        b"sec-fetch-site",
        b"transfer-encoding",
        b"webhook-id",
        b"x-haltline-page",
    }
)
_SINGLE_PARTS: Final = (b"signature", b"timestamp", b"nonce")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A head that passed. Names of headers are in lower case, in the order they came.

    `body_length` is None where the body comes in chunks. `raw` is the head as received.
    """

    method: str
    target: bytes
    version: str
    headers: tuple[tuple[bytes, bytes], ...]
    body_length: int | None
    raw: bytes
    _first: dict[bytes, bytes] = field(repr=False)

    def value(self, name: bytes) -> bytes | None:
        """Return the first value of a header, its name in lower case."""
        return self._first.get(name)

    @property
    def has_body(self) -> bool:
        """Whether anything follows the head."""
        return self.body_length != 0

    @property
    def expects_continue(self) -> bool:
        """Whether the sender waits for a word before it sends the body."""
        return self.has_body and self.value(b"expect") is not None and self.version == "1.1"

    @property
    def is_kept_alive(self) -> bool:
        """Whether another request may follow on the connection."""
        if self.version != "1.1":
            return False
        given = [value for name, value in self.headers if name == b"connection"]
        return not any(b"close" in value.lower() for value in given)


def find_end(buffer: bytes | bytearray, looked_at: int) -> int:
    """Return where the head in `buffer` ends, 0 where it is not whole. Raises Refused.

    The first `looked_at` bytes passed before.
    """
    seen = bytes(buffer[:HEAD_BYTES_MAX])
    end = seen.find(_END, max(0, looked_at - len(_END) + 1))
    stop = len(seen) if end < 0 else end + len(_END)
    # A CR at the very end may still get its LF.
    is_open = end < 0 and seen.endswith(b"\r")
    wrong = _WRONG_BYTE.search(seen, max(0, looked_at - 1), stop - 1 if is_open else stop)
    if wrong is not None:
        is_line_end = wrong[0] in {b"\r", b"\n"}
        raise refuse("LINE_ENDING_MALFORMED" if is_line_end else "CHARACTER_REFUSED")
    if end >= 0:
        return stop
    if len(buffer) >= HEAD_BYTES_MAX:
        raise refuse("HEAD_TOO_LARGE")
    return 0


def read_head(raw: bytes) -> Head:
    """Return the head that is exactly `raw`, its end included. Raises Refused."""
    first, *lines = raw[: -len(_END)].split(b"\r\n")
    method, target, version = _read_request_line(first)
    if len(lines) > HEADERS_COUNT_MAX:
        raise refuse("HEADERS_TOO_MANY", f"there are {len(lines)}")
    headers: list[tuple[bytes, bytes]] = []
    known: dict[bytes, bytes] = {}
    for line in lines:
        name, value = _read_header(line)
        if name in known and _comes_once(name):
            raise refuse("HEADER_REPEATED", name.decode("ascii"))
        headers.append((name, value))
        known.setdefault(name, value)
    if not known.get(b"host"):
        raise refuse("HOST_MISSING")
    if known.get(b"expect", b"100-continue").lower() != b"100-continue":
        raise refuse("EXPECTATION_REFUSED")
    return Head(
        method=method,
        target=target,
        version=version,
        headers=tuple(headers),
        body_length=_read_framing(known, version),
        raw=raw,
        _first=known,
    )


def _read_request_line(line: bytes) -> tuple[str, bytes, str]:
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        raise refuse("REQUEST_LINE_MALFORMED", f"was {shown(line)}")
    method, target, version = found.groups()
    if version not in VERSIONS:
        raise refuse("HTTP_VERSION_REFUSED", f"was {shown(version)}")
    if _TARGET.fullmatch(target) is None:
        raise refuse("TARGET_MALFORMED", f"was {shown(target)}")
    return method.decode("ascii"), target, VERSIONS[version]


def _read_header(line: bytes) -> tuple[bytes, bytes]:
    if line[:1] in {b" ", b"\t"}:
        raise refuse("HEADER_FOLDED")
    # Cut and stripped, not matched as a whole: a pattern would try every blank inside a value.
    name, colon, value = line.partition(b":")
    if not colon or _NAME.fullmatch(name) is None:
        raise refuse("HEADER_MALFORMED", f"was {shown(name)}")
    return name.lower(), value.strip(b" \t")


def _comes_once(name: bytes) -> bool:
    return name in SINGLE or any(part in name for part in _SINGLE_PARTS)


def _read_framing(known: dict[bytes, bytes], version: str) -> int | None:
    """Return the body's length, None for chunks."""
    encoding, length = known.get(b"transfer-encoding"), known.get(b"content-length")
    if encoding is not None and length is not None:
        raise refuse("FRAMING_AMBIGUOUS")
    if encoding is not None:
        if encoding.lower() != b"chunked" or version != "1.1":
            raise refuse("TRANSFER_ENCODING_REFUSED", f"was {shown(encoding)}")
        return None
    if length is None:
        return 0
    if _DIGITS.fullmatch(length) is None:
        raise refuse("CONTENT_LENGTH_MALFORMED", f"was {shown(length)}")
    if len(length) > _LENGTH_DIGITS_MAX or int(length) > BODY_BYTES_MAX:
        raise refuse("BODY_TOO_LARGE", f"Content-Length is {length[:20].decode('ascii')}")
    return int(length)
