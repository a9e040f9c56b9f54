"""What every store keeps, asked of the one on disk and of its twin in memory alike."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.store.errors import (
    StoreClosedError,
    StoreDamagedError,
    StoreLimitError,
    StorePoisonedError,
    StoreSequenceError,
    StoreSnapshotError,
)
from sidecar.store.records import EMPTY_CHAIN_HASH, chain_hash_after
from sidecar.store.recovery import RecoveryKind, classify
from sidecar.store.store import RECORD_BYTES_MAX
from tests.store.harness import (
    NONCES_COUNT_MAX,
    OTHER_BOOT,
    Harness,
    MemoryHarness,
    SqliteHarness,
)

WAIT_SECONDS_MAX = 10


@pytest.fixture(params=["memory", "sqlite"])
def harness(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Harness]:
    """A new store of each kind."""
    is_memory = request.param == "memory"
    made: Harness = MemoryHarness() if is_memory else SqliteHarness(tmp_path, monkeypatch)
    yield made
    made.close()


async def begun(harness: Harness, syncs_count: int) -> None:
    """Return once `syncs_count` disk syncs have begun."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while harness.syncs_count() < syncs_count:  # noqa: ASYNC110 - counted in another thread
            await asyncio.sleep(0.001)


async def outcomes(*tasks: asyncio.Task[None]) -> list[BaseException | None]:
    """Return what each task ended with."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        return list(await asyncio.gather(*tasks, return_exceptions=True))


def test_a_new_store_is_empty_and_clean(harness: Harness) -> None:
    """A new store has no record, says that it is new, and starts CLEAN (S12.4)."""
    store = harness.store
    assert store.is_new
    assert (store.last_sequence, store.durable_sequence) == (0, 0)
    assert store.poisoned is None
    assert store.chain_hash == EMPTY_CHAIN_HASH
    assert list(store.read(1)) == []
    assert store.latest_snapshot() is None
    assert classify(store.facts) is RecoveryKind.CLEAN


def test_records_are_read_back_in_order_from_any_sequence(harness: Harness) -> None:
    """What was appended is read back, from the start and from the middle (S12.1)."""
    store = harness.store
    records = [(sequence, f"record {sequence}".encode()) for sequence in range(1, 1_203)]
    store.append(records[:1])
    store.append(records[1:])
    assert store.last_sequence == 1_202
    assert list(store.read(1)) == records
    assert list(store.read(0)) == records
    assert list(store.read(700)) == records[699:]
    assert list(store.read(1_203)) == []


def test_appending_nothing_changes_nothing(harness: Harness) -> None:
    """An empty append is allowed and writes nothing."""
    harness.store.append([])
    assert harness.store.last_sequence == 0


@pytest.mark.parametrize("sequences", [[2], [0], [1, 3], [1, 1], [-1]])
def test_a_gap_in_the_sequence_is_refused_and_nothing_written(
    harness: Harness, sequences: list[int]
) -> None:
    """Sequences are contiguous; a caller's mistake writes nothing and poisons nothing (S12.1)."""
    with pytest.raises(StoreSequenceError):
        harness.store.append([(sequence, b"x") for sequence in sequences])
    assert harness.store.last_sequence == 0
    harness.store.append([(1, b"x")])
    assert list(harness.store.read(1)) == [(1, b"x")]


def test_a_record_has_a_bound(harness: Harness) -> None:
    """A record at the bound is taken, one byte past it is refused."""
    harness.store.append([(1, bytes(RECORD_BYTES_MAX))])
    with pytest.raises(StoreLimitError):
        harness.store.append([(2, bytes(RECORD_BYTES_MAX + 1))])
    assert harness.store.last_sequence == 1


def test_the_chain_covers_every_record(harness: Harness) -> None:
    """The chain's hash is that of all records in order, and the same after a restart (S12.4)."""
    expected = EMPTY_CHAIN_HASH
    for sequence, record in [(1, b"a"), (2, b""), (3, b"c")]:
        expected = chain_hash_after(expected, sequence, record)
    harness.store.append([(1, b"a")])
    harness.store.append([(2, b""), (3, b"c")])
    assert harness.store.chain_hash == expected
    assert harness.die().chain_hash == expected


