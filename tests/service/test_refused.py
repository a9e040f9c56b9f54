"""Refused attempts in the journal: who, what, why, within bounds, and nothing decided by them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from sidecar.core import engine
from sidecar.core.attempts import SINGLES_COUNT_MAX
from sidecar.core.commands import BatchMode
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.core.events import AttemptRefused
from sidecar.core.state import State, to_plain
from sidecar.service.callers import SIGNAL_ACTOR
from sidecar.service.records import Record
from sidecar.service.refused import KIND, TEXT_LENGTH_MAX
from sidecar.store.memory_store import MemoryStore
from tests.service.harness import (
    BOT,
    OBSERVER,
    OPERATOR,
    a_fill,
    a_kill,
    a_reset,
    an_order,
    records_of,
    replayed,
    running,
    turns,
    until,
)
from tests.service.reloading import LOOSER, File, reloading

REFUSED = CallRefused(ErrorCode.PERMISSION_DENIED, "OPERATOR_PROOF_WRONG", "the signature is wrong")


def attempts_in(store: MemoryStore) -> list[tuple[Record, AttemptRefused]]:
    """Return every attempt in the journal with its record."""
    return [
        (record, event)
        for record in records_of(store)
        for event in record.events
        if isinstance(event, AttemptRefused)
    ]


async def test_a_refusal_is_a_record_of_who_what_and_why(tmp_path: Path) -> None:
    """Actor, call, code, sentence and the caller's own words, cut, stand in one record (S13)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        service.refused.note("ResetKill", REFUSED, BOT.actor, "mallory", "x" * 5_000)
        ((record, event),) = attempts_in(store)
        assert record.kind == KIND
        assert record.actor == BOT.actor
        assert (event.call, event.code) == ("ResetKill", "OPERATOR_PROOF_WRONG")
        assert event.why == "the signature is wrong"
        assert event.by == "mallory"
        assert len(event.reason) == TEXT_LENGTH_MAX
        assert event.reason.endswith(" ...")


async def test_a_refused_bot_call_is_journalled(tmp_path: Path) -> None:
    """An observer that asks about orders or reports leaves a record (S13)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        with pytest.raises(CallRefused):
            await service.check_order(an_order(), OBSERVER)
        with pytest.raises(CallRefused):
            await service.report_trade(a_fill(), OBSERVER)
        found = [(event.call, event.code) for _, event in attempts_in(store)]
        assert found == [
            ("CheckOrder", "ROLE_NOT_ALLOWED"),
            ("ReportTrade", "ROLE_NOT_ALLOWED"),
        ]


async def test_an_order_under_another_s_id_is_journalled(tmp_path: Path) -> None:
    """Refused without a decision, alone and in batches, it was tried; a dry run was not (S13)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.check_order(an_order(), BOT)
        other = an_order(quantity=Decimal(11))
        with pytest.raises(CallRefused):
            await service.check_order(other, BOT)
        with pytest.raises(CallRefused):
            await service.check_orders([other], BatchMode.ALL_OR_NONE, BOT)
        await service.check_orders([an_order("o-2"), other], BatchMode.INDEPENDENT, BOT)
        found = [(event.call, event.code) for _, event in attempts_in(store)]
        assert found == [("CheckOrder", "ORDER_ID_REUSED")] * 3
        await service.check_order(replace(other, dry_run=True), BOT)
        assert len(attempts_in(store)) == 3


async def test_attempts_change_nothing(tmp_path: Path) -> None:
    """State and replay are what they were, whatever was refused (S13)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.check_order(an_order(), BOT)
        await service.trigger_kill(a_kill(), BOT)
        epoch = service.stop_epoch
        for _ in range(3):
            service.refused.note("ResetKill", REFUSED, BOT.actor)
        assert service.stop_epoch == epoch
        assert not (await service.check_order(an_order("after"), BOT)).is_approved
    state = State()
    for record in records_of(store):
        if record.kind != KIND:
            engine.replay(state, record.sequence, record.time, record.events)
    without = to_plain(state)
    assert replayed(store) == without


async def test_a_flood_costs_a_record_a_second_and_loses_no_count(tmp_path: Path) -> None:
    """Five thousand refusals: ten singly, the rest in few records, and the counts add up (S13)."""
    store = MemoryStore()
    flood = 5_000
    async with running(store, tmp_path) as service:
        before = store.last_sequence
        for at in range(flood):
            service.refused.note("ResetKill", REFUSED, BOT.actor, f"name-{at}", "why not")
        assert store.last_sequence - before <= SINGLES_COUNT_MAX + 2
    found = [event for _, event in attempts_in(store.reopen())]
    assert sum(event.count for event in found) == flood
    assert len(found) <= SINGLES_COUNT_MAX + 5
    assert found[-1].by == ""


async def test_an_attempt_waits_for_a_start_that_waits_for_the_disk(tmp_path: Path) -> None:
    """A record must not slip between a reset's record and its effect (S10.3)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        await service.trigger_kill(a_kill(), BOT)
        store.hold_syncs()
        reset = asyncio.create_task(service.reset_kill(a_reset(), OPERATOR))
        await turns()
        service.refused.note("ResetKill", REFUSED, BOT.actor)
        assert attempts_in(store) == []
        store.release_syncs()
        assert (await reset).changed
        await until(lambda: attempts_in(store))


async def test_where_nothing_is_written_attempts_are_let_go(tmp_path: Path) -> None:
    """A poisoned store takes no record; attempts pile up nowhere (S12.3)."""
    store = MemoryStore()
    async with running(store, tmp_path) as service:
        store.poison("no disk")
        for _ in range(1_000):
            service.refused.note("ResetKill", REFUSED, BOT.actor)
        assert attempts_in(store) == []
        assert service.refused._actors == []  # noqa: SLF001 - the bound itself


async def test_a_signal_that_may_not_loosen_is_journalled(tmp_path: Path) -> None:
    """SIGHUP on a looser file changes nothing, and the journal says that it was tried (S13)."""
    store, file = MemoryStore(), File()
    async with reloading(store, tmp_path, file) as service:
        file.text = LOOSER
        await service.reloads.reload_on_signal()
        ((record, event),) = attempts_in(store)
        assert (event.call, event.code) == ("ReloadConfig", "OPERATOR_PROOF_REQUIRED")
        assert record.actor == SIGNAL_ACTOR
