"""Operator proof (S11): what is signed, and how it travels.

Rules:
- Signed is `hs1`, audience, method, path, timestamp, nonce and the SHA-256 of the body, each on its
  own line, with HMAC-SHA256. The audience is the store's id: a proof for one sidecar starts no
  other.
- The body is the bytes that are sent, so they are serialized once. A nonce is used once.
- A secret shows in no repr, no log and no pickle.
"""

import hashlib
import hmac
import secrets
from typing import NoReturn

SCHEME = "hs1"
GRPC_METHOD = "GRPC"
SIGNATURE_KEY = "x-haltline-signature"
TIMESTAMP_KEY = "x-haltline-timestamp"
NONCE_KEY = "x-haltline-nonce"
NONCE_BYTES = 16


class OperatorSecret:
    """One secret; it can sign, and cannot be shown."""

    __slots__ = ("_key",)

    def __init__(self, secret: str) -> None:
        """Raises ValueError where there is nothing to sign with, or two secrets at once."""
        if not secret.strip():
            raise ValueError("secret: is empty; it is the sidecar's KILL_SWITCH_SECRET")
        if "," in secret:
            raise ValueError("secret: holds a comma; of two rotating secrets give one")
        self._key = secret.encode("utf-8", "surrogateescape")

    def __repr__(self) -> str:
        return "OperatorSecret(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an operator secret is not pickled or copied")

    def sign(self, message: bytes) -> str:
        """Return the lower-case hex HMAC-SHA256 of a message."""
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()


def message_to_sign(
    *, audience: str, method: str, path: str, timestamp: str, nonce: str, body: bytes
) -> bytes:
    """Return the bytes an operator proof signs."""
    digest = hashlib.sha256(body).hexdigest()
    return f"{SCHEME}\n{audience}\n{method}\n{path}\n{timestamp}\n{nonce}\n{digest}".encode()


def sign(
    secret: str | OperatorSecret,
    *,
    audience: str,
    path: str,
    timestamp: str,
    nonce: str,
    body: bytes,
    method: str = GRPC_METHOD,
) -> str:
    """Return the signature of one operator call, lower-case hex.

    `path` is the full method name, `/haltline.v1.OperatorService/ResetKill`; `timestamp` is seconds
    since 1970 as decimal digits; `body` is the serialized request.
    """
    key = secret if isinstance(secret, OperatorSecret) else OperatorSecret(secret)
    message = message_to_sign(
        audience=audience, method=method, path=path, timestamp=timestamp, nonce=nonce, body=body
    )
    return key.sign(message)


def proof_metadata(
    secret: OperatorSecret, *, audience: str, path: str, timestamp: int, body: bytes
) -> tuple[tuple[str, str], ...]:
    """Return the metadata that proves an operator for one call, with a fresh nonce."""
    nonce = secrets.token_hex(NONCE_BYTES)
    signature = sign(
        secret, audience=audience, path=path, timestamp=str(timestamp), nonce=nonce, body=body
    )
    return ((SIGNATURE_KEY, signature), (TIMESTAMP_KEY, str(timestamp)), (NONCE_KEY, nonce))
