"""The signature of Standard Webhooks, version 1 (https://www.standardwebhooks.com).

Rules:
1. Signed is `ID.TIMESTAMP.BODY` with HMAC-SHA256; a receiver that was sent two signatures takes
   either, so that a secret can be exchanged without a message refused.
2. A secret is `whsec_` and 24 to 64 bytes in base64. It is wrapped: no `repr` or error shows it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

PREFIX: Final = "whsec_"
SECRETS_COUNT_MAX: Final = 2
KEY_BYTES_MIN: Final = 24
KEY_BYTES_MAX: Final = 64


class SigningSecretError(Exception):
    """The text is no secret; the message never quotes it."""


class SigningSecret:
    """A key that signs."""

    __slots__ = ("_key",)

    def __init__(self, text: str) -> None:
        """SigningSecretError where `text` is not `whsec_BASE64` of 24 to 64 bytes."""
        try:
            key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
            raise SigningSecretError(
                f"must be {PREFIX} and {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes in base64 "
                f"(make one: echo {PREFIX}$(openssl rand -base64 32))"
            )
        self._key = key

    def __repr__(self) -> str:
        return "SigningSecret(...)"

    def sign(self, content: bytes) -> str:
        """Return `v1,SIGNATURE` of these bytes."""
        digest = hmac.new(self._key, content, hashlib.sha256).digest()
        return f"v1,{base64.b64encode(digest).decode()}"


def read_secrets(text: str) -> tuple[SigningSecret, ...]:
    """Return one secret, or two separated by a comma while rotating. SigningSecretError."""
    parts = text.split(",")
    if len(parts) > SECRETS_COUNT_MAX:
        raise SigningSecretError(
            f"must be one secret, or {SECRETS_COUNT_MAX} separated by a comma while rotating"
        )
    return tuple(SigningSecret(part.strip()) for part in parts)


def signed_headers(
    secrets: Sequence[SigningSecret], message_id: str, timestamp: int, body: bytes
) -> dict[str, str]:
    """Return the three headers of a message sent at `timestamp`, in seconds; none unsigned."""
    headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if secrets:
        content = f"{message_id}.{timestamp}.".encode() + body
        headers["webhook-signature"] = " ".join(secret.sign(content) for secret in secrets)
    return headers
