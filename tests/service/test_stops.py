"""Kills through the service: in memory first, durable before the answer, never waiting (S10)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sidecar.core.answers import TradingMode
from sidecar.core.commands import KillMode, TriggerKill
from sidecar.core.denial import CallRefused
from sidecar.service import Service
from sidecar.service.opening import open_state
from sidecar.service.watch import TRIGGERED_BY
from sidecar.store.memory_store import MemoryStore
from tests.service.harness import (
    BOT,
    OBSERVER,
    OPERATOR,
    WAIT_SECONDS,
    a_kill,
    a_reset,
    an_order,
    kinds_of,
    records_of,
    running,
    turns,
    until,
)


def is_halted(service: Service) -> bool:
    """Say whether the kill switch halts everything."""
    return service.status().view.mode is TradingMode.HALTED


async def test_after_a_kill_is_acknowledged_nothing_is_approved(tmp_path: Path) -> None:
    """Many callers hammer; no order sent after the acknowledgement is approved (S4.7)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        acknowledged = asyncio.Event()
        approved_after = 0

        async def hammer(number: int) -> None:
            nonlocal approved_after
            for count in range(40):
                was_acknowledged = acknowledged.is_set()
                order = an_order(f"order-{number}-{count}")
                decision = await service.check_order(order, BOT)
                approved_after += was_acknowledged and decision.is_approved
                await asyncio.sleep(0)

        hammers = [asyncio.create_task(hammer(number)) for number in range(20)]
        await turns(3)
        assert (await service.trigger_kill(a_kill(), BOT)).durable
        acknowledged.set()
        await asyncio.gather(*hammers)
        assert approved_after == 0
        records = records_of(store)
        killed_at = next(r.sequence for r in records if r.kind == "TriggerKill")
        later = [type(e).__name__ for r in records if r.sequence > killed_at for e in r.events]
        assert "OrderApproved" not in later
        assert "OrderDenied" in later


async def test_a_kill_holds_before_the_disk_has_answered(tmp_path: Path) -> None:
    """In memory first, then power-durable, then acknowledged (S10.2)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        store.hold_syncs()
        killing = asyncio.create_task(service.trigger_kill(a_kill(), BOT))
        await turns()
        assert not killing.done()
        assert is_halted(service)
        assert not (await service.check_order(an_order(), BOT)).is_approved
        store.release_syncs()
        assert (await killing).durable


async def test_an_acknowledged_kill_survives_the_loss_of_power(tmp_path: Path) -> None:
    """Across a power cut at the instant behind the acknowledgement (S4.7, S12.1)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.trigger_kill(a_kill(), BOT)
        found = open_state(store.crash(is_power_lost=True)).state
        assert found.activations["ALL"].mode is KillMode.HALT


@pytest.mark.parametrize("fault", ["append", "sync"])
async def test_a_kill_holds_where_the_disk_refuses_and_says_so(tmp_path: Path, fault: str) -> None:
    """Durable = false, the store is poisoned, trading is stopped all the same (S10.2)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        if fault == "append":
            store.fail_next_append()
        else:
            store.fail_next_sync()
        answer = await service.trigger_kill(a_kill(), BOT)
        assert not answer.durable
        assert is_halted(service)
        assert not service.is_ready
        again = await service.trigger_kill(a_kill(), BOT)
        assert again.already_active
        assert not again.durable


async def test_a_cancelled_trigger_stops_all_the_same(tmp_path: Path) -> None:
    """A person who presses and goes away has stopped trading, durably."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        store.hold_syncs()
        killing = asyncio.create_task(service.trigger_kill(a_kill(), BOT))
        await turns()
        killing.cancel()
        await asyncio.wait((killing,))
        store.release_syncs()
        assert is_halted(service)
        await until(lambda: store.durable_sequence == store.last_sequence)


async def test_of_ten_concurrent_triggers_exactly_one_activates(tmp_path: Path) -> None:
    """Same scope, same mode: one activation, nine attempts, all durable (S10.1)."""
    async with running(MemoryStore(), tmp_path) as service:
        answers = await asyncio.gather(*(service.trigger_kill(a_kill(), BOT) for _ in range(10)))
        assert [answer.already_active for answer in answers].count(False) == 1
        assert {answer.activation.epoch for answer in answers} == {1}
        assert service.status().view.activations[0].attempts == 10
        assert all(answer.durable for answer in answers)


