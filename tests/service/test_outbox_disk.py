"""What is told where the disk refuses, the journal is damaged, or the books are."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sidecar.config.outgoing_sections import TransitionType
from sidecar.core.answers import RecoveryState
from sidecar.core.commands import AcceptRecovery
from sidecar.core.denial import CallRefused
from sidecar.core.events import RecoveryEntered
from sidecar.service import outbox
from sidecar.service.records import encode_record
from sidecar.store.errors import StoreDamagedError
from sidecar.store.memory_store import MemoryStore
from sidecar.store.merkle_tree import JournalBase
from sidecar.store.store import ChainedRecord
from tests.service.harness import (
    BOT,
    OPERATOR,
    a_kill,
    a_reset,
    holding,
    records_of,
    turns,
    until,
)
from tests.service.outbox_life import (
    KILLED,
    POISONED,
    RESET,
    a_kill_of,
    life,
)


async def test_a_kill_that_the_disk_refuses_is_told_as_not_durable(tmp_path: Path) -> None:
    """It holds, so it is told; and so is the store, once."""
    store = MemoryStore()
    async with life(store, tmp_path) as lived:
        await lived.tell_all()
        store.fail_next_append()
        answer = await lived.service.trigger_kill(a_kill(), BOT)
        assert not answer.durable
        await lived.tell(2)
        await lived.service.trigger_kill(a_kill_of("s"), BOT)
        await lived.tell(3)
    assert lived.kinds == [KILLED, POISONED, KILLED]
    assert [is_durable for _, is_durable in lived.told] == [False, False, False]
    assert "no space left" in getattr(lived.told[1][0].event, "why", "")


async def test_a_store_poisoned_in_the_background_is_told_without_any_call(tmp_path: Path) -> None:
    """Nobody has to ask for an order first."""
    store = MemoryStore()
    async with life(store, tmp_path, kinds=frozenset({POISONED})) as lived:
        store.poison("the disk is gone")
        await lived.tell(1)
    assert lived.kinds == [POISONED]


async def test_a_start_on_a_store_that_had_been_poisoned_is_told_to_who_asked_for_that(
    tmp_path: Path,
) -> None:
    """Once, as the recovery it is: the process that met the bad disk may never have told it."""
    store = MemoryStore()
    async with life(store, tmp_path) as lived:
        store.poison("the disk is gone")
        left = store.crash(is_power_lost=False)
        del lived
    async with life(left, tmp_path, kinds=frozenset({POISONED})) as again:
        await again.tell_all()
    assert again.kinds == [TransitionType.RECOVERY_ENTERED]
    event = again.told[0][0].event
    assert isinstance(event, RecoveryEntered)
    assert event.denies_reducing


async def test_an_ordinary_start_tells_nothing(tmp_path: Path) -> None:
    """A clean one and one after a crash stop nothing; a recovery that does is told, and its end."""
    store = MemoryStore()
    async with life(store, tmp_path) as first:
        await first.tell_all()
        left = store.crash(is_power_lost=False)
    async with life(left, tmp_path) as second:
        await second.tell_all()
        left = left.crash(is_power_lost=True)
    assert first.kinds == second.kinds == []
    async with life(left, tmp_path) as third:
        accept = AcceptRecovery(accepted_by="alice", reason="compared")
        await third.service.accept_recovery(accept, OPERATOR)
        await third.tell_all()
    assert third.kinds == [TransitionType.RECOVERY_ENTERED, TransitionType.RECOVERY_ENDED]


async def test_a_recovery_that_a_complete_report_ends_is_told_as_ended(tmp_path: Path) -> None:
    """The usual way out is the bot's, and the next report ends nothing more."""
    store = MemoryStore()
    async with life(store, tmp_path) as lived:
        left = store.crash(is_power_lost=True)
        del lived
    async with life(left, tmp_path) as again:
        for report_id in ("r-1", "r-2"):
            await again.service.report_account(holding(again.service, report_id), BOT)
        await again.tell_all()
        state = again.service.status().view.recovery
    assert again.kinds == [TransitionType.RECOVERY_ENTERED, TransitionType.RECOVERY_ENDED]
    assert (state.state, state.way_out) == (RecoveryState.RECOVERED, "")
    assert state.detail.endswith("reconciled by account report r-1")


async def test_a_reset_that_the_disk_refuses_is_never_told(tmp_path: Path) -> None:
    """Trading has not started again; the next kill, under the same sequence, is told."""
    store = MemoryStore()
    async with life(store, tmp_path) as lived:
        await lived.service.trigger_kill(a_kill(), BOT)
        await lived.tell_all()
        store.fail_next_sync()
        with pytest.raises(CallRefused):
            await lived.service.reset_kill(a_reset(), OPERATOR)
        await lived.service.trigger_kill(a_kill_of("s"), BOT)
        await lived.tell(3)
        assert lived.feed.pending_count == 0
    assert lived.kinds[0] == KILLED
    assert set(lived.kinds[1:]) == {POISONED, KILLED}
    assert RESET not in lived.kinds


