"""What an audit is made of, wherever it comes from: a directory, a sidecar, a file.

Rules:
1. The order is: the opening, then records by sequence, each head right after the last record it
   speaks of, then the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from sidecar.store.merkle_tree import Frontier, JournalBase, TreeHead
from sidecar.store.store import ChainedRecord

HEADS_READ_COUNT: Final = 100
META_PUBLIC_KEY: Final = "audit.public_key"
"""The named value of a store that holds its public key, in hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Whose records follow, and what came before the first of them.

    `public_key` is 32 bytes, empty where nothing is signed; it is the source's own word.
    `base_head` is the signed head over the records that were dropped, empty where none were.
    """

    store_id: str
    public_key: bytes
    base: JournalBase = field(default_factory=JournalBase)
    base_head: str = ""


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A note over the first `size` records; not proved yet."""

    size: int
    note: str


@dataclass(frozen=True, slots=True)
class End:
    """What the exporter had when it was done."""

    tree: TreeHead


Item: TypeAlias = ChainedRecord | SignedHead | End
ReadHeads = Callable[[int, int], list[tuple[int, str]]]


def merged(
    records: Iterable[ChainedRecord], read_heads: ReadHeads, base: JournalBase
) -> Iterator[ChainedRecord | SignedHead]:
    """Yield records with each head in its place; heads over more than there is come last."""
    heads = iter_heads(read_heads, base.size)
    head = next(heads, None)
    for record in records:
        while head is not None and head.size < record.sequence:
            yield head
            head = next(heads, None)
        yield record
    while head is not None:
        yield head
        head = next(heads, None)


def iter_heads(read_heads: ReadHeads, after_size: int) -> Iterator[SignedHead]:
    """Yield every head over more than `after_size` records, a few read at a time."""
    while found := read_heads(after_size, HEADS_READ_COUNT):
        for size, note in found:
            yield SignedHead(size, note)
        after_size = found[-1][0]


def ended(
    items: Iterable[ChainedRecord | SignedHead], base: JournalBase
) -> Iterator[ChainedRecord | SignedHead | End]:
    """Yield `items`, then the end they amount to."""
    frontier = Frontier(base.size, base.nodes)
    chain_hash = base.chain_hash
    for item in items:
        if isinstance(item, ChainedRecord):
            frontier.append(item.record)
            chain_hash = item.hash
        yield item
    yield End(TreeHead(frontier.size, frontier.root(), chain_hash))
