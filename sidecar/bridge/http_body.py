"""The body of a request, counted off the bytes that arrive: by its length, or in chunks.

Rules:
1. Where a body ends is decided here and nowhere else; what comes behind it is not read.
2. A chunk is `SIZE CRLF BYTES CRLF`, SIZE one to eight hexadecimal digits; no extensions, no
   trailers: nobody who stops trading needs them, and two readers may differ about them.
3. More than BODY_BYTES_MAX is refused as soon as it is known.
"""

from __future__ import annotations

import re
from typing import Final

from sidecar.bridge.http_framing import BODY_BYTES_MAX
from sidecar.bridge.refusals import refuse

_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,8}")
_SIZE_BYTES_MAX: Final = 8
_CRLF: Final = b"\r\n"
FRAMED_BYTES_MAX: Final = 2 * BODY_BYTES_MAX
"""Of a body in chunks as sent: chunks of a few bytes cost more for their sizes than they carry."""


class BodyReader:
    """Takes bytes until the body is whole; `body` is its content, `raw` as it was sent."""

    __slots__ = ("_left", "_pending", "body", "is_whole", "raw")

    def __init__(self, length: int | None) -> None:
        """`length` is the body's, None where it comes in chunks."""
        self._left = length
        self._pending = bytearray()
        self.body = bytearray()
        self.raw = self.body if length is not None else bytearray()
        self.is_whole = length == 0

    def feed(self, data: bytes | bytearray) -> bytes:
        """Take what belongs to the body and return what is left over. Raises Refused."""
        if self.is_whole:
            return bytes(data)
        return self._count_off(data, self._left) if self._left is not None else self._unpack(data)

    def _count_off(self, data: bytes | bytearray, left: int) -> bytes:
        taken = data[:left]
        self._left = left - len(taken)
        self.body += taken
        self.is_whole = self._left == 0
        return bytes(data[len(taken) :])

    def _unpack(self, data: bytes | bytearray) -> bytes:
        self._pending += data
        while not self.is_whole and self._read_chunk():
            pass
        if not self.is_whole:
            return b""
        left, self._pending = bytes(self._pending), bytearray()
        return left

    def _read_chunk(self) -> bool:
        """Take one chunk; False where it is not whole yet."""
        pending = self._pending
        end = pending.find(b"\r", 0, _SIZE_BYTES_MAX + 1)
        digits = pending[: end if end >= 0 else _SIZE_BYTES_MAX + 1]
        if digits and _SIZE.fullmatch(digits) is None:
            raise refuse("CHUNK_MALFORMED")
        start = end + len(_CRLF)
        if end < 0 or len(pending) < start:
            return False
        if not digits or pending[end:start] != _CRLF:
            raise refuse("CHUNK_MALFORMED")
        size = int(digits, 16)
        if len(self.body) + size > BODY_BYTES_MAX:
            raise refuse("BODY_TOO_LARGE", "its chunks")
        closing = pending[start + size : start + size + len(_CRLF)]
        if not _CRLF.startswith(closing):
            raise refuse("CHUNK_MALFORMED")
        if closing != _CRLF:
            return False
        self.body += pending[start : start + size]
        self.raw += pending[: start + size + len(_CRLF)]
        if len(self.raw) > FRAMED_BYTES_MAX:
            raise refuse("BODY_TOO_LARGE", "its chunks as sent")
        del pending[: start + size + len(_CRLF)]
        self.is_whole = size == 0
        return True
