"""The interface every store keeps; the service is written against this and nothing below.

Rules:
1. One owner, one event loop: every method is called on the loop's thread.
2. `append` is synchronous, so that no `await` lies between decide and apply. On return its
   records are process-durable: written, they survive `kill -9` (S12.1).
3. `sync` is what makes power-durable. Concurrent callers share one disk sync (S12.2), and
   cancelling one caller harms no other.
4. The first failed write or sync poisons the store: `poisoned` says why, every later write
   raises `StorePoisonedError`, nothing is retried and nothing succeeds again (S12.3).
5. Sequences are contiguous and start at 1. The records of one `append` are atomic.
6. Damage found at open is a fact (`facts.damage`), not an exception: the service must be able
   to start HALTED and say so. Such a store reads up to the damage and takes no writes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sidecar.store.digests import Digest, DigestOutcome
from sidecar.store.merkle_tree import JournalBase, TreeHead
from sidecar.store.recovery import RecoveryFacts
from sidecar.telemetry import SyncMeter

ClockKind = Literal["wall", "driven"]

SYNC_DELAY_SECONDS_MAX = 0.05
"""A write announced by `request_sync` is power-durable after about this long (S12.1)."""
RECORD_BYTES_MAX = 64 * 1024 * 1024
NONCES_COUNT_MAX = 100_000
SNAPSHOTS_KEPT_COUNT = 2
CHAINED_READ_COUNT_MAX = 500


@dataclass(frozen=True, slots=True)
class ChainedRecord:
    """One record and its place in the chain; `hash` is the chain's after it."""

    sequence: int
    previous_hash: bytes
    hash: bytes
    record: bytes


