"""Starts through the service: with proof, durable first, then effective, never before a stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import pytest

from sidecar.auth import NonceOutcome
from sidecar.clock import DrivenClock, ManualClock
from sidecar.core.answers import StartAnswer, TradingMode
from sidecar.core.commands import (
    AcceptRecovery,
    Drawdown,
    EaseKill,
    KillMode,
    ReleaseOrder,
    ResetAll,
    ResetBreaker,
    TriggerKill,
)
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.core.state import to_plain
from sidecar.service import Caller, Role, Service
from sidecar.service.opening import open_state
from sidecar.service.records import decode_snapshot
from sidecar.service.starts import FALLBACK_REASON
from sidecar.store.memory_store import MemoryStore
from tests.service.harness import (
    BOT,
    OPERATOR,
    SECOND,
    a_fill,
    a_kill,
    a_reset,
    an_order,
    equity_report,
    kinds_of,
    replayed,
    running,
    turns,
)

Call = Callable[[Service, Caller], Awaitable[StartAnswer]]

RESET_ALL = ResetAll(reset_by="alice", reason="drill over")
EASE = EaseKill(reset_by="alice", reason="leave positions")
RELEASE = ReleaseOrder(order_id="order-1", released_by="alice", reason="never sent")
ACCEPT_RECOVERY = AcceptRecovery(accepted_by="alice", reason="compared")

CALLS: dict[str, Call] = {
    "ResetKill": lambda service, caller: service.reset_kill(a_reset(), caller),
    "EaseKill": lambda service, caller: service.ease_kill(EASE, caller),
    "ResetBreaker": lambda service, caller: service.reset_breaker(
        ResetBreaker(reset_by="alice", reason="looked into"), caller
    ),
    "ResetAll": lambda service, caller: service.reset_all(RESET_ALL, caller),
    "ReleaseOrder": lambda service, caller: service.release_order(RELEASE, caller),
    "AcceptRecovery": lambda service, caller: service.accept_recovery(ACCEPT_RECOVERY, caller),
    "AcceptClock": lambda service, caller: service.accept_clock("alice", "set right", caller),
}


def mode_of(service: Service) -> TradingMode:
    """Return what all layers together allow now."""
    return service.status().view.mode


@pytest.mark.parametrize("name", CALLS)
async def test_nothing_starts_without_proof(tmp_path: Path, name: str) -> None:
    """The role alone proves nothing; the refusal says what is missing (S1.1, S11)."""
    store = MemoryStore()
    pretender = Caller(role=Role.OPERATOR, peer="unix:", proof_problem="the signature is wrong")
    async with running(store, tmp_path) as service:
        await service.check_order(an_order(), BOT)
        await service.trigger_kill(a_kill(), BOT)
        before = store.last_sequence
        for caller in (BOT, pretender):
            with pytest.raises(CallRefused) as caught:
                await CALLS[name](service, caller)
            assert caught.value.code is ErrorCode.UNAUTHENTICATED
            assert caught.value.reason == "OPERATOR_PROOF_REQUIRED"
            assert name in caught.value.message
        assert "the signature is wrong" in caught.value.message
        assert store.last_sequence == before
        assert mode_of(service) is TradingMode.HALTED


@pytest.mark.parametrize("name", CALLS)
async def test_nothing_starts_while_the_store_takes_no_writes(tmp_path: Path, name: str) -> None:
    """What cannot be durable cannot become effective (S10.3)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.check_order(an_order(), BOT)
        await service.trigger_kill(a_kill(), BOT)
        store.poison("input/output error")
        with pytest.raises(CallRefused) as caught:
            await CALLS[name](service, OPERATOR)
        assert caught.value.code is ErrorCode.UNAVAILABLE
        assert "input/output error" in caught.value.message
        assert mode_of(service) is TradingMode.HALTED


