"""What the twin in memory can do that no directory can: lose power, on request."""

from __future__ import annotations

import asyncio

import pytest

from sidecar.store.errors import StorePoisonedError
from sidecar.store.memory_store import MemoryStore
from sidecar.store.recovery import RecoveryKind, classify


async def test_a_loss_of_power_keeps_what_was_synced() -> None:
    """Without power only the synced records are left, and a reconcile is owed (S12.1, S12.4)."""
    store = MemoryStore()
    store.append([(1, b"a"), (2, b"b")])
    await store.sync(2)
    store.append([(3, b"c")])
    found = store.crash(is_power_lost=True)
    assert list(found.read(1)) == [(1, b"a"), (2, b"b")]
    assert classify(found.facts) is RecoveryKind.RECONCILE
    assert found.facts.damage is None
    found.append([(3, b"other")])
    assert found.last_sequence == 3


async def test_a_loss_of_power_during_a_sync_keeps_what_came_before() -> None:
    """A sync that did not end made nothing durable (S12.1)."""
    store = MemoryStore()
    store.append([(1, b"a")])
    await store.sync(1)
    store.append([(2, b"b")])
    store.hold_syncs()
    waiter = asyncio.create_task(store.sync(2))
    await asyncio.sleep(0)
    found = store.crash(is_power_lost=True)
    assert found.last_sequence == 1
    waiter.cancel()


async def test_a_loss_of_power_forgets_unsynced_values() -> None:
    """A named value that was not flushed is as it was (S12.1)."""
    store = MemoryStore()
    store.meta_set("key", "old")
    await store.flush()
    store.meta_set("key", "new")
    assert store.crash(is_power_lost=True).meta_get("key") == "old"


async def test_snapshots_and_nonces_survive_a_loss_of_power() -> None:
    """Both are power-durable before their caller goes on (S11, S12.5)."""
    store = MemoryStore()
    store.append([(1, b"a")])
    await store.write_snapshot(1, b"state")
    assert await store.remember_nonce("one", expires_at_ns=9, now_ns=1)
    found = store.crash(is_power_lost=True)
    assert found.latest_snapshot() == (1, b"state")
    assert not await found.remember_nonce("one", expires_at_ns=9, now_ns=2)


def test_a_fault_happens_once_and_its_poison_stays() -> None:
    """The fault asked for is met once; the store stays poisoned after it (S12.3)."""
    store = MemoryStore()
    store.fail_next_append("disk full")
    for _ in range(2):
        with pytest.raises(StorePoisonedError, match="disk full"):
            store.append([(1, b"a")])
    assert store.last_sequence == 0
