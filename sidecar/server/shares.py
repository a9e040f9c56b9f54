"""How much one peer may hold open, so that something is left for every other.

Rules:
1. A peer is a connection (`ipv4:127.0.0.1:43210`), or a process behind `[server.unix_roles]`. On a
   plain Unix socket all callers have one name and cannot be told apart: for them only the bound in
   all counts.
2. Nothing here is asked for a stop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sidecar.server.failures import too_many

_NAMELESS: Final = ("", "unix:")


def can_tell_apart(peer: str) -> bool:
    """Say whether the peer's name is its own alone."""
    return peer not in _NAMELESS


class Shares:
    """Counts what is open, in all and of each peer; remembers no peer that holds nothing."""

    def __init__(self, what: str, *, count_max: int, per_peer_max: int) -> None:
        """`what` is the plural a refusal names."""
        self._what = what
        self._count_max = count_max
        self._per_peer_max = per_peer_max
        self._of_peer: Counter[str] = Counter()
        self.count = 0

    @property
    def peers_count(self) -> int:
        """How many peers hold anything."""
        return len(self._of_peer)

    @contextmanager
    def hold(self, peer: str) -> Iterator[None]:
        """Hold one for the length of the block; CallRefused where there is none left."""
        if self.count >= self._count_max:
            raise too_many(self._what, self._count_max)
        if can_tell_apart(peer) and self._of_peer[peer] >= self._per_peer_max:
            raise too_many(f"{self._what} of one connection", self._per_peer_max)
        self.count += 1
        self._of_peer[peer] += 1
        try:
            yield
        finally:
            self.count -= 1
            self._of_peer[peer] -= 1
            if not self._of_peer[peer]:
                del self._of_peer[peer]
