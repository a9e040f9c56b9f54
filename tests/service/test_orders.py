"""Orders through the service: written before they are answered, never given out overtaken."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import pytest

from sidecar.core import engine
from sidecar.core.commands import BatchMode, KillMode, TriggerKill
from sidecar.core.denial import CallRefused, DenialCode, ErrorCode, Layer, malformed
from sidecar.service import Service
from sidecar.service.opening import open_state
from sidecar.service.orders import JUDGED_COUNT_MAX
from sidecar.store.memory_store import MemoryStore
from tests.service.harness import (
    BOT,
    OBSERVER,
    a_fill,
    a_kill,
    an_exit,
    an_order,
    holding,
    kinds_of,
    running,
    turns,
    until,
)


async def test_an_approval_is_written_before_it_is_answered(tmp_path: Path) -> None:
    """After kill -9 right behind the answer the reservation is still there (S12.1)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        decision = await service.check_order(an_order(), BOT)
        assert decision.is_approved
        assert decision.durable
        assert store.last_sequence == decision.sequence
        found = open_state(store.crash(is_power_lost=False)).state
        assert list(found.open_orders) == ["order-1"]


async def test_an_approval_becomes_power_durable_soon_after(tmp_path: Path) -> None:
    """Nobody waits for it, and it is synced all the same (S12.1)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        decision = await service.check_order(an_order(), BOT)
        await until(lambda: store.durable_sequence >= decision.sequence)


async def test_neither_an_approval_nor_a_denial_waits_for_the_disk(tmp_path: Path) -> None:
    """Approvals are process-durable before the answer, denials are not waited for (S12.1)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        store.hold_syncs()
        assert (await service.check_order(an_order(), BOT)).is_approved
        denied = await service.check_order(an_order("big", quantity=Decimal(10_000)), BOT)
        assert not denied.is_approved
        assert kinds_of(store)[-2:] == ["CheckOrder", "CheckOrder"]


async def test_a_dry_run_leaves_no_record_and_uses_no_sequence(tmp_path: Path) -> None:
    """A dry run is not journalled and counts for nothing (S4.8)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        before = store.last_sequence
        decision = await service.check_order(an_order(dry_run=True), BOT)
        assert decision.is_approved
        assert decision.sequence == 0
        assert store.last_sequence == before == service.status().view.last_sequence
        assert (await service.check_order(an_order(), BOT)).sequence == before + 1


async def test_a_refused_call_is_no_decision_and_leaves_no_gap(tmp_path: Path) -> None:
    """Its one record says that it was tried; the next record follows without a gap (S13)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        first = await service.check_order(an_order(), BOT)
        with pytest.raises(CallRefused) as caught:
            await service.check_order(an_order(quantity=Decimal(11)), BOT)
        assert caught.value.code is ErrorCode.ALREADY_EXISTS
        assert kinds_of(store)[first.sequence :] == ["AttemptRefused"]
        assert (await service.check_order(an_order("two"), BOT)).sequence == first.sequence + 2


async def test_an_observer_asks_nothing(tmp_path: Path) -> None:
    """An observer reads and stops; it does not spend limits."""
    async with running(MemoryStore(), tmp_path) as service:
        with pytest.raises(CallRefused) as caught:
            await service.check_order(an_order(), OBSERVER)
        assert caught.value.code is ErrorCode.PERMISSION_DENIED


