"""S12.6 at the service: folds are written in time, before a start and before a stop."""

import asyncio
from pathlib import Path

from sidecar.clock import SECOND_NS, ManualClock
from sidecar.core import events, folding
from sidecar.service import Service
from sidecar.store.memory_store import MemoryStore
from tests.service.harness import (
    BOT,
    OPERATOR,
    a_kill,
    a_reset,
    an_order,
    kinds_of,
    records_of,
    running,
    until,
)
from tests.service.reloading import NOW, TIGHTER, File, hash_of, reloading

COUNT = folding.SINGLES_PER_SECOND + 40


async def deny(service: Service) -> None:
    """Ask about orders alike while everything is stopped."""
    await service.trigger_kill(a_kill(), BOT)
    orders = [an_order(f"order-{at}") for at in range(COUNT)]
    answers = await asyncio.gather(*(service.check_order(order, BOT) for order in orders))
    assert not any(answer.is_approved for answer in answers)
    assert {answer.sequence for answer in answers[folding.SINGLES_PER_SECOND :]} == {
        answers[folding.SINGLES_PER_SECOND - 1].sequence
    }


def folded_in(store: MemoryStore) -> list[int]:
    """Return the counts of the folds in the journal."""
    return [
        fold.count
        for record in records_of(store)
        for event in record.events
        if isinstance(event, events.DenialsFolded)
        for fold in event.folds
    ]


async def test_a_fold_is_written_when_its_second_is_over(tmp_path: Path) -> None:
    """Without anybody calling: the beat does what is due."""
    store, clock = MemoryStore(), ManualClock()
    async with running(store, tmp_path, clock=clock) as service:
        await deny(service)
        assert kinds_of(store).count("CheckOrder") == folding.SINGLES_PER_SECOND
        assert folded_in(store) == []
        clock.advance(SECOND_NS)
        await until(lambda: folded_in(store) == [40])
        assert kinds_of(store)[-1] == "Tick"


async def test_a_fold_is_written_before_a_stop(tmp_path: Path) -> None:
    """A clean stop leaves nothing unsaid, and the next start goes on from the same state."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await deny(service)
        denied = service.status().view.decisions_denied
    assert folded_in(store) == [40]
    async with running(store, tmp_path) as service:
        assert service.status().view.decisions_denied == denied == COUNT


async def test_a_fold_is_written_before_a_start(tmp_path: Path) -> None:
    """S10.3: a reset is decided on what the journal says."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await deny(service)
        assert (await service.reset_kill(a_reset(), OPERATOR)).changed
        assert folded_in(store) == [40]
        assert kinds_of(store)[-2:] == ["Fold", "ResetKill"]


async def test_a_fold_ahead_of_a_reload_does_not_hide_its_hash(tmp_path: Path) -> None:
    """The record that puts a configuration in force says so, whatever stands at its head (S13)."""
    store, file = MemoryStore(), File()
    async with reloading(store, tmp_path, file) as service:
        await deny(service)
        file.text = TIGHTER
        await service.reloads.reload(NOW, BOT)
    record = next(record for record in records_of(store) if record.kind == "ReloadConfig")
    assert [type(event) for event in record.events] == [
        events.DenialsFolded,
        events.ConfigurationApplied,
    ]
    assert record.config_hash == hash_of(TIGHTER)


async def test_repeated_kills_are_durable_without_a_record_each(tmp_path: Path) -> None:
    """S10.2, S12.6: what is in force is durable, so its repetition is answered as durable."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        answers = [await service.trigger_kill(a_kill(), BOT) for _ in range(COUNT + 1)]
        assert all(answer.durable for answer in answers)
        assert answers[-1].activation.attempts == COUNT + 1
        assert kinds_of(store).count("TriggerKill") == 1 + folding.SINGLES_PER_SECOND
    kills = [
        fold.count
        for record in records_of(store)
        for event in record.events
        if isinstance(event, events.KillsFolded)
        for fold in event.folds
    ]
    assert kills == [40]
