"""What may be dropped from the front of a journal, and what may not (S13).

Rules:
1. Only what both of the two newest snapshots have behind them, and not the record of the older
   one, which proves that snapshot: a start never needs more, not even where the newest snapshot
   turns out to be damaged.
2. Only under a signed head: what stays verifies from there on.
3. Nothing is dropped by itself.
"""

from __future__ import annotations

from pathlib import Path

from sidecar.store.errors import StoreError
from sidecar.store.merkle_tree import JournalBase
from sidecar.store.snapshot import list_snapshot_files, read_snapshot_file
from sidecar.store.store import SNAPSHOTS_KEPT_COUNT, Store


def droppable_through(directory: Path) -> int:
    """Return the last sequence that may be dropped, 0 where there are no two whole snapshots."""
    newest = list_snapshot_files(directory)[:SNAPSHOTS_KEPT_COUNT]
    whole = [
        sequence for sequence, path in newest if read_snapshot_file(path, sequence) is not None
    ]
    return min(whole) - 1 if len(whole) == SNAPSHOTS_KEPT_COUNT else 0


def refuse_drop(store: Store, directory: Path, base: JournalBase) -> None:
    """Raise StoreError unless the records that `base` stands for may be dropped."""
    last = droppable_through(directory)
    first = store.base.size + 1
    if last == 0:
        raise StoreError(
            f"{directory}: nothing may be dropped before there are two whole snapshots (each clean "
            "stop leaves one)"
        )
    if not first <= base.size <= last:
        raise StoreError(
            f"{directory}: only records from {first} to {last} may be dropped, the two newest "
            f"snapshots need the rest; asked to drop up to {base.size}"
        )
    if store.read_chained(base.size, 1)[0].hash != base.chain_hash:
        raise StoreError(f"{directory}: record {base.size} has another hash than what was exported")
    if [size for size, _ in store.read_heads(base.size - 1, 1)] != [base.size]:
        raise StoreError(f"{directory}: no signed head speaks of the records up to {base.size}")