async def test_a_reset_is_effective_when_it_is_durable_and_not_before(tmp_path: Path) -> None:
    """Durable first, then effective (S10.3)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.trigger_kill(a_kill(), BOT)
        store.hold_syncs()
        resetting = asyncio.create_task(service.reset_kill(a_reset(), OPERATOR))
        await turns()
        assert kinds_of(store)[-1] == "ResetKill"
        assert mode_of(service) is TradingMode.HALTED
        store.release_syncs()
        answer = await resetting
        assert answer.changed
        assert answer.status.mode is TradingMode.NORMAL
        assert answer.sequence == store.last_sequence
        assert (await service.check_order(an_order(), BOT)).is_approved


async def test_a_reset_survives_the_loss_of_power(tmp_path: Path) -> None:
    """What was answered is what a restart finds (S12.1)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.trigger_kill(a_kill(), BOT)
        await service.reset_kill(a_reset(), OPERATOR)
        assert open_state(store.crash(is_power_lost=True)).state.activations == {}


async def test_every_other_command_waits_for_a_pending_reset(tmp_path: Path) -> None:
    """Each is judged by a state that is certain, in the order it came."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.trigger_kill(a_kill(), BOT)
        store.hold_syncs()
        resetting = asyncio.create_task(service.reset_kill(a_reset(), OPERATOR))
        await turns()
        asked = asyncio.create_task(service.check_order(an_order(), BOT))
        reported = asyncio.create_task(service.report_trade(a_fill(order_id="other"), BOT))
        second = asyncio.create_task(service.reset_kill(a_reset(), OPERATOR))
        given_up = asyncio.create_task(service.check_order(an_order("gone"), BOT))
        await turns()
        assert not any(task.done() for task in (resetting, asked, reported, second))
        given_up.cancel()
        await asyncio.wait((given_up,))
        store.release_syncs()
        assert (await resetting).changed
        assert (await asked).is_approved
        assert (await reported).unsolicited
        assert not (await second).changed
        assert [order.order_id for order in service.list_orders()] == ["order-1"]


async def test_a_kill_never_waits_for_a_pending_reset(tmp_path: Path) -> None:
    """The reset is applied, the kill follows in the same turn, and the kill stands (S10.3)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.trigger_kill(a_kill(), BOT)
        store.hold_syncs()
        resetting = asyncio.create_task(service.reset_kill(a_reset(), OPERATOR))
        await turns()
        asked = asyncio.create_task(service.check_order(an_order(), BOT))
        killing = asyncio.create_task(service.trigger_kill(a_kill(), BOT))
        await turns()
        assert mode_of(service) is TradingMode.HALTED
        assert service.status().view.activations[0].epoch == 2
        store.release_syncs()
        assert not (await killing).already_active
        assert (await resetting).changed
        assert not (await asked).is_approved
        assert mode_of(service) is TradingMode.HALTED
        assert kinds_of(store)[-3:] == ["ResetKill", "TriggerKill", "CheckOrder"]


async def test_a_kill_during_a_reset_replays_to_the_same_state(tmp_path: Path) -> None:
    """Memory followed the order of the records, so a restart finds the same (S3)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.trigger_kill(a_kill(), BOT)
        store.hold_syncs()
        resetting = asyncio.create_task(service.reset_all(RESET_ALL, OPERATOR))
        await turns()
        scoped = TriggerKill(scope_kind="STRATEGY", scope_name="momentum", mode="REDUCE_ONLY")
        killing = asyncio.create_task(service.trigger_kill(scoped, BOT))
        await turns()
        store.release_syncs()
        await asyncio.gather(resetting, killing)
        await service.check_order(an_order(), BOT)
    again = store.reopen()
    found = again.latest_snapshot()
    assert found is not None
    assert to_plain(decode_snapshot(found[1])) == replayed(again)


async def test_a_reset_the_disk_refuses_never_happened(tmp_path: Path) -> None:
    """It is dropped from memory, the caller is told, trading stays stopped (S10.3)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.trigger_kill(a_kill(), BOT)
        store.fail_next_sync()
        with pytest.raises(CallRefused) as caught:
            await service.reset_kill(a_reset(), OPERATOR)
        assert caught.value.code is ErrorCode.UNAVAILABLE
        assert mode_of(service) is TradingMode.HALTED
        assert not (await service.check_order(an_order(), BOT)).is_approved