def test_what_was_appended_survives_the_death_of_the_process(harness: Harness) -> None:
    """An appended record is process-durable: there after a kill -9, never synced (S12.1)."""
    harness.store.append([(1, b"a"), (2, b"b")])
    store_id = harness.store.store_id
    found = harness.die()
    assert list(found.read(1)) == [(1, b"a"), (2, b"b")]
    assert found.store_id == store_id
    assert not found.is_new
    assert found.durable_sequence == 2
    found.append([(3, b"c")])
    assert found.last_sequence == 3


async def test_sync_makes_power_durable(harness: Harness) -> None:
    """After sync(n), durable_sequence covers n; asking again needs no disk (S12.1)."""
    harness.store.append([(1, b"a"), (2, b"b")])
    assert harness.store.durable_sequence == 0
    await harness.store.sync(2)
    assert harness.store.durable_sequence == 2
    await harness.store.sync(1)
    assert harness.syncs_count() == 1


async def test_concurrent_callers_share_one_sync(harness: Harness) -> None:
    """A hundred who wait at once are served by one disk sync (S12.2)."""
    harness.store.append([(sequence, b"x") for sequence in range(1, 101)])
    await asyncio.gather(*(harness.store.sync(sequence) for sequence in range(1, 101)))
    assert harness.syncs_count() == 1


async def test_a_sync_covers_nothing_written_after_it_began(harness: Harness) -> None:
    """Who appends while a sync runs waits for the next one (S12.2)."""
    harness.hold_syncs()
    harness.store.append([(1, b"a")])
    first = asyncio.create_task(harness.store.sync(1))
    await begun(harness, 1)
    harness.store.append([(2, b"b")])
    joins = asyncio.create_task(harness.store.sync(1))
    second = asyncio.create_task(harness.store.sync(2))
    await asyncio.sleep(0)
    assert not first.done()
    harness.release_syncs()
    assert await outcomes(first, joins, second) == [None, None, None]
    assert harness.store.durable_sequence == 2
    assert harness.syncs_count() == 2


async def test_cancelling_one_waiter_harms_no_other(harness: Harness) -> None:
    """A handler cancelled at its client's deadline takes nobody's sync with it (S12.2)."""
    harness.hold_syncs()
    harness.store.append([(1, b"a")])
    waiters = [asyncio.create_task(harness.store.sync(1)) for _ in range(3)]
    await begun(harness, 1)
    waiters[0].cancel()
    waiters[2].cancel()
    await asyncio.sleep(0)
    harness.release_syncs()
    ended = await outcomes(*waiters)
    assert isinstance(ended[0], asyncio.CancelledError)
    assert ended[1] is None
    assert harness.store.durable_sequence == 1
    assert harness.store.poisoned is None


async def test_a_failed_sync_poisons_every_waiter_and_is_final(harness: Harness) -> None:
    """After one failed sync no write and no sync succeeds again, on a healthy disk too (S12.3)."""
    harness.hold_syncs()
    harness.fail_next_sync()
    harness.store.append([(1, b"a")])
    first = asyncio.create_task(harness.store.sync(1))
    await begun(harness, 1)
    harness.store.append([(2, b"b")])
    second = asyncio.create_task(harness.store.sync(2))
    await asyncio.sleep(0)
    harness.release_syncs()
    ended = await outcomes(first, second)
    assert all(isinstance(error, StorePoisonedError) for error in ended)
    assert harness.store.durable_sequence == 0
    assert "nput/output error" in str(harness.store.poisoned)
    with pytest.raises(StorePoisonedError):
        harness.store.append([(3, b"c")])
    with pytest.raises(StorePoisonedError):
        await harness.store.sync(1)
    with pytest.raises(StorePoisonedError):
        await harness.store.flush()
    with pytest.raises(StorePoisonedError):
        await harness.store.write_snapshot(1, b"state")
    with pytest.raises(StorePoisonedError):
        await harness.store.remember_nonce("n", expires_at_ns=2, now_ns=1)
    with pytest.raises(StorePoisonedError):
        harness.store.meta_set("key", "value")
    assert harness.syncs_count() == 1


