"""Requests signed as each sender signs them, written here anew: a test checks our reading."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import time
from collections.abc import Callable
from typing import Final

KILL_SECRET: Final = "kill secret of the tests only"
RESET_SECRET: Final = "reset secret of the tests only"
TOKEN: Final = "a-token-of-the-tests-only"
TRIGGER: Final = "/api/v1/safety/kill-switch/trigger"
STATUS: Final = "/api/v1/safety/kill-switch/status"
RESET: Final = "/api/v1/safety/kill-switch/reset"
EASE: Final = "/api/v1/safety/kill-switch/ease"
BREAKER_RESET: Final = "/api/v1/safety/circuit-breaker/reset"
_COUNT: Final = itertools.count()

Headers = dict[str, str]


def hex_of(secret: str, message: bytes) -> str:
    """Return the HMAC in hex."""
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def legacy(body: bytes, secret: str = KILL_SECRET) -> Headers:
    """Sign as the original's clients do."""
    return {"X-HMAC-Signature": hex_of(secret, body)}


def github(body: bytes, secret: str = KILL_SECRET) -> Headers:
    """Sign as GitHub does."""
    return {"X-Hub-Signature-256": "sha256=" + hex_of(secret, body)}


def grafana(body: bytes, secret: str = KILL_SECRET) -> Headers:
    """Sign as a contact point without a timestamp header does."""
    return {"X-Grafana-Alerting-Signature": hex_of(secret, body)}


def grafana_timed(body: bytes, secret: str = KILL_SECRET, at: int | None = None) -> Headers:
    """Sign as a contact point with a timestamp header does."""
    stamp = str(int(time.time()) if at is None else at)
    signature = hex_of(secret, stamp.encode() + b":" + body)
    return {
        "X-Grafana-Alerting-Signature": signature,
        "X-Grafana-Alerting-Timestamp": stamp,
    }


def standard(
    body: bytes, secret: str = KILL_SECRET, at: int | None = None, message_id: str = ""
) -> Headers:
    """Sign as a Standard Webhook."""
    stamp = str(int(time.time()) if at is None else at)
    message_id = message_id or f"msg_{time.monotonic_ns()}_{next(_COUNT)}"
    key = secret.encode()
    if secret.startswith("whsec_"):
        key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{stamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{signature}",
    }


def hs1_message(
    body: bytes, *, audience: str, method: str, path: str, at: int, nonce: str
) -> bytes:
    """Return what hs1 signs."""
    digest = hashlib.sha256(body).hexdigest()
    return "\n".join(("hs1", audience, method, path, str(at), nonce, digest)).encode()


def hs1(
    body: bytes,
    *,
    audience: str,
    path: str,
    method: str = "POST",
    secret: str = KILL_SECRET,
    at: int | None = None,
    nonce: str = "",
) -> Headers:
    """Sign with hs1."""
    at = int(time.time()) if at is None else at
    nonce = nonce or f"nonce-{time.monotonic_ns():020}-{next(_COUNT)}"
    message = hs1_message(body, audience=audience, method=method, path=path, at=at, nonce=nonce)
    return {
        "x-haltline-signature": hex_of(secret, message),
        "x-haltline-timestamp": str(at),
        "x-haltline-nonce": nonce,
    }


def bearer(token: str = TOKEN) -> Headers:
    """Show a token."""
    return {"Authorization": f"Bearer {token}"}


Sign = Callable[[bytes], Headers]
BODY_SIGNERS: Final[dict[str, Sign]] = {
    "legacy": legacy,
    "github": github,
    "grafana": grafana,
    "grafana_timed": grafana_timed,
    "standard_webhooks": standard,
}
"""Every scheme that signs no path, and so could be presented anywhere."""
