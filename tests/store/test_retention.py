"""Dropping from the front: what the two newest snapshots need stays, under a signed head."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.store.errors import StoreDamagedError, StoreError
from sidecar.store.merkle_tree import Frontier, JournalBase
from sidecar.store.recovery import RecoveryKind, classify
from sidecar.store.retention import droppable_through
from sidecar.store.snapshot import list_snapshot_files
from sidecar.store.sqlite_open import open_sqlite_store
from sidecar.store.sqlite_store import SqliteStore
from tests.store.harness import options


def record(sequence: int) -> tuple[int, bytes]:
    """Return a record."""
    return sequence, b"record %d" % sequence


async def filled(directory: Path) -> SqliteStore:
    """Return a store of 30 records with snapshots at 10, 20 and 25, and a head over 15."""
    store = open_sqlite_store(directory, options())
    for sequence in range(1, 31):
        store.append([record(sequence)])
        if sequence in (10, 20, 25):
            await store.write_snapshot(sequence, b"state")
    await store.sync(30)
    store.add_head(15, "a note")
    store.add_head(19, "another note")
    return store


def base_of(store: SqliteStore, size: int) -> JournalBase:
    """Return what is to be kept of the first records."""
    frontier = Frontier()
    for sequence in range(1, size + 1):
        frontier.append(record(sequence)[1])
    return JournalBase(size, store.read_chained(size, 1)[0].hash, frontier.nodes)


async def test_the_front_is_dropped_as_one(tmp_path: Path) -> None:
    """Records and heads below go, the base and the record of the drop come, and it lasts (S13)."""
    store = await filled(tmp_path / "store")
    before = store.tree_head()
    base = base_of(store, 15)
    store.drop_through(base, record(31))
    assert store.base == base
    assert store.last_sequence == 31
    assert [sequence for sequence, _ in store.read(16)] == list(range(16, 32))
    assert store.read_heads(0, 10) == [(15, "a note"), (19, "another note")]
    with pytest.raises(StoreDamagedError, match="up to 15 were exported and dropped"):
        next(store.read(1))
    after = store.tree_head()
    assert after.size == before.size + 1
    store.close(clean=True)
    store = open_sqlite_store(tmp_path / "store", options())
    assert classify(store.facts) is RecoveryKind.CLEAN
    assert (store.base, store.tree_head()) == (base, after)
    store.append([record(32)])
    store.drop_through(base_of_rest(store, base, 19), record(33))
    assert store.base.size == 19
    assert store.read_heads(0, 10) == [(19, "another note")]
    store.close(clean=True)


def base_of_rest(store: SqliteStore, base: JournalBase, size: int) -> JournalBase:
    """Return what is to be kept where some was dropped before."""
    frontier = Frontier(base.size, base.nodes)
    for sequence, payload in store.read(base.size + 1):
        if sequence <= size:
            frontier.append(payload)
    return JournalBase(size, store.read_chained(size, 1)[0].hash, frontier.nodes)


async def test_what_may_not_be_dropped_is_refused(tmp_path: Path) -> None:
    """Past the older of two snapshots, without a head, with another hash: nothing is written."""
    store = await filled(tmp_path / "store")
    base = base_of(store, 15)
    for wrong, why in (
        (base_of(store, 20), "only records from 1 to 19 may be dropped"),
        (JournalBase(), "only records from 1 to 19 may be dropped"),
        (base_of(store, 14), "no signed head speaks of the records up to 14"),
        (replace(base, chain_hash=bytes(32)), "record 15 has another hash"),
    ):
        with pytest.raises(StoreError, match=why):
            store.drop_through(wrong, record(31))
    assert store.base == JournalBase()
    assert store.last_sequence == 30
    assert store.poisoned is None
    store.close(clean=True)


async def test_a_damaged_snapshot_keeps_everything(tmp_path: Path) -> None:
    """With one of the two newest not whole, a start may need what is before it (S12.5)."""
    store = await filled(tmp_path / "store")
    assert droppable_through(tmp_path / "store") == 19
    _, newest = list_snapshot_files(tmp_path / "store")[0]
    newest.write_bytes(newest.read_bytes()[:-1])
    assert droppable_through(tmp_path / "store") == 0
    with pytest.raises(StoreError, match="before there are two whole snapshots"):
        store.drop_through(base_of(store, 15), record(31))
    store.close(clean=True)
