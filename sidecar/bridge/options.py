"""What the command line decides about the bridge."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeOptions:
    """Who may come, and what must be proved.

    `is_exposed`: somebody beyond this machine can reach the bridge, by its address or through a
    proxy; then viewing needs proof and a reset must be fresh (S1.1, S11).
    """

    is_exposed: bool = False
    allowed_hosts: frozenset[str] = frozenset()
    trusted_hosts: frozenset[str] = frozenset()