async def test_a_failed_append_poisons_and_moves_nothing(harness: Harness) -> None:
    """A refused write leaves last_sequence where it was, and poisons the store (S12.3)."""
    harness.store.append([(1, b"a")])
    harness.fail_next_append()
    with pytest.raises(StorePoisonedError):
        harness.store.append([(2, b"b"), (3, b"c")])
    assert harness.store.last_sequence == 1
    assert str(harness.store.poisoned).startswith("append failed")
    with pytest.raises(StorePoisonedError):
        harness.store.append([(2, b"b")])
    assert list(harness.store.read(1)) == [(1, b"a")]


async def test_a_waiter_learns_of_an_append_that_poisons(harness: Harness) -> None:
    """Who waits for a sync hears at once when a later append poisons the store (S12.3)."""
    harness.hold_syncs()
    harness.store.append([(1, b"a")])
    waiter = asyncio.create_task(harness.store.sync(1))
    await begun(harness, 1)
    harness.fail_next_append()
    with pytest.raises(StorePoisonedError):
        harness.store.append([(2, b"b")])
    (ended,) = await outcomes(waiter)
    assert isinstance(ended, StorePoisonedError)
    harness.release_syncs()


async def test_a_requested_sync_happens_by_itself(harness: Harness) -> None:
    """What request_sync announced becomes power-durable with nobody waiting for it (S12.1)."""
    harness.store.append([(1, b"a")])
    harness.store.request_sync()
    harness.store.append([(2, b"b")])
    harness.store.request_sync()
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while harness.store.durable_sequence < 2:  # noqa: ASYNC110 - nobody is told, by design
            await asyncio.sleep(0.001)
    assert harness.syncs_count() == 1


async def test_a_snapshot_is_kept_with_its_sequence(harness: Harness) -> None:
    """The newest snapshot is the one returned, also after the process died (S12.5)."""
    harness.store.append([(1, b"a"), (2, b"b")])
    await harness.store.write_snapshot(1, b"state after 1")
    await harness.store.write_snapshot(2, b"state after 2")
    assert harness.store.latest_snapshot() == (2, b"state after 2")
    assert harness.die().latest_snapshot() == (2, b"state after 2")


async def test_a_snapshot_is_never_ahead_of_the_durable_journal(harness: Harness) -> None:
    """The records a snapshot stands for are power-durable before it is (S12.5)."""
    harness.store.append([(1, b"a")])
    await harness.store.write_snapshot(1, b"state")
    assert harness.store.durable_sequence == 1


async def test_a_bad_snapshot_falls_back_to_the_one_before(harness: Harness) -> None:
    """A snapshot whose checksum fails is skipped and said so; the previous one serves (S12.5)."""
    harness.store.append([(1, b"a"), (2, b"b"), (3, b"c")])
    for sequence in (1, 2, 3):
        await harness.store.write_snapshot(sequence, f"state {sequence}".encode())
    harness.damage_latest_snapshot()
    found = harness.die()
    assert found.latest_snapshot() == (2, b"state 2")
    assert any("snapshot" in note and "damaged" in note for note in found.notes)
    assert found.facts.damage is None


async def test_a_snapshot_that_cannot_be_written_harms_nothing(harness: Harness) -> None:
    """A full disk refuses a snapshot; the previous one and the journal stay (S12.5)."""
    harness.store.append([(1, b"a"), (2, b"b")])
    await harness.store.write_snapshot(1, b"state 1")
    harness.fail_next_snapshot()
    with pytest.raises(StoreSnapshotError):
        await harness.store.write_snapshot(2, b"state 2")
    assert harness.store.poisoned is None
    assert harness.store.latest_snapshot() == (1, b"state 1")
    harness.store.append([(3, b"c")])


