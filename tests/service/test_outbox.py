"""What each target is still to be told: in order, and never lost over a crash."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from sidecar.config.outgoing_sections import TransitionType
from sidecar.core.commands import AcceptRecovery, EaseKill, ResetAll, ResetBreaker, TriggerKill
from sidecar.core.denial import CallRefused
from sidecar.core.events import RecoveryEntered
from sidecar.service import Service, outbox
from sidecar.service.outbox import META_CURSORS, Feed
from sidecar.service.records import encode_record
from sidecar.service.transitions import Transition
from sidecar.store.memory_store import MemoryStore
from sidecar.store.merkle_tree import JournalBase
from tests.service.harness import (
    BOT,
    OPERATOR,
    a_kill,
    a_reset,
    an_order,
    equity_report,
    make_service,
    records_of,
    turns,
    until,
)

ALL: Final = frozenset(TransitionType)
KILLED: Final = TransitionType.KILL_ACTIVATED
RESET: Final = TransitionType.KILL_RESET
POISONED: Final = TransitionType.STORE_POISONED


@dataclass(slots=True)
class Life:
    """One process: a service, its one target, and what that was told."""

    service: Service
    feed: Feed
    told: list[tuple[Transition, bool]] = field(default_factory=list)

    @property
    def kinds(self) -> list[TransitionType]:
        """What was told, in order."""
        return [transition.kind for transition, _ in self.told]

    async def tell(self, count: int) -> None:
        """Deliver until `count` were told in all."""
        async with asyncio.timeout(10):
            while len(self.told) < count:
                told = await self.feed.next()
                self.told.append(told)
                self.feed.done(told[0])

    async def tell_all(self) -> None:
        """Deliver until nothing more is to be told."""
        await until(lambda: self.service.outbox.durable_sequence == self.last_sequence)
        while True:
            try:
                async with asyncio.timeout(0.05):
                    await self.tell(len(self.told) + 1)
            except TimeoutError:
                return

    @property
    def last_sequence(self) -> int:
        """The newest record."""
        return self.service.status().view.last_sequence


@asynccontextmanager
async def life(
    store: MemoryStore,
    directory: Path,
    *,
    kinds: frozenset[TransitionType] = ALL,
    name: str = "desk",
    **options: Any,  # noqa: ANN401 - as make_service
) -> AsyncIterator[Life]:
    """Start a service with one target, and stop it at the end."""
    service = make_service(store, directory, **options)
    (feed,) = service.outbox.feeds({name: kinds})
    lived = Life(service, feed)
    await service.start()
    try:
        yield lived
    finally:
        store.release_syncs()
        await service.stop()


def a_kill_of(strategy: str, reason: str = "x") -> TriggerKill:
    """Return a trigger that stops one strategy."""
    return TriggerKill(reason=reason, scope_kind="STRATEGY", scope_name=strategy)


def cursor_in(store: MemoryStore, name: str = "desk") -> list[int]:
    """Return the cursor that the store keeps."""
    kept: dict[str, list[int]] = json.loads(store.meta_get(META_CURSORS) or "{}")
    return kept[name]


async def test_every_transition_is_told_once_and_in_order(tmp_path: Path) -> None:
    """A kill, its easing, its reset, a trip, its warning before and its reset: one each."""
    async with life(MemoryStore(), tmp_path) as lived:
        service = lived.service
        await service.trigger_kill(a_kill(), BOT)
        await service.trigger_kill(a_kill(), BOT)  # tells nothing new
        await service.ease_kill(EaseKill(reset_by="alice", reason="leave"), OPERATOR)
        await service.reset_kill(a_reset(), OPERATOR)
        await service.report_account(equity_report(95_900, "low"), BOT)
        await service.report_account(equity_report(94_000, "lower"), BOT)
        await service.report_account(equity_report(100_000, "back"), BOT)
        await service.reset_breaker(ResetBreaker(reset_by="alice", reason="looked"), OPERATOR)
        await lived.tell_all()
    assert lived.kinds == [
        "kill_switch.activated",
        "kill_switch.eased",
        "kill_switch.reset",
        "warning.raised",
        "circuit_breaker.tripped",
        *[kind for kind in lived.kinds[5:-1] if kind in ("warning.raised", "warning.cleared")],
        "circuit_breaker.reset",
    ]
    assert "warning.cleared" in lived.kinds
    assert all(is_durable for _, is_durable in lived.told)
    ids = [transition.message_id("store") for transition, _ in lived.told]
    assert len(set(ids)) == len(ids)


async def test_both_latches_reset_in_one_step_are_two_transitions_of_one_record(
    tmp_path: Path,
) -> None:
    """Each has an id of its own, and a crash between them tells the second alone."""
    store = MemoryStore()
    async with life(store, tmp_path) as lived:
        service = lived.service
        await service.trigger_kill(a_kill(), BOT)
        await service.report_account(equity_report(94_000, "low"), BOT)
        await service.report_account(equity_report(100_000, "back"), BOT)
        await lived.tell_all()
        await service.reset_all(ResetAll(reset_by="alice", reason="over"), OPERATOR)
        await lived.tell(len(lived.told) + 1)
        first = lived.told[-1][0]
        left = store.crash(is_power_lost=False)
    async with life(left, tmp_path) as again:
        await again.tell(1)
        second = again.told[0][0]
    assert {first.kind, second.kind} == {RESET, TransitionType.BREAKER_RESET}
    assert first.sequence == second.sequence
    assert first.message_id("s") != second.message_id("s")


@pytest.mark.parametrize("is_power_lost", [False, True])
async def test_what_was_not_delivered_before_a_crash_is_told_after_it(
    tmp_path: Path, is_power_lost: bool
) -> None:
    """The same id, whether the process died or the power went."""
    store = MemoryStore()
    async with life(store, tmp_path) as lived:
        await lived.service.trigger_kill(a_kill(), BOT)
        before, is_durable = await lived.feed.next()
        assert is_durable
        left = store.crash(is_power_lost=is_power_lost, boot_id="boot-1")
    async with life(left, tmp_path) as again:
        after, is_durable = await again.feed.next()
        assert is_durable
    assert after.message_id("s") == before.message_id("s")
    assert after.event == before.event


async def test_what_was_delivered_before_a_crash_is_told_again_only_where_the_cursor_was_lost(
    tmp_path: Path,
) -> None:
    """A process that dies repeats nothing it had noted; a receiver drops what repeats by its id."""
    store = MemoryStore()
    async with life(store, tmp_path) as lived:
        await lived.service.trigger_kill(a_kill(), BOT)
        await lived.tell(1)
        await lived.service.reset_kill(a_reset(), OPERATOR)
        unnoted, _ = await lived.feed.next()  # delivered, and the process dies before `done`
        left = store.crash(is_power_lost=False)
    async with life(left, tmp_path) as again:
        await again.tell_all()
    assert [transition.message_id("s") for transition, _ in again.told] == [unnoted.message_id("s")]


async def test_a_new_target_is_told_from_its_first_start_on(tmp_path: Path) -> None:
    """What happened before nobody had asked for; another name begins anew."""
    store = MemoryStore()
    async with life(store, tmp_path) as lived:
        await lived.service.trigger_kill(a_kill(), BOT)
        await lived.tell_all()
    async with life(store.reopen(), tmp_path, name="other") as again:
        await again.service.reset_kill(a_reset(), OPERATOR)
        await again.tell_all()
    assert again.kinds == [RESET]


async def test_a_target_is_told_only_what_it_asked_for(tmp_path: Path) -> None:
    """Others move its cursor and are not told, live and from the journal alike."""
    store = MemoryStore()
    async with life(store, tmp_path, kinds=frozenset({RESET})) as lived:
        await lived.service.trigger_kill(a_kill(), BOT)
        await lived.service.reset_kill(a_reset(), OPERATOR)
        assert lived.feed.pending_count == 1
        left = store.crash(is_power_lost=False)
    async with life(left, tmp_path, kinds=frozenset({RESET})) as again:
        await again.tell_all()
        assert again.kinds == [RESET]
        assert again.feed.pending_count == 0


async def test_two_targets_go_at_their_own_pace(tmp_path: Path) -> None:
    """One that never takes anything holds up nothing of the other, and loses nothing itself."""
    store = MemoryStore()
    service = make_service(store, tmp_path)
    dead, well = service.outbox.feeds({"dead": ALL, "well": ALL})
    await service.start()
    await service.trigger_kill(a_kill(), BOT)
    await service.reset_kill(a_reset(), OPERATOR)
    for _ in range(2):
        told, _ = await well.next()
        well.done(told)
    assert (dead.pending_count, well.pending_count) == (2, 0)
    left = store.crash(is_power_lost=False)
    await service.stop()
    async with life(left, tmp_path, name="dead") as again:
        await again.tell_all()
    assert again.kinds == [KILLED, RESET]


async def test_every_target_goes_on_where_it_was(tmp_path: Path) -> None:
    """One start after another, with two targets at different places, and one that went."""
    store = MemoryStore()
    service = make_service(store, tmp_path)
    behind, ahead = service.outbox.feeds({"behind": ALL, "ahead": ALL})
    await service.start()
    await service.trigger_kill(a_kill(), BOT)
    told, _ = await ahead.next()
    ahead.done(told)
    assert behind.pending_count == 1
    left = store.crash(is_power_lost=False)
    await service.stop()
    service = make_service(left, tmp_path)
    feeds = service.outbox.feeds({"ahead": ALL, "behind": ALL})
    assert [feed.cursor for feed in feeds] == [told.place, (0, outbox.WHOLE)]
    left = left.crash(is_power_lost=False)
    service = make_service(left, tmp_path)
    (feed,) = service.outbox.feeds({"behind": ALL})
    assert feed.cursor == (0, outbox.WHOLE)
    assert json.loads(left.meta_get(META_CURSORS) or "") == {"behind": [0, outbox.WHOLE]}


async def test_nothing_is_told_before_it_is_durable(tmp_path: Path) -> None:
    """A trip that only memory knows waits for the disk."""
    store = MemoryStore()
    async with life(store, tmp_path) as lived:
        store.hold_syncs()
        kill = asyncio.create_task(lived.service.trigger_kill(a_kill(), BOT))
        following = asyncio.create_task(lived.feed.next())
        await turns()
        assert lived.service.status().view.mode == "HALTED"
        assert not following.done()
        store.release_syncs()
        transition, is_durable = await asyncio.wait_for(following, 10)
        assert (transition.kind, is_durable) == (KILLED, True)
        await kill


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


async def test_a_reset_overtaken_by_a_kill_is_told_before_it(tmp_path: Path) -> None:
    """In the order of their records, once both are durable."""
    store = MemoryStore()
    async with life(store, tmp_path) as lived:
        service = lived.service
        await service.trigger_kill(a_kill(), BOT)
        await lived.tell_all()
        store.hold_syncs()
        reset = asyncio.create_task(service.reset_kill(a_reset(), OPERATOR))
        await turns()
        kill = asyncio.create_task(service.trigger_kill(a_kill(), BOT))
        await turns()
        store.release_syncs()
        await asyncio.gather(reset, kill)
        await lived.tell_all()
    assert lived.kinds == [KILLED, RESET, KILLED]


async def test_a_reset_that_became_durable_while_nobody_looked_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cursor that moves on stops before a record whose events are not effective yet."""
    monkeypatch.setattr(outbox, "PAUSE_SECONDS", 0.0)
    store = MemoryStore()
    async with life(store, tmp_path) as lived:
        await lived.service.trigger_kill(a_kill(), BOT)
        telling = asyncio.create_task(lived.tell(2))
        await lived.service.reset_kill(a_reset(), OPERATOR)
        await telling
    assert lived.kinds == [KILLED, RESET]


