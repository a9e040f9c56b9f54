"""Starting, recovering, ageing and stopping: what a restart knows, and what it says (S12.4)."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from sidecar.clock import SECOND_NS, DrivenClock, ManualClock
from sidecar.core import engine
from sidecar.core.answers import RecoveryState, TradingMode
from sidecar.core.commands import AcceptRecovery, EaseKill, KillMode
from sidecar.core.denial import CallRefused, DenialCode
from sidecar.core.state import to_plain
from sidecar.core.thresholds import CircuitBreakerThresholds, OrderRules, Thresholds
from sidecar.service.opening import open_state
from sidecar.service.records import decode_snapshot
from sidecar.service.start_up import START_EQUITY_REPORT_ID
from sidecar.store.memory_store import MemoryStore
from tests.service.harness import (
    BOT,
    EQUITY,
    OPERATOR,
    a_fill,
    a_kill,
    an_exit,
    an_order,
    holding,
    kinds_of,
    make_service,
    records_of,
    replayed,
    running,
    turns,
    until,
)

EASE = EaseKill(reset_by="alice", reason="leave positions")
ACCEPT = AcceptRecovery(accepted_by="alice", reason="compared with the venue")
DAY_NS = 86_400 * SECOND_NS


async def test_a_new_store_says_so(tmp_path: Path) -> None:
    """The start line names a new store and the equity used (contract.md, serve)."""
    service = make_service(MemoryStore(), tmp_path)
    report = await service.start()
    assert report.is_new
    assert report.summary == "new store"
    assert report.equity == EQUITY
    assert report.recovery is RecoveryState.CLEAN
    assert await service.stop()


async def test_a_restart_knows_what_was_decided(tmp_path: Path) -> None:
    """Kill, breaker, positions, reservations and ids survive a restart (S3)."""
    store, clock = MemoryStore(), ManualClock()
    async with running(store, tmp_path, clock=clock) as service:
        await service.report_account(holding(service), BOT)
        await service.check_order(an_order("waiting"), BOT)
        await service.check_order(an_order(), BOT)
        await service.report_trade(a_fill(), BOT)
        await service.trigger_kill(a_kill(KillMode.REDUCE_ONLY), BOT)
        before = service.status().view
    again = store.reopen()
    text = f"recovered {again.last_sequence} records, last at 2023-11-14T22:13:20Z"
    service = make_service(again, tmp_path, clock=clock)
    report = await service.start()
    assert report.summary == text
    after = service.status().view
    assert after.limits == before.limits
    assert after.account == before.account
    assert after.activations == before.activations
    assert after.stop_epoch == before.stop_epoch
    assert [order.order_id for order in service.list_orders()] == ["waiting"]
    assert (await service.report_trade(a_fill(), BOT)).duplicate
    assert await service.stop()


async def test_the_given_equity_counts_once(tmp_path: Path) -> None:
    """Later it is ignored, and that is said (contract.md, --equity)."""
    store = MemoryStore()
    async with running(store, tmp_path):
        reports = [r for r in records_of(store) if r.kind == "ReportAccount"]
        assert len(reports) == 1
        assert any(START_EQUITY_REPORT_ID in repr(event) for event in reports[0].events)
    service = make_service(store.reopen(), tmp_path, initial_equity=Decimal(5))
    report = await service.start()
    assert report.equity == EQUITY
    assert report.is_equity_ignored
    assert any("--equity is ignored" in note for note in report.notes)
    await service.stop()


async def test_without_equity_nothing_that_raises_is_approved(tmp_path: Path) -> None:
    """Fail closed, and say so: EQUITY_UNKNOWN (S1.2)."""
    async with running(MemoryStore(), tmp_path, initial_equity=None) as service:
        decision = await service.check_order(an_order(), BOT)
        assert decision.violations[0].code is DenialCode.EQUITY_UNKNOWN


async def test_positions_are_not_confirmed_unless_the_start_says_flat(tmp_path: Path) -> None:
    """`--assume-flat` is journalled as the word of whoever starts it (S8.2)."""
    store = MemoryStore()
    async with running(store, tmp_path, is_assumed_flat=False) as service:
        assert not service.status().view.account.positions_confirmed
        assert "AssumeFlat" not in kinds_of(store)
    again = store.reopen()
    async with running(again, tmp_path) as service:
        assert service.status().view.account.positions_confirmed
        assert "AssumeFlat" in kinds_of(again)


async def test_a_changed_configuration_is_a_record_and_an_equal_one_is_not(tmp_path: Path) -> None:
    """The thresholds in force are part of the journal (S13)."""
    store, clock = MemoryStore(), ManualClock()
    async with running(store, tmp_path, clock=clock):
        assert kinds_of(store)[0] == "Configure"
    again = store.reopen()
    async with running(again, tmp_path, clock=clock):
        assert kinds_of(again).count("Configure") == 1
    changed = again.reopen()
    thresholds = Thresholds(order_rules=OrderRules(max_order_quantity=Decimal(1)))
    options = {"thresholds": thresholds, "config_hash": "hash-2", "clock": clock}
    async with running(changed, tmp_path, **options) as service:
        assert kinds_of(changed).count("Configure") == 2
        assert service.status().config_hash == "hash-2"
        decision = await service.check_order(an_order(), BOT)
        assert decision.violations[0].code is DenialCode.MAX_ORDER_QUANTITY
        assert records_of(changed)[-1].config_hash == "hash-2"


# Snapshots.


async def test_a_clean_stop_leaves_a_snapshot_equal_to_the_replay(tmp_path: Path) -> None:
    """A snapshot is proved equal to the replay it replaces (S12.5)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.report_account(holding(service), BOT)
        await service.check_order(an_order(), BOT)
        await service.trigger_kill(a_kill(), BOT)
    again = store.reopen()
    found = again.latest_snapshot()
    assert found is not None
    assert found[0] == again.last_sequence
    assert to_plain(decode_snapshot(found[1])) == replayed(again)
    assert open_state(again).replayed_count == 0