async def test_anyone_may_stop(tmp_path: Path) -> None:
    """An observer without any proof stops trading (S1.1)."""
    async with running(MemoryStore(), tmp_path) as service:
        assert not (await service.trigger_kill(TriggerKill(), OBSERVER)).already_active
        assert is_halted(service)


async def test_the_journal_names_who_stopped(tmp_path: Path) -> None:
    """A record holds role, peer and the name given (S13)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.trigger_kill(a_kill(), BOT)
        record = records_of(store)[-1]
        assert (record.kind, record.actor.role, record.actor.peer, record.actor.name) == (
            "TriggerKill",
            "BOT",
            "unix:",
            "momentum",
        )
        assert record.config_hash == "hash-1"


async def test_a_kill_is_told_to_whoever_waits_for_changes(tmp_path: Path) -> None:
    """A stop moves the revision, so that streams carry it (S14)."""
    async with running(MemoryStore(), tmp_path) as service:
        waiting = asyncio.create_task(service.wait_changed(service.revision, WAIT_SECONDS))
        await turns()
        await service.trigger_kill(a_kill(), BOT)
        assert await waiting <= service.revision
        assert service.stop_epoch == 1


# The KILL file.


async def test_a_kill_file_stops_at_once(tmp_path: Path) -> None:
    """It becomes an ordinary activation, ALL and HALT, by `KILL file` (S10.4)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        (tmp_path / "KILL").touch()
        await until(lambda: is_halted(service))
        activation = service.status().view.activations[0]
        assert activation.mode is KillMode.HALT
        assert activation.triggered_by == TRIGGERED_BY
        assert str(tmp_path / "KILL") in activation.reason
        await until(lambda: store.durable_sequence == store.last_sequence)


async def test_a_kill_file_is_looked_for_at_start(tmp_path: Path) -> None:
    """A sidecar that starts beside a KILL file starts stopped (S10.4)."""
    (tmp_path / "KILL").touch()
    async with running(MemoryStore(), tmp_path) as service:
        assert is_halted(service)
        assert not (await service.check_order(an_order(), BOT)).is_approved


async def test_a_kill_file_is_journalled_once_per_appearance(tmp_path: Path) -> None:
    """Ten looks a second are not ten records a second; removing it ends nothing (S10.4)."""
    store = MemoryStore()
    path = tmp_path / "KILL"
    path.touch()
    async with running(store, tmp_path) as service:
        for _ in range(3):
            path.unlink(missing_ok=True)
            await until(lambda: not service.status().kill_file_problem)
            assert is_halted(service)
            path.touch()
            await until(lambda: service.status().kill_file_problem)
        assert kinds_of(store).count("TriggerKill") == 1


async def test_a_kill_file_after_another_kill_is_an_attempt(tmp_path: Path) -> None:
    """The kill of a person stays theirs, and the file is noted beside it (S10.1)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.trigger_kill(a_kill(), BOT)
        (tmp_path / "KILL").touch()
        await until(lambda: service.status().view.activations[0].attempts == 2)
        assert service.status().view.activations[0].triggered_by == "alice"
        assert service.stop_epoch == 1


async def test_a_kill_file_makes_a_milder_kill_a_halt(tmp_path: Path) -> None:
    """It always halts (S10.4)."""
    async with running(MemoryStore(), tmp_path) as service:
        await service.trigger_kill(a_kill(KillMode.REDUCE_ONLY), BOT)
        (tmp_path / "KILL").touch()
        await until(lambda: is_halted(service))


@pytest.mark.parametrize("is_readable", [True, False])
async def test_no_reset_succeeds_while_the_kill_file_is_there(
    tmp_path: Path, *, is_readable: bool
) -> None:
    """The refusal names it, also where the directory cannot be read (S10.4)."""
    directory = tmp_path / "data"
    directory.mkdir()
    async with running(MemoryStore(), directory) as service:
        await service.trigger_kill(a_kill(), BOT)
        path = directory / "KILL"
        if is_readable:
            path.touch()
        else:
            directory.rmdir()
        with pytest.raises(CallRefused) as caught:
            await service.reset_kill(a_reset(), OPERATOR)
        assert caught.value.reason == "KILL_FILE_PRESENT"
        assert str(path) in caught.value.message
        if is_readable:
            path.unlink()
        else:
            directory.mkdir()
        assert (await service.reset_kill(a_reset(), OPERATOR)).changed
