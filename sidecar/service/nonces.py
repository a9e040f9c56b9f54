"""Remembers the nonces of operator proofs in the store, and answers as `auth` asks (S11)."""

from __future__ import annotations

from sidecar.auth import NonceOutcome
from sidecar.store.errors import StoreError
from sidecar.store.store import Store


async def remember_nonce(store: Store, nonce: str, expires_at_ns: int, now_ns: int) -> NonceOutcome:
    """Return FRESH once the nonce is power-durable; UNAVAILABLE where it cannot be kept."""
    try:
        is_fresh = await store.remember_nonce(nonce, expires_at_ns=expires_at_ns, now_ns=now_ns)
    except StoreError:
        return NonceOutcome.UNAVAILABLE
    return NonceOutcome.FRESH if is_fresh else NonceOutcome.SEEN