async def test_a_nonce_is_accepted_once(harness: Harness) -> None:
    """A nonce seen before is refused, also after the process died (S11)."""
    assert await harness.store.remember_nonce("one", expires_at_ns=100, now_ns=1)
    assert not await harness.store.remember_nonce("one", expires_at_ns=100, now_ns=2)
    assert harness.syncs_count() == 1
    found = harness.die()
    assert not await found.remember_nonce("one", expires_at_ns=100, now_ns=100)


async def test_of_two_at_once_with_one_nonce_one_wins(harness: Harness) -> None:
    """A replay racing the original is refused before either is durable (S11)."""
    answers = await asyncio.gather(
        *(harness.store.remember_nonce("one", expires_at_ns=9, now_ns=1) for _ in range(5))
    )
    assert sorted(answers) == [False, False, False, False, True]


async def test_an_expired_nonce_is_forgotten(harness: Harness) -> None:
    """At its expiry a nonce is remembered still, one past it is forgotten (S11)."""
    assert await harness.store.remember_nonce("one", expires_at_ns=100, now_ns=1)
    assert not await harness.store.remember_nonce("one", expires_at_ns=200, now_ns=100)
    assert await harness.store.remember_nonce("one", expires_at_ns=200, now_ns=101)


async def test_nonces_have_a_bound(harness: Harness) -> None:
    """At the bound another nonce is refused, not an old one forgotten; expiry makes room (S11)."""
    for index in range(NONCES_COUNT_MAX):
        assert await harness.store.remember_nonce(f"n{index}", expires_at_ns=100, now_ns=1)
    with pytest.raises(StoreLimitError):
        await harness.store.remember_nonce("late", expires_at_ns=100, now_ns=1)
    assert harness.store.poisoned is None
    assert await harness.store.remember_nonce("late", expires_at_ns=300, now_ns=101)


async def test_a_nonce_whose_sync_fails_is_not_accepted(harness: Harness) -> None:
    """True means power-durable; a failed sync gives no answer and a poisoned store (S11, S12.3)."""
    harness.fail_next_sync()
    with pytest.raises(StorePoisonedError):
        await harness.store.remember_nonce("one", expires_at_ns=100, now_ns=1)


async def test_named_values_are_kept(harness: Harness) -> None:
    """A named value is read back, replaced, and survives the death of the process."""
    assert harness.store.meta_get("config_hash") is None
    harness.store.meta_set("config_hash", "a")
    harness.store.meta_set("config_hash", "b")
    assert harness.store.meta_get("config_hash") == "b"
    await harness.store.flush()
    assert harness.die().meta_get("config_hash") == "b"


def test_a_clean_stop_starts_clean(harness: Harness) -> None:
    """After a clean stop the next start is CLEAN, also on another boot (S12.4)."""
    harness.store.append([(1, b"a")])
    harness.store.close(clean=True)
    found = harness.reopen(boot_id=OTHER_BOOT)
    assert classify(found.facts) is RecoveryKind.CLEAN
    assert found.last_sequence == 1


def test_a_clean_stop_counts_once(harness: Harness) -> None:
    """A clean stop says nothing about the run after it (S12.4)."""
    harness.store.close(clean=True)
    harness.reopen()
    assert classify(harness.die(boot_id=OTHER_BOOT).facts) is RecoveryKind.RECONCILE


def test_a_stop_that_was_not_drained_is_recovered(harness: Harness) -> None:
    """A store closed without a clean stop starts RECOVERED on the same boot (S12.4)."""
    harness.store.append([(1, b"a")])
    harness.store.close(clean=False)
    assert classify(harness.reopen().facts) is RecoveryKind.RECOVERED


def test_the_death_of_the_process_alone_is_recovered(harness: Harness) -> None:
    """A crash of the process alone loses nothing, so trading goes on (S12.4)."""
    harness.store.append([(1, b"a")])
    assert classify(harness.die().facts) is RecoveryKind.RECOVERED


