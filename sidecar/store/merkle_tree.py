"""The RFC 6962 Merkle tree over the journal, kept as a compact range (S13).

Rules (RFC 6962, section 2.1, unchanged):
1. Leaf n is record n as stored: SHA-256(0x00, record). A node is SHA-256(0x01, left, right).
2. The root of no records is SHA-256 of nothing.
3. A frontier holds the roots of the full subtrees that make up the tree, largest first: at most
   one for each bit of its size. An append costs two hashes on average, a root at most 64.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

HASH_BYTES_COUNT = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

_sha256 = hashlib.sha256


@dataclass(frozen=True, slots=True)
class TreeHead:
    """How many records there are, the root over them, and the hash chained over them."""

    size: int
    root: bytes
    chain_hash: bytes


@dataclass(frozen=True, slots=True)
class JournalBase:
    """What is kept of records that were dropped: enough to verify every record after them.

    `nodes` is the frontier after `size` records. All is empty where nothing was ever dropped.
    """

    size: int = 0
    chain_hash: bytes = bytes(HASH_BYTES_COUNT)
    nodes: tuple[bytes, ...] = ()


class Frontier:
    """The tree over the records seen so far."""

    __slots__ = ("_nodes", "size")

    def __init__(self, size: int = 0, nodes: Iterable[bytes] = ()) -> None:
        """Go on after `size` records; ValueError unless `nodes` can be the frontier of as many."""
        self.size = size
        self._nodes = list(nodes)
        is_whole = all(len(node) == HASH_BYTES_COUNT for node in self._nodes)
        if size < 0 or len(self._nodes) != size.bit_count() or not is_whole:
            raise ValueError(
                f"a tree of {size} records has {max(size, 0).bit_count()} subtrees of "
                f"{HASH_BYTES_COUNT} bytes, {len(self._nodes)} were given"
            )

    @property
    def nodes(self) -> tuple[bytes, ...]:
        """The roots of the full subtrees, largest first."""
        return tuple(self._nodes)

    def append(self, record: bytes) -> None:
        """Add the next record."""
        node = _sha256(b"\x00" + record).digest()
        size = self.size
        self.size = size + 1
        nodes = self._nodes
        while size & 1:
            node = _sha256(b"\x01" + nodes.pop() + node).digest()
            size >>= 1
        nodes.append(node)

    def root(self) -> bytes:
        """Return the root over every record added, 32 bytes."""
        nodes = self._nodes
        if not nodes:
            return EMPTY_ROOT
        root = nodes[-1]
        for node in reversed(nodes[:-1]):
            root = _sha256(b"\x01" + node + root).digest()
        return root

    def to_bytes(self) -> bytes:
        """Return the nodes, one after the other."""
        return b"".join(self._nodes)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Self:
        """Return the frontier of `size` records; ValueError where `data` cannot be it."""
        ends = range(HASH_BYTES_COUNT, len(data) + HASH_BYTES_COUNT, HASH_BYTES_COUNT)
        return cls(size, (data[end - HASH_BYTES_COUNT : end] for end in ends))
