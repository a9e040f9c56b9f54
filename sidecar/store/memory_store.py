"""The twin of the SQLite store: same interface, same tests, nothing on disk, faults on request.

Rules:
1. It keeps what is written, and of that what is power-durable: the records up to
   `durable_sequence`, and a copy of the small things as of the last sync.
2. `crash` returns the store a restart would find: all that was written after the death of the
   process, only what was synced after a loss of power.
3. A fault is asked for beforehand (`fail_next_append`, `fail_next_sync`, `hold_syncs`) and
   happens exactly once, so that a test reads as its story.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from sidecar.store.digests import (
    DIGESTS_PER_SECRET_MAX,
    Digest,
    DigestOutcome,
    DigestsInMemory,
    remember,
)
from sidecar.store.errors import (
    StoreClosedError,
    StoreDamagedError,
    StoreLimitError,
    StorePoisonedError,
    StoreSnapshotError,
)
from sidecar.store.group_sync import GroupSync
from sidecar.store.merkle_tree import Frontier, JournalBase, TreeHead
from sidecar.store.records import (
    EMPTY_CHAIN_HASH,
    chain_hash_after,
    chain_records,
    refuse_head_unless_durable,
)
from sidecar.store.recovery import Damage, RecoveryFacts, RecoveryKind, classify
from sidecar.store.snapshot import make_head, read_snapshot_file
from sidecar.store.store import (
    CHAINED_READ_COUNT_MAX,
    NONCES_COUNT_MAX,
    SNAPSHOTS_KEPT_COUNT,
    ChainedRecord,
    ClockKind,
    Store,
)

FREE_BYTES_DEFAULT = 1 << 40


@dataclass(slots=True)
class _Content:
    """What a disk would hold."""

    records: list[bytes] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)
    snapshots: list[tuple[int, bytes, bytes]] = field(default_factory=list)
    nonces: dict[str, int] = field(default_factory=dict)
    digests: DigestsInMemory = field(default_factory=DigestsInMemory)
    meta: dict[str, str] = field(default_factory=dict)
    heads: dict[int, str] = field(default_factory=dict)
    boot_id: str = "boot-1"
    is_clean_stop: bool = False
    was_poisoned: bool = False
    is_reconcile_owed: bool = False
    damage: Damage | None = None

    def copy(self, records_count: int | None = None) -> _Content:
        """Return a copy with the first `records_count` records, or all of them."""
        return replace(
            self,
            records=self.records[:records_count],
            hashes=self.hashes[:records_count],
            snapshots=list(self.snapshots),
            nonces=dict(self.nonces),
            digests=DigestsInMemory(self.digests.rows),
            meta=dict(self.meta),
            heads=dict(self.heads),
        )


class MemoryStore(Store):
    """A store that forgets everything with the process, unless `crash` or `reopen` hands it on."""

    def __init__(
        self,
        *,
        store_id: str = "0" * 32,
        clock_kind: ClockKind = "wall",
        boot_id: str = "boot-1",
        nonces_count_max: int = NONCES_COUNT_MAX,
        digests_count_max: int = DIGESTS_PER_SECRET_MAX,
    ) -> None:
        """A new, empty store."""
        content = _Content(boot_id=boot_id)
        facts = _facts_of(content, is_new=True, boot_id_now=boot_id)
        self._begin(store_id, clock_kind, content, facts, nonces_count_max)
        self.digests_count_max = digests_count_max

    def _begin(
        self,
        store_id: str,
        clock_kind: ClockKind,
        content: _Content,
        facts: RecoveryFacts,
        nonces_count_max: int,
    ) -> None:
        self.notes: list[str] = []
        self.free_bytes_now: int | None = FREE_BYTES_DEFAULT
        self.syncs_count = 0
        self.digests_count_max = DIGESTS_PER_SECRET_MAX
        self._store_id = store_id
        self._clock_kind = clock_kind
        self._facts = facts
        self._nonces_count_max = nonces_count_max
        self._written = content
        self._frontier = Frontier()
        for record in content.records[: self.last_sequence]:
            self._frontier.append(record)
        self._power_durable = content.copy(0)
        self._poisoned: str | None = None
        self._is_closed = False
        self._append_fault: str | None = None
        self._sync_fault: str | None = None
        self._snapshot_fault: str | None = None
        self._syncs_gate = asyncio.Event()
        self._syncs_gate.set()
        self._group = GroupSync(
            sync_once=self._sync_once,
            last_sequence=lambda: self.last_sequence,
            poison=self.poison,
            durable_sequence=len(content.records),
        )
        self.sync_meter = self._group.meter
        if facts.damage is not None:
            self._poisoned = f"journal is damaged at sequence {facts.damage.sequence}"
            self._group.poison(self._poisoned)

    # Faults and restarts, for tests.

    def fail_next_append(self, reason: str = "no space left on device") -> None:
        """Make the next `append` write nothing, poison the store and raise."""
        self._append_fault = reason

    def fail_next_sync(self, reason: str = "input/output error") -> None:
        """Make the next disk sync fail; all who wait for it are told."""
        self._sync_fault = reason

    def fail_next_snapshot(self, reason: str = "no space left on device") -> None:
        """Make the next `write_snapshot` write nothing and raise StoreSnapshotError."""
        self._snapshot_fault = reason

    def hold_syncs(self) -> None:
        """Let every disk sync begin and none end, until `release_syncs`."""
        self._syncs_gate.clear()

    def release_syncs(self) -> None:
        """Let held syncs end."""
        self._syncs_gate.set()

    def damage_record(self, sequence: int) -> None:
        """Flip a byte of a stored record: the next `crash` or `reopen` finds the damage."""
        record = self._written.records[sequence - 1] or b"\0"
        self._written.records[sequence - 1] = bytes([record[0] ^ 1]) + record[1:]

    def damage_latest_snapshot(self) -> None:
        """Flip a byte of the newest snapshot."""
        sequence, payload, checksum = self._written.snapshots[-1]
        self._written.snapshots[-1] = (sequence, b"\xff" + payload, checksum)

    def crash(self, *, is_power_lost: bool, boot_id: str | None = None) -> MemoryStore:
        """Return what a restart finds; this store takes no further call.

        Without power, only what was synced is left, and the boot id is another one unless told.
        """
        self._is_closed = True
        if not is_power_lost:
            return self._restart(self._written, boot_id or self._written.boot_id)
        left = self._power_durable.copy()
        left.records = self._written.records[: self.durable_sequence]
        left.hashes = self._written.hashes[: self.durable_sequence]
        return self._restart(left, boot_id or self._written.boot_id + "+")

    def reopen(self, *, boot_id: str | None = None) -> MemoryStore:
        """Return the store a start after `close` finds, on the same boot unless told."""
        return self._restart(self._written, boot_id or self._written.boot_id)

    def _restart(self, content: _Content, boot_id_now: str) -> MemoryStore:
        content = content.copy()
        content.damage = _find_damage(content)
        facts = _facts_of(content, is_new=False, boot_id_now=boot_id_now)
        content.is_reconcile_owed |= classify(facts) is RecoveryKind.RECONCILE
        content.boot_id = boot_id_now
        content.is_clean_stop = False
        store = MemoryStore.__new__(MemoryStore)
        store._begin(  # noqa: SLF001 - a store of the same class is being built
            self._store_id, self._clock_kind, content, facts, self._nonces_count_max
        )
        store.digests_count_max = self.digests_count_max
        return store

    def poison(self, reason: str) -> None:
        """Poison the store, as its first failed write would."""
        if self._poisoned is None:
            self._poisoned = reason
            self._written.was_poisoned = True
            self._power_durable.was_poisoned = True
        self._group.poison(self._poisoned)

    # The interface; `Store` documents each.

    @property
    def store_id(self) -> str:
        """As `Store` says."""
        return self._store_id

    @property
    def is_new(self) -> bool:
        """As `Store` says."""
        return self._facts.is_new

    @property
    def clock_kind(self) -> ClockKind:
        """As `Store` says."""
        return self._clock_kind

    @property
    def facts(self) -> RecoveryFacts:
        """As `Store` says."""
        return self._facts

    @property
    def last_sequence(self) -> int:
        """As `Store` says."""
        if self._written.damage is not None:
            return self._written.damage.sequence - 1
        return len(self._written.records)

    @property
    def durable_sequence(self) -> int:
        """As `Store` says."""
        return self._group.durable_sequence

    @property
    def poisoned(self) -> str | None:
        """As `Store` says."""
        return self._poisoned

    @property
    def chain_hash(self) -> bytes:
        """As `Store` says."""
        return (
            self._written.hashes[self.last_sequence - 1] if self.last_sequence else EMPTY_CHAIN_HASH
        )

    def append(self, records: Sequence[tuple[int, bytes]]) -> None:
        """As `Store` says."""
        self._raise_unless_writable()
        rows = chain_records(records, self.last_sequence, self.chain_hash)
        if self._append_fault is not None:
            reason, self._append_fault = f"append failed: {self._append_fault}", None
            self.poison(reason)
            raise StorePoisonedError(reason)
        for _, chain_hash, record in rows:
            self._written.hashes.append(chain_hash)
            # A copy fits its bytes; what a JSON writer hands out keeps the rest of its buffer.
            self._written.records.append(memoryview(record).tobytes())
            self._frontier.append(record)

    async def sync(self, sequence: int) -> None:
        """As `Store` says."""
        self._raise_if_closed()
        await self._group.wait(sequence)

    async def flush(self) -> None:
        """As `Store` says."""
        self._raise_if_closed()
        await self._group.wait_for_next()

    def request_sync(self) -> None:
        """As `Store` says."""
        self._group.request()

    def read(self, from_sequence: int) -> Iterator[tuple[int, bytes]]:
        """As `Store` says."""
        sequence = max(from_sequence, 1)
        while sequence <= self.last_sequence:
            previous = self._written.hashes[sequence - 2] if sequence > 1 else EMPTY_CHAIN_HASH
            record = self._written.records[sequence - 1]
            if chain_hash_after(previous, sequence, record) != self._written.hashes[sequence - 1]:
                damage = Damage(sequence=sequence, what="record does not match its hash")
                raise StoreDamagedError(
                    sequence=damage.sequence, what=damage.what, way_out=damage.way_out
                )
            yield sequence, record
            sequence += 1

    @property
    def base(self) -> JournalBase:
        """As `Store` says; the twin drops nothing."""
        return JournalBase()

    def tree_head(self) -> TreeHead:
        """As `Store` says."""
        return TreeHead(self.last_sequence, self._frontier.root(), self.chain_hash)

    def read_chained(self, from_sequence: int, count: int) -> list[ChainedRecord]:
        """As `Store` says."""
        self._raise_if_closed()
        hashes = [EMPTY_CHAIN_HASH, *self._written.hashes]
        records = islice(self.read(from_sequence), min(count, CHAINED_READ_COUNT_MAX))
        return [
            ChainedRecord(sequence, hashes[sequence - 1], hashes[sequence], record)
            for sequence, record in records
        ]

    def add_head(self, size: int, note: str) -> None:
        """As `Store` says."""
        self._raise_unless_writable()
        refuse_head_unless_durable(size, self.durable_sequence)
        self._written.heads.setdefault(size, note)

    def read_heads(self, after_size: int, count: int) -> list[tuple[int, str]]:
        """As `Store` says."""
        self._raise_if_closed()
        heads = sorted(self._written.heads.items())
        return [head for head in heads if head[0] > after_size][:count]

    async def write_snapshot(self, sequence: int, payload: bytes) -> None:
        """As `Store` says."""
        self._raise_unless_writable()
        await self.sync(sequence)
        if self._snapshot_fault is not None:
            reason, self._snapshot_fault = self._snapshot_fault, None
            raise StoreSnapshotError(f"snapshot {sequence}: {reason}")
        snapshot = (sequence, payload, hashlib.sha256(payload).digest())
        for content in (self._written, self._power_durable):
            content.snapshots = [*content.snapshots, snapshot][-SNAPSHOTS_KEPT_COUNT:]

    @property
    def snapshot_directory(self) -> Path | None:
        """As `Store` says: there is none."""
        return None

    def snapshot_head(self) -> dict[str, Any]:
        """As `Store` says."""
        return make_head(self.last_sequence, self.chain_hash, self.store_id)

    async def adopt_snapshot(self, sequence: int, beside: Path) -> None:
        """As `Store` says."""
        await self.write_snapshot(sequence, _take_away(sequence, beside))

    def snapshots(self) -> Iterator[tuple[int, bytes]]:
        """As `Store` says."""
        for sequence, payload, checksum in reversed(self._written.snapshots):
            if hashlib.sha256(payload).digest() == checksum:
                yield sequence, payload
                continue
            note = f"snapshot {sequence} is damaged; the one before it is used"
            if note not in self.notes:
                self.notes.append(note)

    async def remember_nonce(self, nonce: str, *, expires_at_ns: int, now_ns: int) -> bool:
        """As `Store` says."""
        self._raise_unless_writable()
        nonces = self._written.nonces
        for expired in [known for known, expiry_ns in nonces.items() if expiry_ns < now_ns]:
            del nonces[expired]
        if nonce in nonces:
            return False
        if len(nonces) >= self._nonces_count_max:
            raise StoreLimitError(
                f"{len(nonces)} operator nonces are remembered, wait for one to expire"
            )
        nonces[nonce] = expires_at_ns
        await self.flush()
        return True

    def remember_digest(
        self, digest: Digest, *, keys_in_use: Iterable[str], now_ns: int
    ) -> DigestOutcome:
        """As `Store` says."""
        self._raise_unless_writable()
        return remember(
            self._written.digests,
            digest,
            keys_in_use=keys_in_use,
            now_ns=now_ns,
            count_max=self.digests_count_max,
        )

    @property
    def digests_count(self) -> int:
        """As `Store` says."""
        return self._written.digests.count_all()

    def meta_get(self, key: str) -> str | None:
        """As `Store` says."""
        return self._written.meta.get(key)

    def meta_set(self, key: str, value: str) -> None:
        """As `Store` says."""
        self._raise_unless_writable()
        self._written.meta[key] = value

    async def settle_recovery(self) -> None:
        """As `Store` says."""
        self._raise_unless_writable()
        self._written.was_poisoned = False
        self._written.is_reconcile_owed = False
        await self.flush()

    def free_bytes(self) -> int | None:
        """As `Store` says."""
        return self.free_bytes_now

    def close(self, *, clean: bool) -> None:
        """As `Store` says."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._poisoned is None:
            self._written.is_clean_stop = clean
            self._power_durable = self._written.copy(0)
            self._group.finish(self.last_sequence)

    # How it is done.

    async def _sync_once(self) -> None:
        self.syncs_count += 1
        covered = self._written.copy(0)
        await asyncio.sleep(0)
        await self._syncs_gate.wait()
        if self._sync_fault is not None:
            reason, self._sync_fault = self._sync_fault, None
            raise OSError(reason)
        if not self._is_closed:
            self._power_durable = covered

    def _raise_if_closed(self) -> None:
        if self._is_closed:
            raise StoreClosedError("the store is closed")

    def _raise_unless_writable(self) -> None:
        self._raise_if_closed()
        if self._poisoned is not None:
            raise StorePoisonedError(self._poisoned)


def _take_away(sequence: int, beside: Path) -> bytes:
    payload = read_snapshot_file(beside, sequence)
    if payload is None:
        raise StoreSnapshotError(f"snapshot {sequence}: {beside} is not whole")
    beside.unlink()
    return payload


def _facts_of(content: _Content, *, is_new: bool, boot_id_now: str) -> RecoveryFacts:
    return RecoveryFacts(
        is_new=is_new,
        boot_id_then=content.boot_id,
        boot_id_now=boot_id_now,
        was_clean_stop=content.is_clean_stop,
        was_poisoned=content.was_poisoned,
        is_reconcile_owed=content.is_reconcile_owed,
        damage=content.damage,
        torn_tail_frames_count=0,
    )


def _find_damage(content: _Content) -> Damage | None:
    previous = EMPTY_CHAIN_HASH
    for sequence, record in enumerate(content.records, start=1):
        expected = chain_hash_after(previous, sequence, record)
        if expected != content.hashes[sequence - 1]:
            return Damage(sequence=sequence, what="record does not match its hash")
        previous = expected
    return None