async def test_a_reboot_without_a_clean_stop_owes_a_reconcile_until_settled(
    harness: Harness,
) -> None:
    """After a reboot RECONCILE is owed, over restarts too, until it is settled (S12.4)."""
    harness.store.append([(1, b"a")])
    found = harness.die(boot_id=OTHER_BOOT)
    assert classify(found.facts) is RecoveryKind.RECONCILE
    assert not found.facts.was_poisoned
    assert classify(harness.die(boot_id=OTHER_BOOT).facts) is RecoveryKind.RECONCILE
    harness.store.close(clean=True)
    found = harness.reopen(boot_id=OTHER_BOOT)
    assert classify(found.facts) is RecoveryKind.RECONCILE
    await found.settle_recovery()
    found = harness.die(boot_id=OTHER_BOOT)
    assert classify(found.facts) is RecoveryKind.RECOVERED


async def test_a_poisoned_store_owes_a_reconcile_until_settled(harness: Harness) -> None:
    """A start on a store that had been poisoned reconciles, reducing orders included (S12.4)."""
    harness.store.append([(1, b"a")])
    harness.fail_next_sync()
    with pytest.raises(StorePoisonedError):
        await harness.store.sync(1)
    harness.store.close(clean=True)
    found = harness.reopen()
    assert not found.facts.was_clean_stop
    assert found.facts.was_poisoned
    assert classify(found.facts) is RecoveryKind.RECONCILE
    assert found.poisoned is None
    found.close(clean=True)
    found = harness.reopen()
    assert found.facts.was_poisoned
    await found.settle_recovery()
    found = harness.die()
    assert not found.facts.was_poisoned
    assert classify(found.facts) is RecoveryKind.RECOVERED


async def test_damage_before_the_tail_is_a_fact_of_the_start(harness: Harness) -> None:
    """A changed record is named by sequence; what lies before is read, nothing written (S12.4)."""
    harness.store.append([(sequence, b"record") for sequence in range(1, 11)])
    harness.store.close(clean=True)
    harness.damage_record(4)
    found = harness.reopen()
    assert classify(found.facts) is RecoveryKind.DAMAGED
    assert found.facts.damage is not None
    assert found.facts.damage.sequence == 4
    assert "backup" in found.facts.damage.way_out
    assert list(found.read(1)) == [(sequence, b"record") for sequence in (1, 2, 3)]
    assert "sequence 4" in str(found.poisoned)
    with pytest.raises(StorePoisonedError):
        found.append([(4, b"again")])
    with pytest.raises(StorePoisonedError):
        await found.sync(1)
    found.close(clean=True)
    assert classify(harness.reopen().facts) is RecoveryKind.DAMAGED


def test_damage_that_comes_later_is_met_by_the_reader(harness: Harness) -> None:
    """A record changed under a running store raises where it is read, not before (S12.4)."""
    harness.store.append([(1, b"a"), (2, b"b"), (3, b"c")])
    harness.damage_record(2)
    reader = harness.store.read(1)
    assert next(reader) == (1, b"a")
    with pytest.raises(StoreDamagedError) as raised:
        next(reader)
    assert raised.value.sequence == 2


async def test_a_closed_store_refuses(harness: Harness) -> None:
    """After close nothing is written, and a second close does nothing."""
    harness.store.append([(1, b"a")])
    harness.store.close(clean=True)
    harness.store.close(clean=False)
    with pytest.raises(StoreClosedError):
        harness.store.append([(2, b"b")])
    with pytest.raises(StoreClosedError):
        await harness.store.sync(1)
    assert classify(harness.reopen().facts) is RecoveryKind.CLEAN


async def test_closing_releases_who_waits(harness: Harness) -> None:
    """A clean close makes power-durable, so those who wait for that are answered (S12.1)."""
    harness.store.append([(1, b"a")])
    waiter = asyncio.create_task(harness.store.sync(1))
    await asyncio.sleep(0)
    harness.store.close(clean=True)
    assert await outcomes(waiter) == [None]
    assert harness.store.durable_sequence == 1


def test_free_space_is_told(harness: Harness) -> None:
    """The free bytes of the store's disk are a number the service can compare (S4.2)."""
    free_bytes = harness.store.free_bytes()
    assert free_bytes is not None
    assert free_bytes > 0