async def test_a_reset_that_cannot_be_written_never_happened(tmp_path: Path) -> None:
    """As one whose sync fails (S10.3)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.trigger_kill(a_kill(), BOT)
        store.fail_next_append()
        with pytest.raises(CallRefused):
            await service.reset_kill(a_reset(), OPERATOR)
        assert mode_of(service) is TradingMode.HALTED
        assert (await service.trigger_kill(a_kill(), BOT)).already_active


async def test_a_failed_reset_that_had_made_way_for_a_kill_halts_everything(
    tmp_path: Path,
) -> None:
    """What was given back for the sake of order is taken again: fail closed (S1.2)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.trigger_kill(a_kill(), BOT)
        store.hold_syncs()
        store.fail_next_sync()
        resetting = asyncio.create_task(service.reset_kill(a_reset(), OPERATOR))
        await turns()
        scoped = TriggerKill(scope_kind="STRATEGY", scope_name="momentum")
        killing = asyncio.create_task(service.trigger_kill(scoped, BOT))
        await turns()
        store.release_syncs()
        with pytest.raises(CallRefused):
            await resetting
        assert not (await killing).durable
        reasons = [active.reason for active in service.status().view.activations]
        assert FALLBACK_REASON in reasons
        assert mode_of(service) is TradingMode.HALTED


async def test_a_reset_goes_on_when_its_caller_goes_away(tmp_path: Path) -> None:
    """Its record is written; the disk's answer completes it without the caller (S10.3)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.trigger_kill(a_kill(), BOT)
        store.hold_syncs()
        resetting = asyncio.create_task(service.reset_kill(a_reset(), OPERATOR))
        await turns()
        resetting.cancel()
        await asyncio.wait((resetting,))
        assert resetting.cancelled()
        assert mode_of(service) is TradingMode.HALTED
        store.release_syncs()
        assert (await service.check_order(an_order(), BOT)).is_approved


async def test_a_reset_with_a_stale_epoch_is_aborted(tmp_path: Path) -> None:
    """It must not undo a newer kill (S10.3)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.trigger_kill(a_kill(KillMode.REDUCE_ONLY), BOT)
        await service.trigger_kill(a_kill(), BOT)
        before = store.last_sequence
        with pytest.raises(CallRefused) as caught:
            await service.reset_kill(a_reset(expected_epoch=1), OPERATOR)
        assert caught.value.code is ErrorCode.ABORTED
        assert service.status().view.last_sequence == store.last_sequence == before
        assert (await service.reset_kill(a_reset(expected_epoch=2), OPERATOR)).changed


@pytest.mark.parametrize("name", [name for name in CALLS if name != "ReleaseOrder"])
async def test_a_start_with_nothing_to_start_changes_nothing(tmp_path: Path, name: str) -> None:
    """OK, unchanged, no record, and the sequence of the newest one (S9)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        before = store.last_sequence
        answer = await CALLS[name](service, OPERATOR)
        assert not answer.changed
        assert answer.sequence == store.last_sequence == before


async def test_reset_all_resets_both_or_neither(tmp_path: Path) -> None:
    """A standing drawdown keeps the kill too; named, both go in one record (S10.5)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.report_account(equity_report(94_000, "loss"), BOT)
        await service.trigger_kill(a_kill(), BOT)
        with pytest.raises(CallRefused) as caught:
            await service.reset_all(RESET_ALL, OPERATOR)
        assert caught.value.code is ErrorCode.FAILED_PRECONDITION
        assert mode_of(service) is TradingMode.HALTED
        command = ResetAll(reset_by="alice", reason="accepted", rebase=(Drawdown.DAILY,))
        answer = await service.reset_all(command, OPERATOR)
        assert answer.status.mode is TradingMode.NORMAL
        assert [move.drawdown for move in answer.moved_anchors] == ["DAILY"]
        assert kinds_of(store)[-1] == "ResetAll"