async def test_a_thousand_concurrent_checks_share_the_room_for_ten(tmp_path: Path) -> None:
    """Room for ten orders never approves an eleventh, however many ask at once (S7.1)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        orders = [an_order(f"order-{n}", quantity=Decimal(30)) for n in range(1_000)]
        answers = await asyncio.gather(*(service.check_order(order, BOT) for order in orders))
        assert len({answer.sequence for answer in answers if answer.is_approved}) == 10
        assert all(answer.sequence for answer in answers)
        # Denied alike, they share records (S12.6).
        assert len({answer.sequence for answer in answers}) < 200


# Approvals that wait for the disk.


async def power_check(service: Service, store: MemoryStore) -> asyncio.Task[bool]:
    """Ask for an order whose approval waits for the disk, and return while it does."""
    store.hold_syncs()
    asked = asyncio.create_task(check_is_approved(service))
    await turns()
    assert not asked.done()
    return asked


async def check_is_approved(service: Service) -> bool:
    """Return whether `an_order` is approved."""
    return (await service.check_order(an_order(), BOT)).is_approved


async def test_a_power_durable_approval_waits_for_the_disk(tmp_path: Path) -> None:
    """With `approvals.durability = "power"` the answer is worth a power cut (S12.1)."""
    store = MemoryStore()
    async with running(store, tmp_path, approvals_need_power=True) as service:
        asked = await power_check(service, store)
        store.release_syncs()
        assert await asked
        assert store.durable_sequence == store.last_sequence


async def test_an_approval_overtaken_by_a_kill_is_given_out_as_a_denial(tmp_path: Path) -> None:
    """The stop epoch is looked at once more after the last await (S4.7)."""
    store = MemoryStore()
    async with running(store, tmp_path, approvals_need_power=True) as service:
        asked = asyncio.create_task(service.check_order(an_order(), BOT))
        store.hold_syncs()
        await turns()
        killed = asyncio.create_task(service.trigger_kill(a_kill(), BOT))
        await turns()
        store.release_syncs()
        assert (await killed).durable
        decision = await asked
        codes = [violation.code for violation in decision.violations]
        assert codes == [DenialCode.KILL_SWITCH_HALT, DenialCode.APPROVAL_NO_LONGER_VALID]


async def test_an_exit_overtaken_by_a_milder_kill_is_approved_anew(tmp_path: Path) -> None:
    """A reducing order survives REDUCE_ONLY: judged anew, same single reservation (S4.1)."""
    store = MemoryStore()
    async with running(store, tmp_path, approvals_need_power=True) as service:
        await service.report_account(holding(service), BOT)
        store.hold_syncs()
        asked = asyncio.create_task(service.check_order(an_exit(), BOT))
        await turns()
        killed = asyncio.create_task(service.trigger_kill(a_kill(KillMode.REDUCE_ONLY), BOT))
        await turns()
        store.release_syncs()
        await killed
        decision = await asked
        assert decision.is_approved
        assert decision.replayed
        assert decision.stop_epoch == service.stop_epoch
        assert len(service.list_orders()) == 1


class OvertakingStore(MemoryStore):
    """A store behind which another kill comes with every sync of an approval."""

    overtake: Callable[[], Awaitable[object]] | None = None

    async def sync(self, sequence: int) -> None:
        """Sync, and let the kill come before the caller goes on."""
        await super().sync(sequence)
        overtake, self.overtake = self.overtake, None
        if overtake is not None:
            await overtake()
            self.overtake = overtake


async def test_an_order_overtaken_again_and_again_is_refused(tmp_path: Path) -> None:
    """Judging anew is bounded: no answer means denied (S15)."""
    store = OvertakingStore()
    async with running(store, tmp_path, approvals_need_power=True) as service:
        await service.report_account(holding(service), BOT)
        names = (f"OTHER-{number}" for number in itertools.count())

        async def kill_another() -> object:
            scope = TriggerKill(scope_kind="SYMBOL", scope_name=next(names))
            return await service.trigger_kill(scope, BOT)

        store.overtake = kill_another
        with pytest.raises(CallRefused) as caught:
            await service.check_order(an_exit(), BOT)
        store.overtake = None
        assert caught.value.reason == "STOPPED_MEANWHILE"
        assert service.stop_epoch == JUDGED_COUNT_MAX


async def test_no_item_of_a_batch_is_overtaken_while_another_waits(tmp_path: Path) -> None:
    """Two exits asked together, a kill behind the first sync and the third: the first exit is ready
    while the second one waits, and must not be given out under the older epoch (S4.7).
    """
    store = OvertakingStore()
    async with running(store, tmp_path, approvals_need_power=True) as service:
        await service.report_account(holding(service), BOT)
        names = iter(["ONE", "", "TWO"])

        async def kill_another() -> None:
            name = next(names, "")
            if name:
                await service.trigger_kill(TriggerKill(scope_kind="SYMBOL", scope_name=name), BOT)

        store.overtake = kill_another
        exits = [an_exit("exit-1"), an_exit("exit-2")]
        results = await service.check_orders(exits, BatchMode.INDEPENDENT, BOT)
        store.overtake = None
        decisions = [result.decision for result in results if result.decision is not None]
        assert len(decisions) == 2
        assert service.stop_epoch == 2
        assert {d.stop_epoch for d in decisions if d.is_approved} == {2}


async def test_a_cancelled_caller_leaves_a_whole_decision(tmp_path: Path) -> None:
    """A deadline while the disk works: asked again, the one reservation is repeated (S4.1)."""
    store = MemoryStore()
    async with running(store, tmp_path, approvals_need_power=True) as service:
        asked = await power_check(service, store)
        asked.cancel()
        await asyncio.wait((asked,))
        assert asked.cancelled()
        store.release_syncs()
        again = await service.check_order(an_order(), BOT)
        assert again.is_approved
        assert again.replayed
        assert len(service.list_orders()) == 1


async def test_an_approval_whose_sync_fails_is_given_out_as_a_denial(tmp_path: Path) -> None:
    """All waiters get a denial when the disk refuses (S12.3)."""
    store = MemoryStore()
    async with running(store, tmp_path, approvals_need_power=True) as service:
        store.fail_next_sync()
        decision = await service.check_order(an_order(), BOT)
        assert decision.violations[0].code is DenialCode.STORE_UNAVAILABLE
        assert not service.is_ready


# A store that refuses.


async def test_an_order_whose_record_cannot_be_written_is_denied(tmp_path: Path) -> None:
    """Memory may be ahead of the disk, so nothing that raises is approved any more (S4.2)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        store.fail_next_append()
        for order_id in ("order-1", "order-1", "order-2"):
            decision = await service.check_order(an_order(order_id), BOT)
            assert not decision.is_approved
            assert decision.layer is Layer.STORE
            assert decision.violations[0].code is DenialCode.STORE_UNAVAILABLE
        assert open_state(store.crash(is_power_lost=False)).state.orders == {}


