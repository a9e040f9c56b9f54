"""The configuration read again while running: tightening is easy, loosening is hard (S1.1, S13)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sidecar.clock import ManualClock
from sidecar.config import (
    parse,
    print_effective,
)
from sidecar.core.answers import TradingMode
from sidecar.core.commands import ReportApiError, TriggerKill
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.core.events import BreakerOpened, ConfigurationApplied
from sidecar.core.state import to_plain
from sidecar.core.tightening import Direction
from sidecar.service.opening import open_state
from sidecar.service.records import decode_snapshot
from sidecar.service.starts import FALLBACK_REASON
from sidecar.store.memory_store import MemoryStore
from tests.service.harness import (
    BOT,
    OBSERVER,
    OPERATOR,
    SECOND,
    a_kill,
    an_order,
    holding,
    kinds_of,
    records_of,
    replayed,
    turns,
    until,
)
from tests.service.reloading import (
    BEFORE,
    BY_ALICE,
    LOOSER,
    MIXED,
    NOW,
    TIGHTER,
    File,
    applied,
    hash_of,
    keys,
    part,
    refused,
    reloading,
)


@pytest.mark.parametrize("caller", [BOT, OBSERVER, OPERATOR])
async def test_what_only_tightens_is_free_and_effective_at_once(
    tmp_path: Path,
    caller: object,
) -> None:
    """Anyone may have a tighter file read; the very next order is judged by it (S1.1)."""
    store, file = MemoryStore(), File()
    async with reloading(store, tmp_path, file) as service:
        assert (await service.check_order(an_order(), BOT)).is_approved
        revision = service.revision
        file.text = TIGHTER
        answer = await service.reloads.reload(NOW, caller)  # type: ignore[arg-type] # a caller
        assert answer.changed
        assert answer.durable
        assert not answer.needs_proof
        assert keys(answer) == [("position_limits.per_symbol_ratio", Direction.TIGHTENS)]
        assert (answer.previous_hash, answer.config_hash) == (hash_of(BEFORE), hash_of(TIGHTER))
        assert service.config_hash == service.status().config_hash == hash_of(TIGHTER)
        assert service.reloads.toml == print_effective(parse(TIGHTER))
        assert service.revision > revision
        denied = await service.check_order(an_order("order-2"), BOT)
        assert not denied.is_approved
        assert denied.config_hash == hash_of(TIGHTER)
        record = records_of(store)[answer.sequence - 1]
        assert (record.kind, record.actor.role) == ("ReloadConfig", caller.role.value)  # type: ignore[attr-defined] # a caller
        assert record.config_hash == hash_of(TIGHTER)
        event = applied(record)
        assert event.changed == ("position_limits.per_symbol_ratio",)
        assert (event.previous_hash, event.config_hash) == (hash_of(BEFORE), hash_of(TIGHTER))
        crashed = open_state(store.crash(is_power_lost=True)).state
        assert crashed.config_hash == hash_of(TIGHTER)


@pytest.mark.parametrize(
    ("text", "loosening"),
    [
        (LOOSER, ["position_limits.per_symbol_ratio"]),
        (MIXED, ["position_limits.per_symbol_ratio"]),
        (BEFORE + '[account]\nzone = "Asia/Tokyo"\n', ["account.zone"]),
    ],
)
async def test_without_proof_nothing_of_a_looser_file_comes_into_force(
    tmp_path: Path, text: str, loosening: list[str]
) -> None:
    """The refusal names the keys and what proof is needed; what tightens beside them waits too."""
    store, file = MemoryStore(), File()
    async with reloading(store, tmp_path, file) as service:
        before = store.last_sequence
        file.text = text
        problem = await refused(service, BY_ALICE)
        assert (problem.code, problem.reason) == (
            ErrorCode.UNAUTHENTICATED,
            "OPERATOR_PROOF_REQUIRED",
        )
        assert [fault.field for fault in problem.field_faults] == loosening
        assert BOT.proof_problem in problem.message
        assert service.config_hash == hash_of(BEFORE)
        assert store.last_sequence == before
        assert part(service).is_well


async def test_with_proof_a_looser_file_comes_into_force_and_says_who_did_it(
    tmp_path: Path,
) -> None:
    """Both hashes, the keys, the name and the reason stand in one record (S13)."""
    store, file = MemoryStore(), File()
    async with reloading(store, tmp_path, file) as service:
        file.text = MIXED
        answer = await service.reloads.reload(BY_ALICE, OPERATOR)
        assert answer.changed
        assert answer.needs_proof
        record = records_of(store)[answer.sequence - 1]
        assert (record.actor.role, record.config_hash) == ("OPERATOR", hash_of(MIXED))
        event = applied(record)
        assert (event.applied_by, event.reason) == ("alice", "the week is quiet")
        assert event.changed == (
            "circuit_breaker.api_errors",
            "position_limits.per_symbol_ratio",
        )
        assert service.config_hash == hash_of(MIXED)
        crashed = open_state(store.crash(is_power_lost=True)).state
        assert crashed.config_hash == hash_of(MIXED)


async def test_a_loosening_says_who_and_why(tmp_path: Path) -> None:
    """Starting is hard: both words are asked for, by name."""
    file = File()
    async with reloading(MemoryStore(), tmp_path, file) as service:
        file.text = LOOSER
        with pytest.raises(CallRefused) as caught:
            await service.reloads.reload(NOW, OPERATOR)
        assert caught.value.code is ErrorCode.INVALID_ARGUMENT
        assert [fault.field for fault in caught.value.field_faults] == ["reloaded_by", "reason"]
        assert service.config_hash == hash_of(BEFORE)


async def test_a_loosening_is_effective_when_it_is_durable_and_not_before(tmp_path: Path) -> None:
    """Durable first, then effective; what is asked meanwhile is judged after (S10.3)."""
    store, file = MemoryStore(), File(TIGHTER)
    async with reloading(store, tmp_path, file) as service:
        store.hold_syncs()
        file.text = BEFORE
        task = asyncio.create_task(service.reloads.reload(BY_ALICE, OPERATOR))
        await until(lambda: kinds_of(store)[-1] == "ReloadConfig")
        asked = asyncio.create_task(service.check_order(an_order(), BOT))
        await turns()
        assert not asked.done()
        assert service.config_hash == hash_of(TIGHTER)
        assert service.reloads.toml == print_effective(parse(TIGHTER))
        store.release_syncs()
        assert (await task).changed
        decision = await asked
        assert decision.is_approved
        assert decision.config_hash == hash_of(BEFORE)


async def test_a_loosening_the_disk_refuses_never_happened(tmp_path: Path) -> None:
    """It is dropped, the caller is told, and what was in force stays (S10.3)."""
    store, file = MemoryStore(), File()
    async with reloading(store, tmp_path, file) as service:
        file.text = LOOSER
        store.fail_next_sync()
        with pytest.raises(CallRefused) as caught:
            await service.reloads.reload(BY_ALICE, OPERATOR)
        assert caught.value.code is ErrorCode.UNAVAILABLE
        assert service.config_hash == hash_of(BEFORE)
        assert service.reloads.toml == print_effective(parse(BEFORE))
        with pytest.raises(CallRefused):
            await service.reloads.reload(BY_ALICE, OPERATOR)
        assert service.config_hash == hash_of(BEFORE)


async def test_a_tightening_the_disk_refuses_holds_in_memory(tmp_path: Path) -> None:
    """Stopping is easy: it is in force, and the answer says that it is not durable (S10.2)."""
    store, file = MemoryStore(), File()
    async with reloading(store, tmp_path, file) as service:
        file.text = TIGHTER
        store.fail_next_sync()
        answer = await service.reloads.reload(NOW, BOT)
        assert (answer.changed, answer.durable, answer.sequence) == (True, False, 0)
        assert service.config_hash == hash_of(TIGHTER)
        file.text = TIGHTER.replace("= 5", "= 4")
        answer = await service.reloads.reload(NOW, BOT)
        assert (answer.changed, answer.durable) == (True, False)
        assert service.config_hash == hash_of(file.text)


async def test_a_kill_never_waits_for_a_loosening(tmp_path: Path) -> None:
    """The looser file is applied, the kill follows in the same turn, and replay agrees (S10.3)."""
    store, file = MemoryStore(), File()
    async with reloading(store, tmp_path, file) as service:
        store.hold_syncs()
        file.text = LOOSER
        task = asyncio.create_task(service.reloads.reload(BY_ALICE, OPERATOR))
        await until(lambda: kinds_of(store)[-1] == "ReloadConfig")
        killing = asyncio.create_task(service.trigger_kill(a_kill(), BOT))
        await turns()
        assert service.status().view.mode is TradingMode.HALTED
        assert service.config_hash == hash_of(LOOSER)
        store.release_syncs()
        assert (await killing).durable
        assert (await task).changed
        assert kinds_of(store)[-2:] == ["ReloadConfig", "TriggerKill"]
    again = store.reopen()
    found = again.latest_snapshot()
    assert found is not None
    assert to_plain(decode_snapshot(found[1])) == replayed(again)


async def test_a_loosening_applied_for_a_kill_that_the_disk_then_refuses_halts(
    tmp_path: Path,
) -> None:
    """Memory is ahead of the disk there, so everything stops (S10.3)."""
    store, file = MemoryStore(), File()
    async with reloading(store, tmp_path, file) as service:
        store.hold_syncs()
        file.text = LOOSER
        task = asyncio.create_task(service.reloads.reload(BY_ALICE, OPERATOR))
        await until(lambda: kinds_of(store)[-1] == "ReloadConfig")
        store.fail_next_sync()
        scoped = TriggerKill(scope_kind="STRATEGY", scope_name="momentum", mode="REDUCE_ONLY")
        killing = asyncio.create_task(service.trigger_kill(scoped, BOT))
        await turns()
        store.release_syncs()
        assert not (await killing).durable
        with pytest.raises(CallRefused):
            await task
        assert service.status().view.mode is TradingMode.HALTED
        assert FALLBACK_REASON in [active.reason for active in service.status().view.activations]


async def test_a_threshold_that_is_reached_already_trips_at_once(tmp_path: Path) -> None:
    """The trip stands in the record of the reload, and is durable with it (S9)."""
    store, file = MemoryStore(), File()
    async with reloading(store, tmp_path, file) as service:
        for number in range(2):
            await service.report_api_error(
                ReportApiError(report_id=f"e{number}", api="venue", error_code="500", message=""),
                BOT,
            )
        file.text = BEFORE.replace("= 5", "= 2")
        answer = await service.reloads.reload(NOW, BOT)
        assert answer.status.is_breaker_open
        events = records_of(store)[answer.sequence - 1].events
        assert [type(event) for event in events][:2] == [ConfigurationApplied, BreakerOpened]
        crashed = open_state(store.crash(is_power_lost=True)).state
        assert [cause.cause for cause in crashed.breaker.causes] == ["API_ERRORS"]


async def test_what_a_looser_file_tightens_trips_before_the_answer(tmp_path: Path) -> None:
    """The trip has a record of its own behind the reload's, durable before the answer (S12.1)."""
    store, file = MemoryStore(), File()
    async with reloading(store, tmp_path, file) as service:
        for number in range(2):
            await service.report_api_error(
                ReportApiError(report_id=f"e{number}", api="venue", error_code="500", message=""),
                BOT,
            )
        file.text = MIXED
        answer = await service.reloads.reload(BY_ALICE, OPERATOR)
        assert answer.status.is_breaker_open
        assert kinds_of(store)[-2:] == ["ReloadConfig", "ReloadConfig"]
        crashed = open_state(store.crash(is_power_lost=True)).state
        assert [cause.cause for cause in crashed.breaker.causes] == ["API_ERRORS"]


async def test_a_silence_that_is_too_long_by_the_new_rules_trips_at_once(tmp_path: Path) -> None:
    """The dead man's switch, switched on, looks back (S9, BOT_SILENT)."""
    store, file, clock = MemoryStore(), File(), ManualClock()
    async with reloading(store, tmp_path, file, clock) as service:
        await service.report_account(holding(service), BOT)
        clock.advance(301 * SECOND)
        file.text = BEFORE + "bot_silence_seconds = 300\n"
        answer = await service.reloads.reload(NOW, BOT)
        assert answer.status.is_breaker_open
        crashed = open_state(store.crash(is_power_lost=True)).state
        assert [cause.cause for cause in crashed.breaker.causes] == ["BOT_SILENT"]
