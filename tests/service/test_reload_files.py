"""Which file is read again, by whom, and what is said of one that changes nothing (S1.1)."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from sidecar.clock import ManualClock
from sidecar.config import (
    Configuration,
    parse,
)
from sidecar.core.answers import ReloadAnswer
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.core.events import ConfigurationApplied
from sidecar.core.state import to_plain
from sidecar.core.tightening import Direction
from sidecar.service import ConfigurationSource
from sidecar.service.records import decode_snapshot
from sidecar.service.reload import WAITING_MAX
from sidecar.store.memory_store import MemoryStore
from tests.service.harness import (
    BOT,
    OBSERVER,
    OPERATOR,
    SECOND,
    an_order,
    holding,
    kinds_of,
    records_of,
    replayed,
    running,
    turns,
    until,
)
from tests.service.reloading import (
    BEFORE,
    BY_ALICE,
    DRY,
    FAULTY,
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


async def test_a_faulty_file_keeps_what_was_in_force_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every fault by name, in the answer, the log and health, until a sound one was read."""
    store, file = MemoryStore(), File()
    async with reloading(store, tmp_path, file) as service:
        file.text = FAULTY
        dry = await refused(service, DRY)
        assert part(service).is_well
        problem = await refused(service)
        assert problem.reason == dry.reason == "CONFIGURATION_FAULTY"
        assert problem.code is ErrorCode.FAILED_PRECONDITION
        faulty = ["position_limits.max_position", "position_limits.per_symbol_ratio"]
        assert sorted(fault.field for fault in problem.field_faults) == faulty
        assert not part(service).is_well
        assert not part(service).is_needed
        assert service.is_ready
        for text in (part(service).cause, caplog.text):
            assert all(key in text for key in faulty)
        assert service.config_hash == hash_of(BEFORE)
        await refused(service)
        assert caplog.text.count("the file cannot be used") == 1
        file.text = BEFORE
        answer = await service.reloads.reload(NOW, BOT)
        assert not answer.changed
        assert part(service).is_well


@pytest.mark.parametrize(
    "line",
    ['[server]\nlisten = ["127.0.0.1:1"]\n', '[server]\nloopback_role = "observer"\n'],
)
async def test_what_needs_a_restart_is_refused_by_name_and_nothing_applied(
    tmp_path: Path, line: str
) -> None:
    """Not with proof either, and nothing of the file: half a file is no file."""
    file = File()
    async with reloading(MemoryStore(), tmp_path, file) as service:
        file.text = TIGHTER + line
        with pytest.raises(CallRefused) as caught:
            await service.reloads.reload(BY_ALICE, OPERATOR)
        assert caught.value.reason == "RESTART_REQUIRED"
        key = f"server.{line.split()[1]}"
        assert [fault.field for fault in caught.value.field_faults] == [key]
        assert service.config_hash == hash_of(BEFORE)
        answer = await service.reloads.reload(DRY, BOT)
        assert answer.needs_restart
        assert (key, Direction.RESTART) in keys(answer)


async def test_a_proof_is_for_the_file_its_operator_saw(tmp_path: Path) -> None:
    """Who can write the file cannot slip another one under an operator's proof (S1.1, S11)."""
    file = File()
    async with reloading(MemoryStore(), tmp_path, file) as service:
        file.text = LOOSER
        seen = (await service.reloads.reload(DRY, OPERATOR)).config_hash
        command = replace(BY_ALICE, expected_hash=seen)
        file.text = BEFORE.replace("0.2", "0.6")
        with pytest.raises(CallRefused) as caught:
            await service.reloads.reload(command, OPERATOR)
        assert caught.value.code is ErrorCode.ABORTED
        assert caught.value.reason == "CONFIGURATION_CHANGED"
        assert service.config_hash == hash_of(BEFORE)
        file.text = LOOSER
        assert (await service.reloads.reload(command, OPERATOR)).changed


async def test_a_dry_run_says_what_would_change_and_changes_nothing(tmp_path: Path) -> None:
    """Directions and whether proof is needed, without a record (contract.md)."""
    store, file = MemoryStore(), File()
    async with reloading(store, tmp_path, file) as service:
        before, revision = store.last_sequence, service.revision
        file.text = MIXED
        answer = await service.reloads.reload(DRY, OBSERVER)
        assert (answer.changed, answer.needs_proof, answer.sequence) == (False, True, 0)
        assert keys(answer) == [
            ("circuit_breaker.api_errors", Direction.TIGHTENS),
            ("position_limits.per_symbol_ratio", Direction.LOOSENS),
        ]
        assert (answer.previous_hash, answer.config_hash) == (hash_of(BEFORE), hash_of(MIXED))
        assert (store.last_sequence, service.revision) == (before, revision)
        assert service.config_hash == hash_of(BEFORE)