class Store(ABC):
    """A journal of opaque records with snapshots, nonces, digests and a few named values."""

    notes: list[str]
    """Sentences for the operator about what the start found or worked around."""
    sync_meter: SyncMeter
    """What its disk syncs carried, and how long they took."""

    @property
    @abstractmethod
    def store_id(self) -> str:
        """128 random bits in hex, made when the store was created; fixed for life."""

    @property
    @abstractmethod
    def is_new(self) -> bool:
        """Whether this opening created the store."""

    @property
    @abstractmethod
    def clock_kind(self) -> ClockKind:
        """Which clock stamps this store's records; fixed for life (S2.5)."""

    @property
    @abstractmethod
    def facts(self) -> RecoveryFacts:
        """What this opening found; `recovery.classify` turns it into a decision."""

    @property
    @abstractmethod
    def last_sequence(self) -> int:
        """Sequence of the last record appended; 0 while there is none."""

    @property
    @abstractmethod
    def durable_sequence(self) -> int:
        """Every record up to this one is power-durable."""

    @property
    @abstractmethod
    def poisoned(self) -> str | None:
        """Why no write is taken any more, or None while the store is well."""

    @property
    @abstractmethod
    def chain_hash(self) -> bytes:
        """SHA-256 chained over every record so far, 32 bytes; zeros while there is none."""

    @abstractmethod
    def append(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Write `records`, all or none; on return they survive `kill -9`.

        Raises StoreSequenceError (not contiguous; nothing written, store well), StorePoisonedError
        (the write failed now or earlier), StoreClosedError.
        """

    @abstractmethod
    async def sync(self, sequence: int) -> None:
        """Return once every record up to `sequence` is power-durable.

        Raises StorePoisonedError to every waiter when the disk refuses.
        """

    @abstractmethod
    async def flush(self) -> None:
        """Return once everything written before the call is power-durable, values included."""

    @abstractmethod
    def request_sync(self) -> None:
        """Have what is written made power-durable within 50 ms, without waiting for it."""

    @abstractmethod
    def read(self, from_sequence: int) -> Iterator[tuple[int, bytes]]:
        """Yield the records from `from_sequence` on, in order, at bounded memory.

        Raises StoreDamagedError where a record is missing or changed; where the opening already
        found damage (`facts.damage`), it ends with the last whole record instead.
        """

    @property
    @abstractmethod
    def base(self) -> JournalBase:
        """What is kept of records that were dropped; the oldest record kept follows it."""

    @abstractmethod
    def tree_head(self) -> TreeHead:
        """Return size, root and chain hash over every record so far, dropped ones included.

        Costs a few hashes, whatever the size (RFC 6962).
        """

    @abstractmethod
    def read_chained(self, from_sequence: int, count: int) -> list[ChainedRecord]:
        """Return up to `count` (at most CHAINED_READ_COUNT_MAX) records, each proved by the chain.

        Raises StoreDamagedError as `read` does, also where `from_sequence` was dropped.
        """

    @abstractmethod
    def add_head(self, size: int, note: str) -> None:
        """Keep a signed head over the first `size` records, process-durable; a second is ignored.

        Raises StorePoisonedError, StoreClosedError, and StoreSequenceError unless `size` records
        are power-durable: a head must not outlive what it speaks of.
        """

    @abstractmethod
    def read_heads(self, after_size: int, count: int) -> list[tuple[int, str]]:
        """Return up to `count` signed heads over more than `after_size` records, by size."""

    @abstractmethod
    async def write_snapshot(self, sequence: int, payload: bytes) -> None:
        """Keep `payload` as the state after record `sequence`, power-durable, all or none.

        The records up to `sequence` are made power-durable first. The previous snapshot is kept
        beside the new one. Raises StoreSnapshotError (could not be written, nothing lost) or
        StorePoisonedError.
        """

    @property
    @abstractmethod
    def snapshot_directory(self) -> Path | None:
        """Where the snapshots lie that another process may begin from, None where in memory."""

    @abstractmethod
    def snapshot_head(self) -> dict[str, Any]:
        """Return the head of a snapshot as of `last_sequence`, plain values that JSON can hold."""

    @abstractmethod
    async def adopt_snapshot(self, sequence: int, beside: Path) -> None:
        """Keep the snapshot that another process wrote whole at `beside`; as `write_snapshot`.

        The file is taken away from there.
        """

    @abstractmethod
    def snapshots(self) -> Iterator[tuple[int, bytes]]:
        """Yield the snapshots whose checksum holds, newest first; a bad one leaves a note."""

    def latest_snapshot(self) -> tuple[int, bytes] | None:
        """Return the newest snapshot whose checksum holds, None where there is none."""
        return next(iter(self.snapshots()), None)

    @abstractmethod
    def poison(self, reason: str) -> None:
        """Take no further write, for the first reason given: another process met a bad disk."""

    @abstractmethod
    async def remember_nonce(self, nonce: str, *, expires_at_ns: int, now_ns: int) -> bool:
        """Return True once `nonce` is remembered power-durably, False if it was seen before.

        Nonces expired at `now_ns` are forgotten first. Raises StoreLimitError at NONCES_COUNT_MAX
        live ones (refuse the proof), StorePoisonedError.
        """

    @abstractmethod
    def remember_digest(
        self, digest: Digest, *, keys_in_use: Iterable[str], now_ns: int
    ) -> DigestOutcome:
        """Keep a digest process-durable and return what it was before, in the same turn.

        `flush` makes it power-durable; only then may what it stands for take effect, unless it
        stops. Raises StorePoisonedError.
        """

    @property
    @abstractmethod
    def digests_count(self) -> int:
        """How many digests are kept; 0 where that cannot be told any more."""

    @abstractmethod
    def meta_get(self, key: str) -> str | None:
        """Return the value named `key`, or None."""

    @abstractmethod
    def meta_set(self, key: str, value: str) -> None:
        """Write the value named `key`, process-durable; `flush` makes it power-durable."""

    @abstractmethod
    async def settle_recovery(self) -> None:
        """Forget, power-durably, that a reconcile is owed; `facts` of this opening stay."""

    @abstractmethod
    def free_bytes(self) -> int | None:
        """Return the bytes free where the store lives, or None where that cannot be told."""

    def check_place(self) -> str:
        """Poison the store if its files are no longer where they were opened; return why.

        Empty while all is well, and where there are no files. Cheap: asked every second.
        """
        return ""

    @abstractmethod
    def close(self, *, clean: bool) -> None:
        """Make everything power-durable and let go of the directory; a second call does nothing.

        `clean` says the service drained first; a poisoned store is never marked clean.
        """
