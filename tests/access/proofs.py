"""Operator proofs, right and wrong in every part, signed as the page says and not as we code it."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import time
from dataclasses import dataclass
from typing import Final

from tests.server.harness import SECRET

Metadata = tuple[tuple[str, str], ...]
_NUMBERS: Final = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What is signed; the call itself may be another."""

    audience: str
    path: str
    body: bytes
    method: str = "GRPC"
    scheme: str = "hs1"
    secret: str = SECRET
    timestamp: int | None = None
    nonce: str = ""

    def metadata(self) -> Metadata:
        """Return the three entries, with a fresh nonce and the time now where none is given."""
        when = str(int(time.time()) if self.timestamp is None else self.timestamp)
        nonce = self.nonce or f"nonce-{time.time_ns():020}-{next(_NUMBERS)}"
        digest = hashlib.sha256(self.body).hexdigest()
        parts = (self.scheme, self.audience, self.method, self.path, when, nonce, digest)
        signed = "\n".join(parts).encode()
        signature = hmac.new(self.secret.encode(), signed, "sha256").hexdigest()
        return (
            ("x-haltline-signature", signature),
            ("x-haltline-timestamp", when),
            ("x-haltline-nonce", nonce),
        )
