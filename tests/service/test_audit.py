"""Receipts and signed heads of a running sidecar: true, durable, and never in the way."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sidecar.audit.heads import verify_head
from sidecar.audit.items import META_PUBLIC_KEY
from sidecar.audit.keys import Signing
from sidecar.clock import SECOND_NS
from sidecar.core.answers import Receipt, StartAnswer, TradeAnswer
from sidecar.core.commands import ReleaseOrder, ReportApiError
from sidecar.core.denial import CallRefused
from sidecar.service import Service
from sidecar.service.audit import Audit
from sidecar.store.memory_store import MemoryStore
from sidecar.store.merkle_tree import Frontier
from tests.service.harness import (
    BOT,
    OPERATOR,
    a_fill,
    a_kill,
    a_reset,
    an_order,
    equity_report,
    running,
    turns,
    until,
)
from tests.service.reloading import BY_ALICE, DRY, LOOSER, NOW, TIGHTER, File, reloading

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
SIGNING = Signing(key=KEY)


def root_over(store: MemoryStore, size: int) -> bytes:
    """Return the root over the first `size` records, computed from nothing."""
    frontier = Frontier()
    for sequence, record in store.read(1):
        if sequence <= size:
            frontier.append(record)
    return frontier.root()


async def test_every_answer_that_changes_state_carries_a_true_receipt(tmp_path: Path) -> None:
    """Reports, kills, starts: size and root of a journal that holds the answer's record (S13)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.check_order(an_order(), BOT)
        await service.check_order(an_order("order-2"), BOT)
        error = ReportApiError(report_id="e-1", api="venue", error_code="429", message="slow")
        answers = [
            await service.report_trade(a_fill(), BOT),
            *await service.report_trades([a_fill("fill-2"), a_fill("fill-3")], BOT),
            await service.report_api_error(error, BOT),
            await service.report_account(equity_report(90_000, "a-1"), BOT),
            await service.trigger_kill(a_kill(), BOT),
            await service.trigger_kill(a_kill(), BOT),
            await service.reset_kill(a_reset(), OPERATOR),
            await service.release_order(
                ReleaseOrder(order_id="order-2", released_by="alice", reason="never sent"), OPERATOR
            ),
        ]
        for answer in answers:
            assert not isinstance(answer, CallRefused)
            receipt = answer.receipt
            assert receipt is not None
            assert answer.sequence <= receipt.size <= store.durable_sequence
            assert receipt.root == root_over(store, receipt.size)


async def test_a_repeat_and_a_start_that_changes_nothing_carry_one_too(tmp_path: Path) -> None:
    """An answer without a record of its own speaks of the journal that made it so (S13)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.check_order(an_order(), BOT)
        await service.report_trade(a_fill(), BOT)
        again: TradeAnswer = await service.report_trade(a_fill(), BOT)
        unchanged: StartAnswer = await service.reset_kill(a_reset(), OPERATOR)
        for answer in (again, unchanged):
            assert answer.receipt is not None
            assert answer.receipt.root == root_over(store, answer.receipt.size)


async def test_a_receipt_speaks_of_nothing_a_power_cut_could_take(tmp_path: Path) -> None:
    """What came after the report, while it waited for the disk, is not in its receipt (S13)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.check_order(an_order(), BOT)
        store.hold_syncs()
        waiting = asyncio.create_task(service.report_trade(a_fill(), BOT))
        await turns()
        await service.check_order(an_order("later"), BOT)
        store.release_syncs()
        answer = await waiting
        assert answer.receipt == Receipt(answer.sequence, root_over(store, answer.sequence))


async def test_a_status_has_the_receipt_of_durable_records_alone(tmp_path: Path) -> None:
    """While the disk is held the status keeps the older receipt; then it follows (S13)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        durable = store.durable_sequence
        assert service.status().receipt == Receipt(durable, root_over(store, durable))
        store.hold_syncs()
        await service.check_order(an_order(), BOT)
        for _ in range(3):
            assert service.status().receipt == Receipt(durable, root_over(store, durable))
        store.release_syncs()
        await until(lambda: store.durable_sequence == store.last_sequence)
        last = store.last_sequence
        assert service.status().receipt == Receipt(last, root_over(store, last))


async def test_a_kill_the_disk_refuses_has_no_receipt(tmp_path: Path) -> None:
    """Not durable, so nothing to keep; the kill holds all the same (S10.2, S13)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        store.fail_next_sync()
        answer = await service.trigger_kill(a_kill(), BOT)
        assert not answer.durable
        assert answer.receipt is None
        assert service.status().receipt is not None