async def test_easing_lets_positions_be_left(tmp_path: Path) -> None:
    """HALT becomes REDUCE_ONLY, with proof (S10.3)."""
    async with running(MemoryStore(), tmp_path) as service:
        await service.trigger_kill(a_kill(), BOT)
        answer = await service.ease_kill(EASE, OPERATOR)
        assert answer.changed
        assert answer.status.mode is TradingMode.REDUCE_ONLY


async def test_a_reservation_is_released_by_hand(tmp_path: Path) -> None:
    """With proof, durable before the answer; twice changes nothing (S7.5)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.check_order(an_order(), BOT)
        assert (await service.release_order(RELEASE, OPERATOR)).changed
        assert service.list_orders() == []
        assert store.durable_sequence == store.last_sequence
        assert not (await service.release_order(RELEASE, OPERATOR)).changed


async def test_a_failed_release_opens_the_gate_again(tmp_path: Path) -> None:
    """The caller is told, and the next command is answered (S12.3)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.check_order(an_order(), BOT)
        store.fail_next_sync()
        with pytest.raises(CallRefused):
            await service.release_order(RELEASE, OPERATOR)
        assert not (await service.check_order(an_order("next"), BOT)).is_approved


# The clock.


async def test_a_clock_jump_is_journalled_shown_and_accepted(tmp_path: Path) -> None:
    """`now` stays ahead until an operator re-bases it; a restart begins at the wall (S2.2)."""
    store, clock = MemoryStore(), ManualClock()
    async with running(store, tmp_path, clock=clock) as service:
        clock.jump(3_600 * SECOND)
        await service.check_order(an_order(), BOT)
        assert "ClockJump" in kinds_of(store)
        clock.jump(-3_600 * SECOND)
        await service.check_order(an_order("two"), BOT)
        assert kinds_of(store).count("ClockJump") == 2
        assert "ahead of the wall" in service.status().clock_problem
        ahead = service.status().view.now
        answer = await service.accept_clock("alice", "a bad time server", OPERATOR)
        assert answer.changed
        assert service.status().view.now == ahead - 3_600 * SECOND
        assert service.status().clock_problem == ""
        assert not (await service.accept_clock("alice", "again", OPERATOR)).changed
    again = store.reopen()
    assert open_state(again).state.now == clock.wall()
    assert replayed(again) == to_plain(open_state(again).state)


async def test_a_driven_clock_is_not_re_based(tmp_path: Path) -> None:
    """It has no wall (S2.5)."""
    store = MemoryStore(clock_kind="driven")
    async with running(store, tmp_path, clock=DrivenClock()) as service:
        with pytest.raises(CallRefused) as caught:
            await service.accept_clock("alice", "why not", OPERATOR)
        assert caught.value.reason == "CLOCK_DRIVEN"


# Proofs.


async def test_a_nonce_is_remembered_over_a_power_cut(tmp_path: Path) -> None:
    """A proof starts once, even across a restart (S11)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        assert await service.remember_nonce("nonce", 600, 0) is NonceOutcome.FRESH
        assert await service.remember_nonce("nonce", 600, 0) is NonceOutcome.SEEN
        after = store.crash(is_power_lost=True)
    async with running(after, tmp_path) as service:
        assert await service.remember_nonce("nonce", 600, 0) is NonceOutcome.SEEN
        after.poison("input/output error")
        assert await service.remember_nonce("other", 600, 0) is NonceOutcome.UNAVAILABLE


async def test_a_loss_that_came_with_the_reset_is_seen(tmp_path: Path) -> None:
    """After a reset the day's allowance is not fresh: the next report trips again (S8.5)."""
    async with running(MemoryStore(), tmp_path) as service:
        await service.report_account(equity_report(94_000, "loss"), BOT)
        rebase = ResetBreaker(reset_by="alice", reason="accepted", rebase=(Drawdown.DAILY,))
        await service.reset_breaker(rebase, OPERATOR)
        assert (await service.check_order(an_order(quantity=Decimal(1)), BOT)).is_approved
        answer = await service.report_account(equity_report(89_000, "more"), BOT)
        assert answer.status.is_breaker_open
