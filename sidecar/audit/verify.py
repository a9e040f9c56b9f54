"""Verification: the chain, the tree and every signed head, computed anew from the records (S13).

Rules:
1. It stops at the first thing that is wrong, and says at which sequence, what, and what it means.
2. The chain sees a record changed by someone who does not compute; heads see it changed by someone
   who does but has no key; a receipt kept elsewhere sees even what the key's holder could do.
3. Records after the last head are chained only: how many is always said.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sidecar.audit.heads import Head, HeadError, verify_head
from sidecar.audit.items import End, Item, Opening, SignedHead
from sidecar.store.merkle_tree import Frontier, TreeHead
from sidecar.store.records import chain_hash_after
from sidecar.store.store import ChainedRecord


class AuditFault(Exception):  # noqa: N818 - it says what was found, like a damage
    """Something is wrong at `sequence`, and `meaning` says what that amounts to."""

    def __init__(self, sequence: int, what: str, meaning: str) -> None:
        """`sequence` is the first one that cannot be believed."""
        super().__init__(f"sequence {sequence}: {what}: {meaning}")
        self.sequence = sequence
        self.what = what
        self.meaning = meaning


@dataclass(frozen=True, slots=True)
class Expected:
    """A receipt somebody kept: size and root."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """Everything held. `signed_size` is how many records the last head speaks of, 0 for none."""

    store_id: str
    first_sequence: int
    tree: TreeHead
    heads_count: int
    signed_size: int
    signed_at: str
    public_key: bytes
    is_key_given: bool
    is_expected_met: bool


class Verifier:
    """Takes the items of one audit in their order. Every method raises AuditFault."""

    def __init__(
        self,
        opening: Opening,
        *,
        public_key: bytes | None = None,
        expected: Expected | None = None,
    ) -> None:
        """`public_key` comes from elsewhere than the audit; without it the audit's own serves."""
        self._opening = opening
        self._public_key = opening.public_key if public_key is None else public_key
        self._is_key_given = public_key is not None
        self._expected = expected
        self._heads_count = 0
        self._last_head: Head | None = None
        self._is_expected_met = False
        base = opening.base
        self._chain_hash = base.chain_hash
        try:
            self._frontier = Frontier(base.size, base.nodes)
        except ValueError as error:
            raise AuditFault(1, str(error), "what is kept of dropped records was changed") from None
        if public_key is not None and opening.public_key not in (b"", public_key):
            raise AuditFault(
                base.size + 1,
                f"the public key here is {opening.public_key.hex()}, yours is {public_key.hex()}",
                "the key was replaced, or these are the records of another sidecar",
            )
        if base.size:
            self._take_base(opening)
        self._look_for_expected()

    def take_all(self, items: Iterable[Item]) -> Verified:
        """Take every item and return the result; an end among them must be the last."""
        end: End | None = None
        for item in items:
            if end is not None:
                raise AuditFault(
                    self._frontier.size + 1, "something follows the end", "lines were added"
                )
            if isinstance(item, ChainedRecord):
                self.take_record(item)
            elif isinstance(item, SignedHead):
                self.take_head(item)
            else:
                end = item
        return self.finish(end)

    def take_record(self, item: ChainedRecord) -> None:
        """Take the next record."""
        expected = self._frontier.size + 1
        if item.sequence != expected:
            raise AuditFault(
                expected,
                f"record {item.sequence} stands in its place",
                "records were deleted, inserted or moved",
            )
        if item.previous_hash != self._chain_hash:
            raise AuditFault(
                expected,
                "its previous hash is not the hash of the record before it",
                "this record or the one before it was changed, or one between them was deleted",
            )
        chain_hash = chain_hash_after(self._chain_hash, expected, item.record)
        if chain_hash != item.hash:
            raise AuditFault(
                expected, "the record does not match its hash", "the record was changed"
            )
        self._chain_hash = chain_hash
        self._frontier.append(item.record)
        self._look_for_expected()

    def take_head(self, item: SignedHead) -> None:
        """Take a signed head; it speaks of exactly the records taken so far."""
        size = self._frontier.size
        if item.size > size:
            raise AuditFault(
                size + 1,
                f"the records end at {size}, a head speaks of {item.size}",
                "the tail was cut, or records were deleted",
            )
        head = self._verified(item.note, self._first_unsigned)
        if item.size < size or head.tree.size != size:
            raise AuditFault(
                self._first_unsigned,
                f"a head over {head.tree.size} records stands after record {size}",
                "a head was moved or exchanged",
            )
        if head.tree != self._tree():
            raise AuditFault(
                self._first_unsigned,
                f"the records up to {size} are not those that were signed at {head.time}",
                f"a record from {self._first_unsigned} to {size} was changed, inserted, deleted or "
                "moved, and the chain computed anew",
            )
        self._last_head = head
        self._heads_count += 1

    def finish(self, end: End | None) -> Verified:
        """Return the result; `end` is what the exporter had, absent where it could not say."""
        tree = self._tree()
        if end is not None and end.tree != tree:
            raise AuditFault(
                tree.size + 1,
                f"the end speaks of {end.tree.size} records and another root or hash",
                "records were cut off, or the end is of another export",
            )
        if self._expected is not None and not self._is_expected_met:
            raise AuditFault(
                tree.size + 1,
                f"the records end at {tree.size}, your receipt speaks of {self._expected.size}",
                "the tail was cut, the directory was rolled back, or another sidecar's was given",
            )
        if self._public_key and tree.size and self._last_head is None and not self._heads_count:
            raise AuditFault(
                self._opening.base.size + 1,
                "no signed head speaks of any record",
                "the heads were removed, or the sidecar never came to sign one",
            )
        head = self._last_head
        return Verified(
            store_id=self._opening.store_id,
            first_sequence=self._opening.base.size + 1,
            tree=tree,
            heads_count=self._heads_count,
            signed_size=0 if head is None else head.tree.size,
            signed_at="" if head is None else head.time,
            public_key=self._public_key,
            is_key_given=self._is_key_given,
            is_expected_met=self._is_expected_met,
        )

    @property
    def _first_unsigned(self) -> int:
        return 1 if self._last_head is None else self._last_head.tree.size + 1

    def _tree(self) -> TreeHead:
        return TreeHead(self._frontier.size, self._frontier.root(), self._chain_hash)

    def _take_base(self, opening: Opening) -> None:
        size = opening.base.size
        if not opening.base_head:
            raise AuditFault(
                1,
                f"the records up to {size} are not here, and no signed head speaks of them",
                "records were deleted at the front",
            )
        head = self._verified(opening.base_head, 1)
        if head.tree != self._tree():
            raise AuditFault(
                1,
                f"what is kept of the records up to {size} is not what was signed at {head.time}",
                "records were deleted at the front, or what was kept of them was changed",
            )
        self._last_head = head

    def _verified(self, note: str, sequence: int) -> Head:
        if not self._public_key:
            raise AuditFault(
                sequence,
                "a signed head is here, and no public key to prove it with",
                "the key was removed; give --public-key",
            )
        try:
            head = verify_head(note, self._public_key)
        except HeadError as error:
            raise AuditFault(
                sequence,
                f"a head {error}",
                "the head was changed, or made by someone without the key of this sidecar",
            ) from None
        if head.store_id != self._opening.store_id:
            raise AuditFault(
                sequence,
                f"a head is of store {head.store_id}, the records of {self._opening.store_id}",
                "heads or records of another sidecar were put here",
            )
        return head

    def _look_for_expected(self) -> None:
        expected = self._expected
        if expected is None or self._is_expected_met:
            return
        size = self._frontier.size
        if expected.size < size:
            raise AuditFault(
                expected.size + 1,
                f"your receipt speaks of {expected.size} records, those up to {size} were dropped",
                "this cannot be judged here: verify the file that holds them with this receipt",
            )
        if expected.size == size:
            root = self._frontier.root()
            if root != expected.root:
                raise AuditFault(
                    self._first_unsigned,
                    f"the root over {size} records is {root.hex()}, your receipt says "
                    f"{expected.root.hex()}",
                    "history was rewritten after the receipt was given",
                )
            self._is_expected_met = True