async def test_a_damaged_snapshot_costs_time_not_truth(tmp_path: Path) -> None:
    """The journal is replayed instead, and that is noted (S12.5)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.check_order(an_order(), BOT)
    store.damage_latest_snapshot()
    opened = open_state(store.reopen())
    assert opened.recovery is RecoveryState.CLEAN
    assert list(opened.state.open_orders) == ["order-1"]
    assert any("snapshot" in note for note in opened.notes)


async def test_a_snapshot_of_another_version_is_not_guessed_at(tmp_path: Path) -> None:
    """It is left out by name, and the journal tells (S12.5)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.check_order(an_order(), BOT)
        await store.write_snapshot(store.last_sequence, b'{"version": 99}')
        opened = open_state(store.crash(is_power_lost=False))
    assert list(opened.state.open_orders) == ["order-1"]
    assert any("version 99" in note for note in opened.notes)


async def test_a_snapshot_that_cannot_be_kept_does_not_spoil_the_stop(tmp_path: Path) -> None:
    """The next start replays the journal (S12.5)."""
    store = MemoryStore()
    service = make_service(store, tmp_path)
    await service.start()
    store.fail_next_snapshot()
    assert await service.stop()
    assert open_state(store.reopen()).recovery is RecoveryState.CLEAN


# How a start may find the store.


async def test_a_crash_of_the_process_loses_nothing_and_trading_goes_on(tmp_path: Path) -> None:
    """RECOVERED needs nobody (S12.4)."""
    store, clock = MemoryStore(), ManualClock()
    async with running(store, tmp_path, clock=clock) as service:
        await service.check_order(an_order(), BOT)
        after = store.crash(is_power_lost=False)
    async with running(after, tmp_path, clock=clock) as service:
        view = service.status().view
        assert view.recovery.state is RecoveryState.RECOVERED
        assert view.mode is TradingMode.NORMAL
        again = await service.check_order(an_order(), BOT)
        assert again.replayed


async def test_a_power_cut_asks_to_reconcile_before_anything_is_raised(tmp_path: Path) -> None:
    """Approvals may be forgotten: REDUCE_ONLY until a complete report comes (S12.4)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.report_account(holding(service), BOT)
        after = store.crash(is_power_lost=True)
    async with running(after, tmp_path) as service:
        status = service.status().view
        assert status.recovery.state is RecoveryState.RECONCILE
        assert status.recovery.way_out
        assert status.mode is TradingMode.REDUCE_ONLY
        denied = await service.check_order(an_order(), BOT)
        assert denied.violations[0].code is DenialCode.RECOVERY_RECONCILE_REQUIRED
        assert (await service.check_order(an_exit(), BOT)).is_approved
        await service.report_account(holding(service, "holding-2"), BOT)
        assert service.status().view.mode is TradingMode.NORMAL
        settled = after.crash(is_power_lost=False)
    assert open_state(settled).recovery is RecoveryState.RECOVERED


async def test_a_reconciliation_stays_owed_over_restarts(tmp_path: Path) -> None:
    """A restart is no way around it (S12.4)."""
    store = MemoryStore()
    async with running(store, tmp_path):
        after = store.crash(is_power_lost=True)
    async with running(after, tmp_path) as service:
        assert service.status().view.mode is TradingMode.REDUCE_ONLY
    async with running(after.reopen(), tmp_path) as service:
        assert service.status().view.mode is TradingMode.REDUCE_ONLY


async def test_after_a_poisoned_store_even_exits_wait_for_an_operator(tmp_path: Path) -> None:
    """One approved from memory may have been forgotten; proof or a report ends it (S12.4)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.report_account(holding(service), BOT)
        store.poison("input/output error")
    after = store.reopen()
    async with running(after, tmp_path) as service:
        decision = await service.check_order(an_exit(), BOT)
        assert decision.violations[0].code is DenialCode.RECOVERY_RECONCILE_REQUIRED
        assert (await service.accept_recovery(ACCEPT, OPERATOR)).changed
        assert (await service.check_order(an_exit(), BOT)).is_approved
        settled = after.crash(is_power_lost=False)
    assert open_state(settled).recovery is RecoveryState.RECOVERED