async def test_a_decision_carries_none(tmp_path: Path) -> None:
    """CheckOrder is the hot path: no root is computed for it (S13)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        decision = await service.check_order(an_order(), BOT)
        assert not hasattr(decision, "receipt")


async def test_heads_are_signed_at_start_and_stop_over_all_there_is(tmp_path: Path) -> None:
    """The first head speaks of the start, the last of everything, the stop included (S13)."""
    store = MemoryStore()
    async with running(store, tmp_path, signing=SIGNING) as service:
        first = store.read_heads(0, 10)
        assert sizes_of(store) == [store.durable_sequence]
        await service.check_order(an_order(), BOT)
        reopened = store
    store = reopened.reopen()
    heads = store.read_heads(0, 10)
    assert [size for size, _ in heads] == [first[0][0], store.last_sequence]
    for size, note in heads:
        head = verify_head(note, SIGNING.public_key)
        assert head.store_id == store.store_id
        assert (head.tree.size, head.tree.root) == (size, root_over(store, size))
    assert head.tree.chain_hash == store.chain_hash
    assert store.meta_get(META_PUBLIC_KEY) == SIGNING.public_key.hex()


def sizes_of(store: MemoryStore) -> list[int]:
    """Return how many records each signed head speaks of."""
    return [size for size, _ in store.read_heads(0, 100)]


class Hour:
    """Real time that moves when told."""

    def __init__(self) -> None:
        """Begin somewhere."""
        self.now = 1_700_000_000 * SECOND_NS

    def __call__(self) -> int:
        """Return it."""
        return self.now


async def _written(store: MemoryStore, count: int) -> None:
    for _ in range(count):
        store.append([(store.last_sequence + 1, b"record")])
    await store.sync(store.last_sequence)


async def test_a_head_is_signed_every_minute_in_which_the_journal_grew() -> None:
    """59 s: none. 60 s: one. Another minute without a record: none. A clock set back: one (S13)."""
    store, hour = MemoryStore(), Hour()
    audit = Audit(store=store, signing=SIGNING, real_time_ns=hour)
    await _written(store, 2)
    audit.sign()
    assert sizes_of(store) == [2]
    await _written(store, 1)
    hour.now += 59 * SECOND_NS
    audit.sign_if_due()
    assert sizes_of(store) == [2]
    hour.now += SECOND_NS
    audit.sign_if_due()
    assert sizes_of(store) == [2, 3]
    hour.now += 120 * SECOND_NS
    audit.sign_if_due()
    assert sizes_of(store) == [2, 3]
    await _written(store, 1)
    hour.now -= 3_600 * SECOND_NS
    audit.sign_if_due()
    assert sizes_of(store) == [2, 3, 4]


async def test_a_head_never_speaks_of_what_is_not_durable() -> None:
    """While nothing new is durable none is signed, however long that lasts (S13)."""
    store, hour = MemoryStore(), Hour()
    audit = Audit(store=store, signing=SIGNING, real_time_ns=hour)
    store.append([(1, b"record")])
    audit.sign()
    assert store.read_heads(0, 10) == []
    await store.sync(1)
    store.append([(2, b"record")])
    audit.sign()
    assert sizes_of(store) == [1]


async def test_without_a_usable_key_it_guards_unsigned_and_says_so(tmp_path: Path) -> None:
    """Status, health and start name the problem; orders are decided as ever (S13)."""
    store = MemoryStore()
    signing = Signing(problem="audit.key is gone")
    service: Service
    async with running(store, tmp_path, signing=signing) as service:
        assert (await service.check_order(an_order(), BOT)).is_approved
        assert service.status().audit_problem == "audit.key is gone"
        (part,) = [part for part in service.health() if part.name == "audit"]
        assert (part.is_well, part.is_needed, part.cause) == (False, False, "audit.key is gone")
        assert service.is_ready
    assert store.reopen().read_heads(0, 10) == []


async def test_a_poisoned_store_is_left_alone(tmp_path: Path) -> None:
    """After the first failed sync no head is written, and stopping does not fail (S12.3)."""
    store = MemoryStore()
    async with running(store, tmp_path, signing=SIGNING) as service:
        heads = store.read_heads(0, 10)
        store.fail_next_sync()
        with pytest.raises(CallRefused, match="could not be made durable"):
            await service.report_account(equity_report(1, "a-1"), BOT)
        service.audit.sign()
        assert store.read_heads(0, 10) == heads
        assert not await service.stop()


async def test_reading_ends_with_what_is_durable(tmp_path: Path) -> None:
    """A page never holds a record that a loss of power could take back (S13)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        durable = store.durable_sequence
        store.hold_syncs()
        for at in range(3):
            await service.check_order(an_order(f"o-{at}", quantity=Decimal(1)), BOT)
        records = service.audit.read(1)
        assert [item.sequence for item in records] == list(range(1, durable + 1))
        assert service.audit.read(durable + 1) == []
        assert service.audit.first_wanted(0) == 1


async def test_a_reload_carries_one_where_it_is_in_force(tmp_path: Path) -> None:
    """Tightened, loosened, and in force already: a true receipt; a dry run has none (S13)."""
    store, file = MemoryStore(), File()
    async with reloading(store, tmp_path, file) as service:
        unchanged = await service.reloads.reload(NOW, BOT)
        file.text = TIGHTER
        dry = await service.reloads.reload(DRY, BOT)
        tighter = await service.reloads.reload(NOW, BOT)
        file.text = LOOSER
        looser = await service.reloads.reload(BY_ALICE, OPERATOR)
        assert dry.receipt is None
        for answer in (unchanged, tighter, looser):
            receipt = answer.receipt
            assert receipt is not None
            assert answer.sequence <= receipt.size <= store.durable_sequence
            assert receipt.root == root_over(store, receipt.size)
        store.fail_next_sync()
        file.text = TIGHTER
        in_memory = await service.reloads.reload(NOW, BOT)
        assert (in_memory.durable, in_memory.receipt) == (False, None)