async def test_an_exit_is_approved_from_memory_by_a_poisoned_store(tmp_path: Path) -> None:
    """A reducing order that layers 1 and 2 allow is approved with durable = false (S4.2)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.report_account(holding(service), BOT)
        store.fail_next_append()
        decision = await service.check_order(an_exit(), BOT)
        assert decision.is_approved
        assert not decision.durable
        assert not (await service.check_order(an_exit("exit-2"), BOT)).durable


async def test_a_poisoned_store_keeps_the_kill_switch_in_front_of_exits(tmp_path: Path) -> None:
    """From memory or not, HALT denies every order (S4.3)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.report_account(holding(service), BOT)
        store.fail_next_append()
        await service.trigger_kill(a_kill(), BOT)
        decision = await service.check_order(an_exit(), BOT)
        assert decision.violations[0].code is DenialCode.KILL_SWITCH_HALT


async def test_little_room_on_the_disk_denies_what_raises_exposure(tmp_path: Path) -> None:
    """STORE_LOW below the bound, and where the room cannot be told (S4.2, S1.2)."""
    for free_bytes in (1, None):
        store = MemoryStore()
        store.free_bytes_now = free_bytes
        async with running(store, tmp_path) as service:
            decision = await service.check_order(an_order(), BOT)
            assert decision.violations[0].code is DenialCode.STORE_LOW
            assert service.is_ready


async def test_a_broken_invariant_denies_every_order_and_not_the_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception nobody foresaw stops approvals at that instant; a stop still works."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.report_account(holding(service), BOT)
        real = engine.execute

        def fails(*arguments: object) -> object:
            if getattr(arguments[1], "order_id", "") == "strange":
                raise ZeroDivisionError("nobody foresaw this")
            return real(*arguments)  # type: ignore[arg-type] # passed through

        monkeypatch.setattr(engine, "execute", fails)
        with pytest.raises(CallRefused) as caught:
            await service.check_order(an_order("strange"), BOT)
        assert caught.value.code is ErrorCode.INTERNAL
        for order in (an_order(), an_exit()):
            assert not (await service.check_order(order, BOT)).is_approved
        assert not service.is_ready
        assert any("nobody foresaw" in part.cause for part in service.health())
        assert (await service.trigger_kill(a_kill(), BOT)).durable