async def test_damage_before_the_tail_starts_halted_with_the_place_and_the_way_out(
    tmp_path: Path,
) -> None:
    """Nothing is approved, kills are taken, and the books end before the damage (S12.4)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.report_account(holding(service), BOT)
        await service.check_order(an_order(), BOT)
        store.damage_record(5)
        after = store.crash(is_power_lost=False)
    service = make_service(after, tmp_path)
    report = await service.start()
    assert report.recovery is RecoveryState.DAMAGED
    status = service.status()
    assert status.view.mode is TradingMode.HALTED
    assert "record 5" in status.view.recovery.detail
    assert status.view.recovery.way_out
    for order in (an_order("new"), an_exit()):
        assert not (await service.check_order(order, BOT)).is_approved
    answer = await service.trigger_kill(a_kill(), BOT)
    assert not answer.durable
    with pytest.raises(CallRefused):
        await service.accept_recovery(ACCEPT, OPERATOR)
    assert not service.is_ready
    assert not await service.stop()


def test_a_record_this_version_cannot_read_is_damage() -> None:
    """A journal of another version is named, not guessed at (S12.4)."""
    store = MemoryStore()
    for sequence, payload in ((1, b'{"version":99}'), (2, b"[1]"), (3, b"\xff")):
        store.append([(sequence, payload)])
    opened = open_state(store.crash(is_power_lost=False))
    assert opened.recovery is RecoveryState.DAMAGED
    assert "record 1" in opened.damage
    assert "version 99" in opened.damage


async def test_a_record_under_another_sequence_is_damage(tmp_path: Path) -> None:
    """A record that says another number than its place was not written there by us."""
    store = MemoryStore()
    async with running(store, tmp_path):
        payloads = [payload for _, payload in store.read(1)]
    other = MemoryStore()
    other.append([(1, payloads[1])])
    assert "says it is record 2" in open_state(other).damage


# Stopping.


async def test_a_stop_is_told_before_it_happens_and_closes_cleanly(tmp_path: Path) -> None:
    """Draining shows in status and health, and a second stop changes nothing (S14)."""
    store = MemoryStore()
    service = make_service(store, tmp_path)
    await service.start()
    before = (service.is_ready, service.is_draining, service.status().is_draining)
    revision = service.revision
    service.begin_draining()
    assert service.revision > revision
    after = (service.is_ready, service.is_draining, service.status().is_draining)
    assert (before, after) == ((True, False, False), (False, True, True))
    assert await service.stop()
    assert await service.stop()
    assert open_state(store.reopen()).recovery is RecoveryState.CLEAN


async def test_a_stop_waits_for_what_the_disk_still_owes(tmp_path: Path) -> None:
    """A start whose caller went away is completed first (S10.3)."""
    store = MemoryStore()
    service = make_service(store, tmp_path)
    await service.start()
    await service.trigger_kill(a_kill(), BOT)
    store.hold_syncs()
    resetting = asyncio.create_task(service.ease_kill(EASE, OPERATOR))
    await turns()
    resetting.cancel()
    stopping = asyncio.create_task(service.stop())
    await turns()
    assert not stopping.done()
    store.release_syncs()
    assert await stopping
    activation = open_state(store.reopen()).state.activations["ALL"]
    assert activation.mode is KillMode.REDUCE_ONLY


async def test_the_stop_of_a_poisoned_sidecar_is_no_success(tmp_path: Path) -> None:
    """Exit code and health say why (S12.3)."""
    store = MemoryStore()
    service = make_service(store, tmp_path)
    await service.start()
    store.fail_next_append("no space left on device")
    await service.check_order(an_order(), BOT)
    assert any("no space left" in part.cause for part in service.health())
    assert "no space left" in service.status().store.poisoned
    assert not await service.stop()
    assert open_state(store.reopen()).recovery is RecoveryState.RECONCILE


async def test_a_killed_sidecar_is_healthy(tmp_path: Path) -> None:
    """Being stopped is its work, not its illness (contract.md)."""
    async with running(MemoryStore(), tmp_path) as service:
        await service.trigger_kill(a_kill(), BOT)
        assert service.is_ready
        assert all(part.is_well for part in service.health())


# Time alone.


async def test_a_new_day_begins_without_anybody_calling(tmp_path: Path) -> None:
    """Time does what is due; nobody has to tick (S9)."""
    store, clock = MemoryStore(), ManualClock()
    async with running(store, tmp_path, clock=clock) as service:
        day = service.status().view.account.day
        clock.advance(DAY_NS)
        await until(lambda: service.status().view.account.day != day)
        assert "Tick" in kinds_of(store)


async def test_a_silent_bot_trips_the_breaker_without_anybody_calling(tmp_path: Path) -> None:
    """BOT_SILENT opens the breaker by itself, durably (S9)."""
    store, clock = MemoryStore(), ManualClock()
    breaker = CircuitBreakerThresholds(bot_silence_ns=60 * SECOND_NS)
    thresholds = Thresholds(circuit_breaker=breaker)
    async with running(store, tmp_path, clock=clock, thresholds=thresholds) as service:
        await service.check_order(an_order(), BOT)
        clock.advance(60 * SECOND_NS)
        await until(lambda: service.status().view.breaker.is_open)
        await until(lambda: store.durable_sequence == store.last_sequence)
        found = open_state(store.crash(is_power_lost=True)).state
        assert found.breaker.causes[0].cause == "BOT_SILENT"


async def test_what_fell_due_is_done_before_the_next_command(tmp_path: Path) -> None:
    """A trip by silence is durable before the order after it is answered (S12.1)."""
    store, clock = MemoryStore(), ManualClock()
    breaker = CircuitBreakerThresholds(bot_silence_ns=60 * SECOND_NS)
    thresholds = Thresholds(circuit_breaker=breaker)
    async with running(store, tmp_path, clock=clock, thresholds=thresholds) as service:
        await service.check_order(an_order(), BOT)
        clock.advance(60 * SECOND_NS)
        decision = await service.check_order(an_order("two"), BOT)
        assert decision.violations[0].code is DenialCode.CIRCUIT_BREAKER_OPEN
        assert kinds_of(store)[-2:] == ["Tick", "CheckOrder"]
        assert store.durable_sequence >= decision.sequence - 1


async def test_a_driven_clock_moves_only_by_what_it_is_told(tmp_path: Path) -> None:
    """`now` is the latest time of the calls, and what is due by it is done (S2.5)."""
    store = MemoryStore(clock_kind="driven")
    start_ns = 1_199_145_600 * SECOND_NS
    async with running(store, tmp_path, clock=DrivenClock()) as service:
        assert service.status().clock_kind == "driven"
        service.observe_time(start_ns)
        assert service.status().view.now == start_ns
        assert service.status().view.account.day == "2008-01-01"
        service.observe_time(start_ns - 1)
        assert service.status().view.now == start_ns
        records_count = store.last_sequence
        service.observe_time(start_ns + DAY_NS)
        assert service.status().view.account.day == "2008-01-02"
        assert store.last_sequence == records_count + 1
        decision = await service.check_order(an_order(), BOT)
        assert decision.expires_at == start_ns + DAY_NS + 10 * SECOND_NS
    async with running(store.reopen(), tmp_path, clock=DrivenClock()) as service:
        assert service.status().view.now == start_ns + DAY_NS


async def test_a_wall_clock_sidecar_is_told_no_time(tmp_path: Path) -> None:
    """`haltline-time` moves only a driven sidecar (S2.5)."""
    async with running(MemoryStore(), tmp_path) as service:
        before = service.status().view.now
        service.observe_time(before + DAY_NS)
        assert service.status().view.now == before


async def test_a_start_behind_the_journal_is_shown(tmp_path: Path) -> None:
    """`now` goes on from the last record, and the jump is journalled (S2.2)."""
    store, clock = MemoryStore(), ManualClock()
    async with running(store, tmp_path, clock=clock) as service:
        last = service.status().view.now
    behind = ManualClock(last - 3_600 * SECOND_NS)
    again = store.reopen()
    async with running(again, tmp_path, clock=behind) as service:
        assert service.status().view.now == last
        assert service.status().view.clock_jump_ns == -3_600 * SECOND_NS
        assert "ClockJump" in kinds_of(again)


async def test_a_beat_that_fails_denies_orders_and_goes_on_beating(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody stops looking for the KILL file because something else failed (S1.2, S10.4)."""
    async with running(MemoryStore(), tmp_path) as service:
        await service.report_account(holding(service), BOT)
        with monkeypatch.context() as patched:

            def fails(_: object) -> int:
                raise RuntimeError("nobody foresaw this")

            patched.setattr(engine, "next_due", fails)
            await until(lambda: not service.is_ready)
        assert not (await service.check_order(an_exit(), BOT)).is_approved
        (tmp_path / "KILL").touch()
        await until(lambda: service.status().view.activations)
