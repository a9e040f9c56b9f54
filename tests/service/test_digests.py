"""What was signed is remembered with the stop and before the start, and holds nothing up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sidecar.core.commands import TriggerKill
from sidecar.core.denial import CallRefused
from sidecar.service.digests import USED_BEFORE, SignedDigest
from sidecar.store.memory_store import MemoryStore
from tests.service.harness import BOT, a_kill, running, turns

SIGNED = SignedDigest(value=b"s" * 32, key="k1")


async def test_a_stop_holds_before_its_digest_is_durable(tmp_path: Path) -> None:
    """In memory first (S10.2): the disk may take as long as it likes."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        store.hold_syncs()
        stopping = asyncio.create_task(service.trigger_kill(a_kill(), BOT, SIGNED))
        await turns(1)
        assert service.status().view.activations
        assert store.digests_count == 1
        await turns()
        assert not stopping.done()
        store.release_syncs()
        assert (await stopping).durable
    left = store.reopen()
    assert left.digests_count == 1


async def test_a_folded_attempt_is_acknowledged_with_its_digest_durable(tmp_path: Path) -> None:
    """The eleventh attempt in a second leaves no record: its digest waits for a sync of its own."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        for number in range(15):
            signed = SignedDigest(value=bytes([number]) * 32, key="k1")
            command = TriggerKill(reason="again", triggered_by="ann")
            assert (await service.trigger_kill(command, BOT, signed)).durable
            left = store._power_durable.digests.count_all()  # noqa: SLF001 - what a power cut leaves
            assert left == number + 1


async def test_a_store_that_refuses_fails_no_stop(tmp_path: Path) -> None:
    """The stop says that it is not durable, and no start is taken then."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        store.fail_next_sync()
        assert not (await service.trigger_kill(a_kill(), BOT, SIGNED)).durable
        assert not (await service.trigger_kill(a_kill(), BOT, SIGNED)).durable
        assert service.status().view.activations
        with pytest.raises(CallRefused) as refused:
            await service.digests.use_up(SignedDigest(value=b"o" * 32, key="k1"))
        assert refused.value.reason == "SIGNATURE_UNREMEMBERED"


async def test_what_starts_is_durable_before_it_may(tmp_path: Path) -> None:
    """`use_up` returns when a power cut cannot undo it."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        store.hold_syncs()
        using = asyncio.create_task(service.digests.use_up(SIGNED))
        await turns()
        assert not using.done()
        store.release_syncs()
        await using
        with pytest.raises(CallRefused) as refused:
            await service.digests.use_up(SIGNED)
        assert refused.value.message == USED_BEFORE


async def test_a_sync_that_fails_gives_no_start(tmp_path: Path) -> None:
    """Written and not durable is not remembered."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        store.fail_next_sync()
        with pytest.raises(CallRefused) as refused:
            await service.digests.use_up(SIGNED)
        assert refused.value.reason == "SIGNATURE_UNREMEMBERED"


async def test_what_stopped_starts_nothing(tmp_path: Path) -> None:
    """Whatever order they come in."""
    async with running(MemoryStore(), tmp_path) as service:
        await service.trigger_kill(a_kill(), BOT, SIGNED)
        with pytest.raises(CallRefused) as refused:
            await service.digests.use_up(SIGNED)
        assert refused.value.reason == "SIGNED_FOR_A_TRIGGER"


async def test_at_the_bound_the_way_out_is_told_and_stops_go_on(tmp_path: Path) -> None:
    """Rotate the secret; a stop is never refused."""
    store = MemoryStore(digests_count_max=1)
    async with running(store, tmp_path) as service:
        service.digests.keys_in_use = frozenset({"k1"})
        await service.trigger_kill(a_kill(), BOT, SIGNED)
        other = SignedDigest(value=b"o" * 32, key="k1")
        assert (await service.trigger_kill(a_kill(), BOT, other)).durable
        with pytest.raises(CallRefused) as refused:
            await service.digests.use_up(SignedDigest(value=b"p" * 32, key="k1"))
        assert refused.value.reason == "DIGESTS_FULL"
        assert "rotate the secret" in refused.value.message
        fresh = SignedDigest(value=b"q" * 32, key="k1", expires_at_ns=2**62)
        await service.digests.use_up(fresh)
