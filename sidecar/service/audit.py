"""The audit of a running sidecar: receipts, signed heads, reading the journal (S13).

Rules:
1. A receipt is taken in the turn that wrote the record and given out when that record is
   power-durable: one that a loss of power can contradict would accuse an honest sidecar.
2. A head is signed over power-durable records alone: at the start, every minute in which the
   journal grew, and at the stop.
3. What is read is power-durable too, a few records at a time: a reader never holds the loop for
   long, and never sees what may be gone after a restart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from sidecar.audit.heads import Head, sign_head
from sidecar.audit.items import META_PUBLIC_KEY, Opening
from sidecar.audit.keys import Signing
from sidecar.clock import SECOND_NS, format_rfc3339
from sidecar.core.answers import Receipt
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.store.errors import StoreError
from sidecar.store.merkle_tree import TreeHead
from sidecar.store.store import ChainedRecord, Store

LOG: Final = logging.getLogger(__name__)

SIGN_NS: Final = 60 * SECOND_NS
READ_COUNT: Final = 32
"""How many records are read and proved in one turn of the loop: well under a millisecond."""


class Audit:
    """Receipts, heads and pages of one store."""

    def __init__(self, *, store: Store, signing: Signing, real_time_ns: Callable[[], int]) -> None:
        """`real_time_ns` is real time under a driven clock too.

        `signed_size` is how many records the newest head of this process speaks of.
        """
        self._store = store
        self._signing = signing
        self._real_time_ns = real_time_ns
        self.signed_size = 0
        self._signed_at = 0
        self._newest = self._durable = store.tree_head()
        if self._newest.size > store.durable_sequence:
            self._durable = TreeHead(0, b"", b"")

    @property
    def problem(self) -> str:
        """Say why nothing is signed; empty where heads are."""
        return self._signing.problem

    def begin(self) -> list[str]:
        """Remember the key, so that another one is known as such from here on; return notes."""
        public_key, store = self._signing.public_key.hex(), self._store
        if public_key and not store.meta_get(META_PUBLIC_KEY) and store.poisoned is None:
            store.meta_set(META_PUBLIC_KEY, public_key)
        return [self.problem] if self.problem else []

    def receipt(self) -> Receipt:
        """Return the journal as of this instant; to be given out once that is durable (rule 1)."""
        tree = self._store.tree_head()
        return Receipt(tree.size, tree.root)

    def durable_receipt(self) -> Receipt | None:
        """Return the journal as of a recent instant, all of it power-durable; None while empty."""
        tree = self._durable_tree()
        return Receipt(tree.size, tree.root) if tree.size else None

    def sign_if_due(self) -> None:
        """Sign a head where a minute has passed since the last one and the journal grew."""
        if abs(self._real_time_ns() - self._signed_at) >= SIGN_NS:
            self.sign()

    def sign(self) -> None:
        """Sign a head over what is power-durable, unless that was signed already."""
        key, store = self._signing.key, self._store
        tree = self._durable_tree()
        if key is None or store.poisoned is not None or tree.size <= self.signed_size:
            return
        now = self._real_time_ns()
        time = format_rfc3339(now // SECOND_NS * SECOND_NS)
        head = Head(store_id=store.store_id, tree=tree, time=time)
        try:
            store.add_head(tree.size, sign_head(head, key))
        except StoreError as error:
            LOG.warning("a signed head could not be kept: %s", error)
            return
        self.signed_size, self._signed_at = tree.size, now
        store.request_sync()

    # Reading.

    @property
    def durable_sequence(self) -> int:
        """The newest record that may be read."""
        return self._store.durable_sequence

    def opening(self) -> Opening:
        """Return whose journal this is and what came before its oldest record."""
        store, base = self._store, self._store.base
        heads = store.read_heads(base.size - 1, 1) if base.size else []
        return Opening(
            store_id=store.store_id,
            public_key=bytes.fromhex(store.meta_get(META_PUBLIC_KEY) or ""),
            base=base,
            base_head=heads[0][1] if heads and heads[0][0] == base.size else "",
        )

    def first_wanted(self, from_sequence: int) -> int:
        """Return where reading begins, 0 meaning the oldest record; CallRefused where dropped."""
        base_size = self._store.base.size
        if 0 < from_sequence <= base_size:
            raise CallRefused(
                ErrorCode.FAILED_PRECONDITION,
                "RECORDS_DROPPED",
                f"from_sequence: the records up to {base_size} were exported and dropped, asked "
                f"for {from_sequence}; they stand in the file that `haltline audit drop` wrote",
            )
        return max(from_sequence, base_size + 1)

    def read(self, from_sequence: int) -> list[ChainedRecord]:
        """Return the next few power-durable records; CallRefused where the disk has lost them."""
        count = min(READ_COUNT, self.durable_sequence - from_sequence + 1)
        if count <= 0:
            return []
        try:
            return self._store.read_chained(from_sequence, count)
        except StoreError as error:
            raise CallRefused(ErrorCode.UNAVAILABLE, "STORE_UNAVAILABLE", str(error)) from error

    def read_heads(self, after_size: int, count: int) -> list[tuple[int, str]]:
        """Return up to `count` signed heads over more than `after_size` records, by size."""
        return self._store.read_heads(after_size, count)

    def _durable_tree(self) -> TreeHead:
        """Return the newest tree known to be power-durable; it follows with every call."""
        store = self._store
        if store.durable_sequence >= self._newest.size:
            self._durable = self._newest
            if store.last_sequence > self._newest.size:
                self._newest = store.tree_head()
                if store.durable_sequence >= self._newest.size:
                    self._durable = self._newest
        return self._durable
