"""Requests signed with hs1, as a user's script would sign them (S11)."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import time
from collections.abc import Mapping
from typing import Final

from sidecar.bridge import Bridge
from tests.bridge.harness import Reply, ask
from tests.server.harness import SECRET, Sidecar

NOTHING: Final[Mapping[str, str]] = {}
_NUMBERS: Final = itertools.count()


def hs1(
    sidecar: Sidecar,
    method: str,
    path: str,
    body: bytes = b"",
    changes: Mapping[str, str] = NOTHING,
) -> dict[str, str]:
    """Return the headers of a good proof; `changes` are to what is signed."""
    parts = {
        "secret": SECRET,
        "audience": sidecar.service.store_id,
        "method": method,
        "path": path,
        "timestamp": str(int(time.time())),
        "nonce": f"nonce-of-the-bridge-{next(_NUMBERS)}",
        "digest": hashlib.sha256(body).hexdigest(),
        **changes,
    }
    order = ("audience", "method", "path", "timestamp", "nonce", "digest")
    signed = "\n".join(["hs1", *(parts[name] for name in order)])
    signature = hmac.new(parts["secret"].encode(), signed.encode(), "sha256").hexdigest()
    return {
        "X-Haltline-Signature": signature,
        "X-Haltline-Timestamp": parts["timestamp"],
        "X-Haltline-Nonce": parts["nonce"],
    }


async def ask_signed(
    sidecar: Sidecar,
    bridge: Bridge,
    method: str,
    path: str,
    body: bytes = b"",
    changes: Mapping[str, str] = NOTHING,
) -> Reply:
    """Send a signed request; `changes` are to what is signed, not to what is sent."""
    headers = hs1(sidecar, method, path, body, changes)
    return await ask(bridge, method, path, body, headers)