async def test_a_signal_tightens(tmp_path: Path) -> None:
    """SIGHUP of whoever may signal the process, named in the record (S13)."""
    store, file = MemoryStore(), File()
    async with reloading(store, tmp_path, file) as service:
        file.text = TIGHTER
        await service.reloads.reload_on_signal()
        assert service.config_hash == hash_of(TIGHTER)
        assert records_of(store)[-1].actor.name == "SIGHUP"
        assert applied(records_of(store)[-1]).applied_by == "SIGHUP"


@pytest.mark.parametrize("text", [LOOSER, MIXED, FAULTY])
async def test_a_signal_never_loosens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """A signal proves nothing; that it changed nothing stands in log and health (S1.1)."""
    file = File()
    caplog.set_level(logging.INFO)
    async with reloading(MemoryStore(), tmp_path, file) as service:
        file.text = text
        await service.reloads.reload_on_signal()
        assert service.config_hash == hash_of(BEFORE)
        assert "SIGHUP changed nothing" in part(service).cause
        assert "per_symbol_ratio" in part(service).cause
        assert part(service).cause in caplog.text


async def test_what_the_file_s_reader_breaks_on_changes_nothing(tmp_path: Path) -> None:
    """A reader that fails in a way nobody foresaw ends nothing but its own reload."""

    def read() -> Configuration:
        raise OSError("the machine is on fire")

    source = ConfigurationSource(configuration=parse(BEFORE), read=read)
    async with running(MemoryStore(), tmp_path, source=source) as service:
        await service.reloads.reload_on_signal()
        assert part(service).cause == "SIGHUP changed nothing; the log says why"


async def test_a_sidecar_without_a_file_has_nothing_to_read_again(tmp_path: Path) -> None:
    """The refusal says so, with the way out."""
    async with running(MemoryStore(), tmp_path) as service:
        problem = await refused(service)
        assert problem.reason == "NO_CONFIGURATION_FILE"
        assert "--config FILE" in problem.message


async def test_what_stands_beside_the_core_follows(tmp_path: Path) -> None:
    """Room on the disk and durability of approvals change with the file that says so (S12.1)."""
    store, file = MemoryStore(), File(BEFORE + '[approvals]\ndurability = "process"\n')
    async with reloading(store, tmp_path, file) as service:
        power = f'{BEFORE}[approvals]\ndurability = "power"\n'
        file.text = f"{power}[store]\ndisk_free_min_bytes = {2**50}\n"
        assert (await service.reloads.reload(NOW, BOT)).changed
        assert service.status().store.is_low
        file.text = power
        assert (await service.reloads.reload(BY_ALICE, OPERATOR)).changed
        assert not service.status().store.is_low
        store.hold_syncs()
        asked = asyncio.create_task(service.check_order(an_order(), BOT))
        await turns()
        assert not asked.done()
        store.release_syncs()
        assert (await asked).is_approved


async def test_an_order_in_flight_names_the_rules_it_was_judged_by(tmp_path: Path) -> None:
    """Approved before, answered after: the approval stands, and says under which rules (S4.6)."""
    store, file = MemoryStore(), File(BEFORE + '[approvals]\ndurability = "power"\n')
    async with reloading(store, tmp_path, file) as service:
        store.hold_syncs()
        asked = asyncio.create_task(service.check_order(an_order(), BOT))
        await until(lambda: kinds_of(store)[-1] == "CheckOrder")
        file.text = TIGHTER + '[approvals]\ndurability = "power"\n'
        task = asyncio.create_task(service.reloads.reload(NOW, BOT))
        await until(lambda: service.config_hash == hash_of(file.text))
        store.release_syncs()
        assert (await task).durable
        decision = await asked
        assert decision.is_approved
        assert decision.config_hash == hash_of(BEFORE)