async def test_a_reset_that_a_kill_overtook_and_the_disk_refused_is_not_told(
    tmp_path: Path,
) -> None:
    """It was effective for no time at all; the stops around it are told, as not durable."""
    store = MemoryStore()
    async with life(store, tmp_path) as lived:
        service = lived.service
        await service.trigger_kill(a_kill(), BOT)
        await lived.tell_all()
        store.hold_syncs()
        store.fail_next_sync()
        reset = asyncio.create_task(service.reset_kill(a_reset(), OPERATOR))
        await turns()
        kill = asyncio.create_task(service.trigger_kill(a_kill(), BOT))
        await turns()
        store.release_syncs()
        await asyncio.gather(reset, kill, return_exceptions=True)
        await lived.tell(3)
        assert lived.feed.pending_count == 0
    assert lived.kinds == [KILLED, KILLED, POISONED]


async def test_what_no_journal_holds_is_bounded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the store refuses, the oldest are told and how many were left out is known."""
    monkeypatch.setattr(outbox, "SEEN_COUNT_MAX", 5)
    store = MemoryStore()
    async with life(store, tmp_path) as lived:
        service = lived.service
        for at in range(7):
            await service.trigger_kill(a_kill_of(f"a{at}", f"a{at}"), BOT)
        store.poison("the disk is gone")
        await until(lambda: service.outbox.seen[-1].kind is POISONED)  # room was made for it
        for at in range(10):
            await service.trigger_kill(a_kill_of(f"b{at}", f"b{at}"), BOT)
        await lived.tell(12)
        assert service.outbox.left_out_count == 6
    reasons = [getattr(transition.event, "reason", "poisoned") for transition, _ in lived.told]
    assert reasons == [*(f"a{at}" for at in range(7)), "poisoned", *(f"b{at}" for at in range(4))]


async def test_a_damaged_journal_tells_of_itself_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The damage is told from memory; what stood behind it and cannot be read is logged."""
    store = MemoryStore()
    async with life(store, tmp_path) as lived:
        await lived.service.trigger_kill(a_kill(), BOT)
        last = lived.last_sequence
    store.damage_record(last)
    left = store.reopen()
    async with life(left, tmp_path) as again:
        await again.tell(1)
        assert again.feed.pending_count == 0
    assert again.kinds == [TransitionType.RECOVERY_ENTERED]
    assert again.told[0][1] is False
    del caplog


async def test_what_stands_before_damage_is_told_and_the_rest_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both lie in what is read at a time; the readable part of it is lost to nobody."""
    store = MemoryStore()
    async with life(store, tmp_path) as lived:
        await lived.service.trigger_kill(a_kill(), BOT)
        await lived.service.reset_kill(a_reset(), OPERATOR)
        last = lived.last_sequence
    read = MemoryStore.read_chained

    def damaged(self: MemoryStore, from_sequence: int, count: int) -> list[ChainedRecord]:
        if from_sequence + count > last:
            raise StoreDamagedError(sequence=last, what="is damaged", way_out="none")
        return read(self, from_sequence, count)

    monkeypatch.setattr(MemoryStore, "read_chained", damaged)
    async with life(store.reopen(), tmp_path) as again:
        await again.tell_all()
    assert again.kinds == [KILLED]
    assert f"cannot be read from record {last} on" in caplog.text


async def test_a_broken_invariant_is_told_as_books_that_cannot_be_believed(tmp_path: Path) -> None:
    """Every order is denied from there on, and the store is well."""
    async with life(MemoryStore(), tmp_path) as lived:
        lived.service._writer.mark_damaged("2 is 3")  # noqa: SLF001 - no caller can break one
        await lived.tell(1)
    assert lived.kinds == [TransitionType.BOOKS_DAMAGED]


async def test_records_that_were_dropped_are_passed_over_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was exported and dropped cannot be told any more; what follows is."""
    store = MemoryStore()
    async with life(store, tmp_path) as lived:
        await lived.service.trigger_kill(a_kill(), BOT)
        last = lived.last_sequence
    left = store.reopen()
    base = JournalBase(size=last)
    monkeypatch.setattr(MemoryStore, "base", property(lambda _: base))
    async with life(left, tmp_path) as again:
        await again.service.reset_kill(a_reset(), OPERATOR)
        await again.tell_all()
    assert again.kinds == [RESET]
    assert "were exported and dropped" in caplog.text


async def test_a_record_of_another_version_is_passed_over_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It stands before what this sidecar wrote, and cannot be told by it."""
    store = MemoryStore()
    async with life(store, tmp_path) as lived:
        await lived.service.trigger_kill(a_kill(), BOT)
        feed = lived.feed
        kill = records_of(store)[-1]
        record = encode_record(
            sequence=1,
            time=1,
            kind="x",
            actor=kill.actor,
            events=kill.events,
            config_hash="",
        ).replace(b'"version":1', b'"version":9')
        feed._take(1, record)  # noqa: SLF001 - such a store does not start
        await lived.tell_all()
    assert lived.kinds == [KILLED]
    assert "version 9" in caplog.text


async def test_a_poisoned_store_keeps_no_cursor_and_stops_nothing(tmp_path: Path) -> None:
    """What was told is told again by the next start, with the same id."""
    store = MemoryStore()
    async with life(store, tmp_path) as lived:
        await lived.service.trigger_kill(a_kill(), BOT)
        told, _ = await lived.feed.next()
        store.poison("the disk is gone")
        lived.feed.done(told)
        left = store.crash(is_power_lost=False)
    async with life(left, tmp_path) as again:
        await again.tell(1)
    assert again.told[0][0].message_id("s") == told.message_id("s")
