"""What each target is still to be told: in order, and never lost over a crash."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from sidecar.config.outgoing_sections import TransitionType
from sidecar.core.commands import EaseKill, ResetAll, ResetBreaker
from sidecar.service import outbox
from sidecar.service.outbox import META_CURSORS
from sidecar.store.memory_store import MemoryStore
from tests.service.harness import (
    BOT,
    OPERATOR,
    a_kill,
    a_reset,
    an_order,
    equity_report,
    make_service,
    turns,
    until,
)
from tests.service.outbox_life import (
    ALL,
    KILLED,
    RESET,
    a_kill_of,
    cursor_in,
    life,
)


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


async def test_without_targets_nothing_is_kept(tmp_path: Path) -> None:
    """A sidecar that tells nobody holds nothing for it and writes no cursor."""
    store = MemoryStore()
    service = make_service(store, tmp_path)
    await service.start()
    await service.trigger_kill(a_kill(), BOT)
    assert service.outbox.seen == []
    await service.stop()
    assert store.meta_get(META_CURSORS) is None