async def test_reloads_come_one_at_a_time_and_not_without_end(tmp_path: Path) -> None:
    """Each is judged by what is in force when its turn comes; too many are refused."""
    store, file = MemoryStore(), File()
    async with reloading(store, tmp_path, file) as service:
        store.hold_syncs()
        file.text = TIGHTER
        first = asyncio.create_task(service.reloads.reload(NOW, BOT))
        await until(lambda: service.config_hash == hash_of(TIGHTER))
        more = [asyncio.create_task(service.reloads.reload(NOW, BOT)) for _ in range(WAITING_MAX)]
        await turns()
        store.release_syncs()
        answers = await asyncio.gather(first, *more, return_exceptions=True)
        changed = [a.changed for a in answers if isinstance(a, ReloadAnswer)]
        assert changed == [True] + [False] * (WAITING_MAX - 1)
        (problem,) = [a for a in answers if isinstance(a, CallRefused)]
        assert problem.code is ErrorCode.RESOURCE_EXHAUSTED
        assert kinds_of(store).count("ReloadConfig") == 1


async def test_a_caller_that_goes_away_leaves_a_whole_reload(tmp_path: Path) -> None:
    """The disk's answer completes a loosening without it, and the next reload has its turn."""
    store, file = MemoryStore(), File()
    async with reloading(store, tmp_path, file) as service:
        store.hold_syncs()
        file.text = LOOSER
        task = asyncio.create_task(service.reloads.reload(BY_ALICE, OPERATOR))
        await until(lambda: kinds_of(store)[-1] == "ReloadConfig")
        task.cancel()
        await asyncio.wait((task,))
        store.release_syncs()
        await until(lambda: service.config_hash == hash_of(LOOSER))
        file.text = TIGHTER
        assert (await service.reloads.reload(NOW, BOT)).changed


async def test_a_file_is_judged_by_what_is_in_force_when_its_turn_comes(tmp_path: Path) -> None:
    """Not by what was when it was read: tighter than then may be looser than now (S1.1)."""
    store, file = MemoryStore(), File()
    async with reloading(store, tmp_path, file) as service:
        store.hold_syncs()
        file.text = MIXED
        task = asyncio.create_task(service.reloads.reload(BY_ALICE, OPERATOR))
        await until(lambda: kinds_of(store)[-1] == "ReloadConfig")
        task.cancel()
        await asyncio.wait((task,))
        file.text = BEFORE.replace("= 5", "= 4")
        second = asyncio.create_task(service.reloads.reload(NOW, BOT))
        reads = file.reads_count
        await until(lambda: file.reads_count > reads)
        await turns()
        store.release_syncs()
        with pytest.raises(CallRefused) as caught:
            await second
        assert [fault.field for fault in caught.value.field_faults] == [
            "circuit_breaker.api_errors"
        ]
        assert service.config_hash == hash_of(MIXED)


async def test_the_journal_alone_gives_the_state_after_reloads(tmp_path: Path) -> None:
    """Tighter, looser, another zone, with orders between: replay and snapshot agree (S3)."""
    store, file, clock = MemoryStore(), File(), ManualClock()
    async with reloading(store, tmp_path, file, clock) as service:
        await service.report_account(holding(service), BOT)
        texts = (TIGHTER, MIXED, BEFORE + '[account]\nzone = "Asia/Tokyo"\n', LOOSER)
        for number, text in enumerate(texts):
            await service.check_order(an_order(f"o-{number}", quantity=Decimal(1)), BOT)
            file.text = text
            assert (await service.reloads.reload(BY_ALICE, OPERATOR)).changed
            clock.advance(8 * 3_600 * SECOND)
            await service.check_order(an_order(f"p-{number}", quantity=Decimal(1)), BOT)
    again = store.reopen()
    found = again.latest_snapshot()
    assert found is not None
    assert to_plain(decode_snapshot(found[1])) == replayed(again)


async def test_the_next_start_takes_its_own_file_and_both_are_recorded(tmp_path: Path) -> None:
    """A reload that was answered stays in the journal; a start is its file's (S13)."""
    store, file = MemoryStore(), File()
    async with reloading(store, tmp_path, file) as service:
        file.text = TIGHTER
        await service.reloads.reload(NOW, BOT)
        crashed = store.crash(is_power_lost=False)
    file.text = LOOSER
    async with reloading(crashed, tmp_path, file) as service:
        assert service.config_hash == hash_of(LOOSER)
    hashes = [
        (event.previous_hash, event.config_hash)
        for record in records_of(crashed)
        for event in record.events
        if isinstance(event, ConfigurationApplied)
    ]
    assert hashes == [
        ("", hash_of(BEFORE)),
        (hash_of(BEFORE), hash_of(TIGHTER)),
        (hash_of(TIGHTER), hash_of(LOOSER)),
    ]
