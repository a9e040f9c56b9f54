"""Operator proof: an HMAC over the bytes of one call to one sidecar, usable once (S11).

Rules:
1. Signed is `hs1`, the store's id, `GRPC`, the full method, the time, the nonce and the hex SHA-256
   of the request's bytes as sent, joined by line feeds: a proof for one sidecar starts no other.
2. A nonce is fresh for every call; the sidecar remembers it.
3. A secret is an argument and never leaves it: nothing here stores, prints or logs one.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import Final

SIGNATURE_KEY: Final = "x-haltline-signature"
TIMESTAMP_KEY: Final = "x-haltline-timestamp"
NONCE_KEY: Final = "x-haltline-nonce"

_SCHEME: Final = "hs1"
_METHOD: Final = "GRPC"


def message_to_sign(audience: str, path: str, timestamp: str, nonce: str, body: bytes) -> bytes:
    """Return the bytes that are signed; `timestamp` is Unix seconds in decimal digits."""
    digest = hashlib.sha256(body).hexdigest()
    return "\n".join((_SCHEME, audience, _METHOD, path, timestamp, nonce, digest)).encode()


def sign(  # noqa: PLR0913, PLR0917 - the parts of the signed text, in its order
    secret: str, audience: str, path: str, timestamp: str, nonce: str, body: bytes
) -> str:
    """Return the signature as 64 lower-case hex digits."""
    message = message_to_sign(audience, path, timestamp, nonce, body)
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def proof_metadata(
    secret: str, audience: str, path: str, body: bytes
) -> tuple[tuple[str, str], ...]:
    """Return the metadata of one proved call, with the time of now and a fresh nonce."""
    timestamp, nonce = str(int(time.time())), secrets.token_hex(16)
    signature = sign(secret, audience, path, timestamp, nonce, body)
    return (
        (SIGNATURE_KEY, signature),
        (TIMESTAMP_KEY, timestamp),
        (NONCE_KEY, nonce),
    )