async def test_a_cursor_with_nothing_to_tell_moves_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start reads no further back than the bound, however long nothing happened."""
    monkeypatch.setattr(outbox, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(outbox, "RECORDS_BETWEEN_SAVES", 10)
    store = MemoryStore()
    async with life(store, tmp_path) as lived:
        telling = asyncio.create_task(lived.tell(1))
        for at in range(30):
            await lived.service.check_order(an_order(f"order-{at}"), BOT)
        await until(lambda: store.meta_get(META_CURSORS) and cursor_in(store)[0] >= 10)
        telling.cancel()
        await asyncio.wait((telling,))


async def test_more_transitions_than_memory_holds_are_told_from_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded, and none is lost or told twice."""
    monkeypatch.setattr(outbox, "SEEN_COUNT_MAX", 5)
    store = MemoryStore()
    async with life(store, tmp_path) as lived:
        service = lived.service
        for at in range(40):
            await service.trigger_kill(a_kill_of(f"s{at}", str(at)), BOT)
        assert len(service.outbox.seen) == 5
        assert lived.feed.is_behind
        await lived.tell_all()
        assert service.outbox.seen == []
    reasons = [getattr(transition.event, "reason", "") for transition, _ in lived.told]
    assert reasons == [str(at) for at in range(40)]


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


