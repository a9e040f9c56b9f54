"""Any order of writing, syncing, stopping and dying, against a list: both stores agree with it."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.store.recovery import RecoveryKind, classify
from tests.store.harness import BOOT, OTHER_BOOT, Harness, MemoryHarness, SqliteHarness

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(st.binary(max_size=40), min_size=1, max_size=4)),
        st.tuples(st.sampled_from(["sync", "snapshot", "die", "reboot", "stop"]), st.just([])),
    ),
    max_size=25,
)


class Model:
    """What must be true, kept as plainly as it can be."""

    def __init__(self) -> None:
        """Nothing has happened."""
        self.records: list[bytes] = []
        self.durable = 0
        self.snapshot: tuple[int, bytes] | None = None
        self.boot_id = BOOT
        self.is_reconcile_owed = False


async def play(harness: Harness, steps: list[tuple[str, list[bytes]]]) -> None:
    """Do every step to the store and to the model, and compare."""
    model = Model()
    for step, records in steps:
        await take(harness, model, step, records)
        store = harness.store
        assert store.last_sequence == len(model.records)
        assert store.durable_sequence >= model.durable
        assert list(store.read(1)) == list(enumerate(model.records, start=1))
        assert store.latest_snapshot() == model.snapshot
        assert store.poisoned is None


async def take(harness: Harness, model: Model, step: str, records: list[bytes]) -> None:
    """Do one step."""
    store = harness.store
    count = len(model.records)
    if step == "append":
        store.append(list(enumerate(records, start=count + 1)))
        model.records += records
    elif step == "sync":
        await store.sync(count)
        model.durable = count
    elif step == "snapshot":
        await store.write_snapshot(count, b"state %d" % count)
        model.snapshot = (count, b"state %d" % count)
    elif step == "stop":
        store.close(clean=True)
        found = harness.reopen(boot_id=model.boot_id)
        expected = RecoveryKind.RECONCILE if model.is_reconcile_owed else RecoveryKind.CLEAN
        assert classify(found.facts) is expected
    else:
        await start_again(harness, model, step)


async def start_again(harness: Harness, model: Model, step: str) -> None:
    """Let the process die, or the machine reboot; half of the reconciles owed are settled."""
    if step == "reboot":
        model.boot_id = OTHER_BOOT if model.boot_id == BOOT else BOOT
        model.is_reconcile_owed = True
    found = harness.die(boot_id=model.boot_id)
    expected = RecoveryKind.RECONCILE if model.is_reconcile_owed else RecoveryKind.RECOVERED
    assert classify(found.facts) is expected
    if len(model.records) % 2:
        await found.settle_recovery()
        model.is_reconcile_owed = False


@given(steps=STEPS)
def test_the_store_in_memory_agrees_with_a_list(steps: list[tuple[str, list[bytes]]]) -> None:
    """Nothing written is lost or reordered by any history of stops and deaths (S12.1, S12.4)."""
    asyncio.run(play(MemoryHarness(), steps))


@settings(max_examples=25)
@given(steps=STEPS)
def test_the_store_on_disk_agrees_with_a_list(steps: list[tuple[str, list[bytes]]]) -> None:
    """The same on disk, through the same histories (S12.1, S12.4)."""
    with tempfile.TemporaryDirectory() as root, pytest.MonkeyPatch.context() as monkeypatch:
        harness = SqliteHarness(Path(root), monkeypatch)
        try:
            asyncio.run(play(harness, steps))
        finally:
            harness.close()