# Batches.


async def test_each_order_of_a_batch_sees_the_reservations_before_it(tmp_path: Path) -> None:
    """INDEPENDENT: one answer each, in order, malformed ones among them (contract.md)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        refused = malformed([])
        orders = [an_order(f"order-{n}", quantity=Decimal(150)) for n in range(3)]
        results = await service.check_orders(
            [*orders[:2], refused, orders[2]], BatchMode.INDEPENDENT, BOT
        )
        assert [r.decision and r.decision.is_approved for r in results] == [True, True, None, False]
        assert results[2].refused is refused
        assert kinds_of(store)[-3:] == ["CheckOrder"] * 3


async def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """One append for the batch; where it fails, every approval in it is a denial (S12.3)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        before = store.last_sequence
        store.fail_next_append()
        orders = [an_order(f"order-{n}") for n in range(3)]
        results = await service.check_orders(orders, BatchMode.INDEPENDENT, BOT)
        assert [r.decision and r.decision.is_approved for r in results] == [False] * 3
        assert store.last_sequence == before


async def test_an_all_or_none_batch_reserves_all_or_nothing(tmp_path: Path) -> None:
    """One denial denies all, and what was reserved for the others is given back (contract.md)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        orders = [an_order(f"order-{n}", quantity=Decimal(150)) for n in range(3)]
        results = await service.check_orders(orders, BatchMode.ALL_OR_NONE, BOT)
        assert not any(r.decision and r.decision.is_approved for r in results)
        assert service.list_orders() == []
        results = await service.check_orders(orders[:2], BatchMode.ALL_OR_NONE, BOT)
        assert all(r.decision and r.decision.is_approved for r in results)
        assert len(service.list_orders()) == 2
        assert kinds_of(store)[-2:] == ["CheckOrders"] * 2


async def test_an_all_or_none_batch_with_a_malformed_order_judges_nothing(tmp_path: Path) -> None:
    """The malformed one is named, the others are not judged, nothing is journalled."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        before = store.last_sequence
        refused = malformed([])
        results = await service.check_orders([an_order(), refused], BatchMode.ALL_OR_NONE, BOT)
        assert results[1].refused is refused
        assert results[0].refused is not None
        assert results[0].refused.reason == "BATCH_NOT_JUDGED"
        assert store.last_sequence == before


@pytest.mark.parametrize("mode", list(BatchMode))
async def test_an_id_twice_in_a_batch_is_a_fault(tmp_path: Path, mode: BatchMode) -> None:
    """Two orders under one id cannot both be meant (contract.md)."""
    async with running(MemoryStore(), tmp_path) as service:
        with pytest.raises(CallRefused) as caught:
            await service.check_orders([an_order(), an_order()], mode, BOT)
        assert caught.value.field_faults[0].field == "orders[1].order_id"


async def test_an_all_or_none_batch_whose_record_cannot_be_written_is_denied(
    tmp_path: Path,
) -> None:
    """A batch is no way around a store that refuses (S4.2)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        store.fail_next_append()
        results = await service.check_orders([an_order()], BatchMode.ALL_OR_NONE, BOT)
        assert results[0].decision is not None
        assert results[0].decision.violations[0].code is DenialCode.STORE_UNAVAILABLE


async def test_a_reported_order_is_not_approved_again_after_a_batch(tmp_path: Path) -> None:
    """Reports count between the orders of later batches as between single ones (S4.1)."""
    async with running(MemoryStore(), tmp_path) as service:
        await service.check_orders([an_order()], BatchMode.INDEPENDENT, BOT)
        await service.report_trade(a_fill(), BOT)
        results = await service.check_orders([an_order()], BatchMode.INDEPENDENT, BOT)
        assert results[0].decision is not None
        assert results[0].decision.violations[0].code is DenialCode.ORDER_ALREADY_REPORTED