async def test_a_cursor_beyond_the_journal_is_not_believed(tmp_path: Path) -> None:
    """It speaks of records that were lost; what came in their place was never told."""
    store = MemoryStore()
    async with life(store, tmp_path) as lived:
        await lived.tell_all()
    left = store.reopen()
    left.meta_set(META_CURSORS, json.dumps({"desk": [9_999, 1]}))
    async with life(left, tmp_path) as again:
        await again.service.trigger_kill(a_kill(), BOT)
        await again.tell(1)
    assert again.kinds == [KILLED]


@pytest.mark.parametrize("text", ["{", "[]", '{"desk": 3}', '{"desk": ["x", 1]}', "null"])
async def test_cursors_that_cannot_be_read_begin_with_this_start(tmp_path: Path, text: str) -> None:
    """A changed byte stops nothing."""
    store = MemoryStore()
    store.meta_set(META_CURSORS, text)
    async with life(store, tmp_path) as lived:
        await lived.service.trigger_kill(a_kill(), BOT)
        await lived.tell(1)
    assert lived.kinds == [KILLED]


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


async def test_without_targets_nothing_is_kept(tmp_path: Path) -> None:
    """A sidecar that tells nobody holds nothing for it and writes no cursor."""
    store = MemoryStore()
    service = make_service(store, tmp_path)
    await service.start()
    await service.trigger_kill(a_kill(), BOT)
    assert service.outbox.seen == []
    await service.stop()
    assert store.meta_get(META_CURSORS) is None


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
