"""Snapshots while the sidecar runs: made apart, equal to the replay, never in the way (S12.5)."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson
import pytest

from sidecar.core import engine
from sidecar.core.commands import ReportKind
from sidecar.core.denial import DenialCode
from sidecar.core.snapshot import to_parts
from sidecar.core.state import State
from sidecar.service import Service, snapshots
from sidecar.service.opening import open_state
from sidecar.service.records import decode_record, decode_snapshot
from sidecar.service.snapshot_worker import (
    FRAME,
    MARK_SEQUENCE,
    DiffersError,
    Job,
    Mark,
    begin_from,
    fingerprint,
    fold,
    make,
    read_frames,
)
from sidecar.store.errors import StoreSnapshotError
from sidecar.store.snapshot import (
    SNAPSHOT_BESIDE_NAME,
    keep,
    list_snapshot_files,
    read_head,
    snapshots_in,
)
from sidecar.store.sqlite_store import SqliteStore
from tests.service.harness import (
    BOT,
    a_fill,
    a_kill,
    an_order,
    kinds_of,
    make_service,
    until,
)
from tests.service.test_on_disk import open_store

BETWEEN = 40


async def started(
    directory: Path,
    **settings: Any,  # noqa: ANN401 - the fields of Settings, by name
) -> tuple[Service, SqliteStore]:
    """Return a service over the store on disk that wants a snapshot every forty records."""
    store = open_store(directory)
    given = {"snapshot_records_between": BETWEEN, **settings}
    service = make_service(store, directory, **given)
    await service.start()
    return service, store


async def trade(service: Service, first: int, count: int = BETWEEN // 2) -> None:
    """Approve and cancel `count` orders: two records each."""
    for number in range(first, first + count):
        await service.check_order(an_order(f"o{number}"), BOT)
        canceled = replace(
            a_fill("end", f"o{number}"),
            kind=ReportKind.CANCELED,
            fill_quantity=None,
            fill_price=None,
        )
        await service.report_trade(canceled, BOT)


def kept(directory: Path) -> list[int]:
    """Return the records of the snapshots that count, oldest first."""
    return sorted(sequence for sequence, _ in list_snapshot_files(directory))


def names_in(directory: Path) -> set[str]:
    """Return what lies in a directory."""
    return {path.name for path in directory.iterdir()}


async def newer_than(sequence: int, directory: Path) -> None:
    """Return once a snapshot of a later record counts."""
    await until(lambda: kept(directory)[-1:] > [sequence])


def copied(directory: Path, tmp_path: Path) -> Path:
    """Return what a kill -9 at this instant leaves."""
    return Path(shutil.copytree(directory, tmp_path / "killed"))


async def test_a_kill_after_weeks_replays_only_what_came_after_the_newest_snapshot(
    tmp_path: Path,
) -> None:
    """Snapshots are made while serving, each from the one before; the last two stay (S12.5)."""
    directory = tmp_path / "data"
    service, store = await started(directory)
    for turn in range(3):
        before = store.last_sequence
        await trade(service, turn * BETWEEN)
        await newer_than(before, directory)
    assert kinds_of(store).count("Snapshot") == 3
    await until(lambda: len(kept(directory)) == 2)
    killed = open_store(copied(directory, tmp_path))
    opened = open_state(killed)
    assert opened.replayed_count <= BETWEEN + 3
    assert list(to_parts(opened.state)) == list(to_parts(full_replay(killed)))
    killed.close(clean=False)
    assert await service.stop()


def full_replay(store: SqliteStore) -> State:
    """Return the state that the journal alone gives."""
    state = State()
    for sequence, payload in store.read(1):
        record = decode_record(payload)
        engine.replay(state, sequence, record.time, record.events)
    return state


async def test_a_snapshot_says_where_it_stands_in_the_chain(tmp_path: Path) -> None:
    """Its head names the journal's hash there, so that the chain is proved from it on (S12.4)."""
    service, store = await started(tmp_path)
    await trade(service, 0)
    await until(lambda: kept(tmp_path))
    ((sequence, path),) = list_snapshot_files(tmp_path)
    head = read_head(path, sequence)
    assert head is not None
    assert head["chain_hash"] == chain_hash_at(store, sequence)
    found = store.latest_snapshot()
    assert found is not None
    assert decode_snapshot(found[1]).last_sequence == sequence
    assert await service.stop()


def chain_hash_at(store: SqliteStore, sequence: int) -> str:
    """Return the chain's hash after a record, in hex."""
    connection = store._connection  # noqa: SLF001 - the row itself is what is asked about
    assert connection is not None
    row = next(connection.execute("SELECT hash FROM journal WHERE sequence = ?", (sequence,)))
    return bytes(row[0]).hex()


async def test_a_torn_snapshot_gives_way_to_the_one_before(tmp_path: Path) -> None:
    """Torn between write and use: the earlier one and the records since are the state (S12.5)."""
    directory = tmp_path / "data"
    service, store = await started(directory)
    for turn in range(2):
        before = store.last_sequence
        await trade(service, turn * BETWEEN)
        await newer_than(before, directory)
    assert await service.stop()
    earlier, newest = kept(directory)
    path = dict(list_snapshot_files(directory))[newest]
    path.write_bytes(path.read_bytes()[:-7])
    store = open_store(directory)
    opened = open_state(store)
    assert opened.replayed_count == store.last_sequence - earlier
    assert list(to_parts(opened.state)) == list(to_parts(full_replay(store)))
    assert any(str(newest) in note and "damaged" in note for note in opened.notes)
    store.close(clean=False)


async def test_a_snapshot_of_another_past_is_no_beginning(tmp_path: Path) -> None:
    """Left out at the start, it is not begun from later: good books would seem to differ."""
    other, directory = tmp_path / "other", tmp_path / "data"
    for place, orders in ((other, 90), (directory, 5)):
        service, _ = await started(place, snapshot_records_between=10**9)
        await trade(service, 0, orders)
        assert await service.stop()
    ((sequence, path),) = list_snapshot_files(other)
    service, store = await started(directory)
    shutil.copy(path, directory)
    before = store.last_sequence
    await trade(service, 100)
    await until(lambda: any(before < at < sequence for at in kept(directory)))
    assert service.is_ready
    assert all(part.is_well for part in service.health())
    assert await service.stop()


async def test_a_worker_that_is_killed_costs_nothing_and_is_not_started_again_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The snapshot is dropped with a note; the next is tried after as many records again."""
    half = tmp_path / SNAPSHOT_BESIDE_NAME
    dies = f"open({str(half)!r}, 'w').write('half'); import os; os.kill(os.getpid(), 9)"
    monkeypatch.setattr(snapshots, "_RUN_WORKER", dies)
    service, store = await started(tmp_path)
    with caplog.at_level(logging.WARNING):
        await trade(service, 0)
        await until(lambda: "no snapshot at record" in caplog.text)
    assert "the worker ended with -9" in caplog.text
    (part,) = [part for part in service.health() if part.name == "snapshot"]
    assert "the worker ended with -9" in part.cause
    assert service.is_ready, "it costs time at the next start, and nothing else"
    await trade(service, 100, 2)
    assert caplog.text.count("no snapshot at record") == 1
    assert SNAPSHOT_BESIDE_NAME not in names_in(tmp_path)
    assert kept(tmp_path) == []
    assert store.poisoned is None
    monkeypatch.undo()
    await trade(service, 200)
    await until(lambda: kept(tmp_path))
    assert all(part.is_well for part in service.health())
    assert await service.stop()


async def test_a_snapshot_leaves_the_journal_its_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk that is nearly full keeps what is left of it for the journal (S4.2, S12.3)."""
    service, store = await started(tmp_path, disk_free_min_bytes=1 << 60)
    with caplog.at_level(logging.WARNING):
        # Denied alike, the orders share a record (S12.6): the reports have one each.
        await trade(service, 0, BETWEEN)
        await until(lambda: "are kept for the journal" in caplog.text)
    assert kept(tmp_path) == []
    assert store.poisoned is None
    await service.stop()


async def test_a_sync_that_failed_in_the_worker_poisons_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk that refused it holds the journal too: nothing is believed any more (S12.3)."""
    says = "print(0, flush=True); print('OSError: [Errno 5] Input/output error'); exit(4)"
    monkeypatch.setattr(snapshots, "_RUN_WORKER", says)
    service, store = await started(tmp_path)
    await trade(service, 0)
    await until(lambda: store.poisoned)
    assert "snapshot sync failed: OSError: [Errno 5]" in str(store.poisoned)
    answer = await service.check_order(an_order("late"), BOT)
    assert answer.violations[0].code is DenialCode.STORE_UNAVAILABLE
    assert not await service.stop()


async def test_books_that_are_not_what_the_journal_says_stop_everything(tmp_path: Path) -> None:
    """A cent in memory that no record explains: fail closed, and say so (S1.2, S12.5)."""
    service, _ = await started(tmp_path)
    service._writer.state.account.cash += Decimal("0.01")  # noqa: SLF001 - a flipped bit of memory
    await trade(service, 0)
    await until(lambda: not service.is_ready)
    causes = [part.cause for part in service.health() if not part.is_well]
    assert any("differ from the replay of the journal" in cause for cause in causes)
    answer = await service.check_order(an_order("late"), BOT)
    assert not answer.is_approved
    assert (await service.trigger_kill(a_kill(), BOT)).durable
    assert kept(tmp_path) == []
    assert not await service.stop()


async def test_a_stop_does_not_wait_for_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ended, its file never counts, and the stop keeps a snapshot of its own."""
    hangs = "import time; print(0, flush=True); time.sleep(1000)"
    monkeypatch.setattr(snapshots, "_RUN_WORKER", hangs)
    begun: list[subprocess.Popen[bytes]] = []
    start = snapshots._start  # noqa: SLF001 - to see the process

    def seen(job: Job) -> subprocess.Popen[bytes]:
        begun.append(start(job))
        return begun[-1]

    monkeypatch.setattr(snapshots, "_start", seen)
    service, store = await started(tmp_path)
    await trade(service, 0)
    await until(lambda: begun)
    assert await service.stop()
    assert begun[0].returncode == -signal.SIGKILL
    assert kept(tmp_path) == [store.last_sequence]


async def test_the_worker_holds_nothing_of_the_sidecar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lock, journal, socket or secret: after a kill -9 the directory is free at once (S12.8)."""
    monkeypatch.setenv("KILL_SWITCH_SECRET", "not for the worker")
    looks = (
        "import os; print(0, flush=True); "
        "print([os.readlink(f'/proc/self/fd/{at}') for at in range(3, 64) "
        "if os.path.islink(f'/proc/self/fd/{at}')], "
        "[name for name in os.environ if 'SECRET' in name]); exit(1)"
    )
    monkeypatch.setattr(snapshots, "_RUN_WORKER", looks)
    service, _ = await started(tmp_path)
    await trade(service, 0)
    await until(lambda: service._snapshots.problem)  # noqa: SLF001 - what the worker said
    assert "[] []" in service._snapshots.problem  # noqa: SLF001 - what the worker said
    assert await service.stop()


def test_the_worker_ends_with_the_sidecar() -> None:
    """Killed with -9, a sidecar leaves no process behind that writes in its directory."""
    parent = (
        "import os, subprocess, sys; "
        "from sidecar.service.snapshot_worker import _step_back; "
        "print(os.getpid(), flush=True); "
        "child = subprocess.Popen([sys.executable, '-c', "
        "'import os, sys, time; from sidecar.service.snapshot_worker import _step_back; "
        "_step_back(0, os.getppid()); print(os.getpid(), flush=True); time.sleep(1000)']); "
        "child.wait()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        worker = int(process.stdout.readline())
        assert is_alive(worker)
        process.kill()
        process.wait()
        asyncio.run(until(lambda: not is_alive(worker)))


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that only waits to be reaped does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return text.rpartition(")")[2].split()[0] not in {"Z", "X"}


# The worker's own parts.


def frames_of(records: list[tuple[int, bytes]], *marks: Mark) -> BytesIO:
    """Return records as they are sent to the worker, with the mark behind them."""
    frames = [*records, *((MARK_SEQUENCE, orjson.dumps(mark)) for mark in marks)]
    return BytesIO(b"".join(FRAME.pack(at, len(data)) + data for at, data in frames))


def job_in(directory: Path) -> Job:
    """Return the job of a worker that has `directory` to itself."""
    directory.mkdir(exist_ok=True)
    return Job(
        directory=str(directory),
        base_sequence=max(kept(directory), default=0),
        beside=str(directory / "beside"),
        free_bytes_min=0,
        niceness=0,
        parent_pid=os.getpid(),
    )


async def test_what_the_worker_writes_is_the_replay(tmp_path: Path) -> None:
    """From nothing, and from a snapshot: the same state, and the same witness (S12.5)."""
    service, store = await started(tmp_path / "data", snapshot_records_between=10**9)
    await trade(service, 0)
    for turn in range(2):
        await trade(service, turn * BETWEEN)
        job = job_in(tmp_path / "work")
        base = begin_from(job).last_sequence
        assert bool(base) is bool(turn)
        whole, records = full_replay(store), list(store.read(base + 1))
        sequence, head = store.last_sequence, store.snapshot_head()
        mark = Mark(sequence=sequence, head=head, witness=fingerprint(whole))
        told = BytesIO()
        size = make(job, frames_of(records, mark), told)
        assert told.getvalue() == b"%d\n" % base
        assert os.stat(job.beside).st_size == size  # noqa: PTH116 - one look at a small file
        keep(Path(job.directory), sequence, Path(job.beside))
        (_, payload), *_ = snapshots_in(Path(job.directory), [])
        assert list(to_parts(decode_snapshot(payload))) == list(to_parts(whole))
        assert begin_from(job_in(tmp_path / "work")).last_sequence == sequence
    await service.stop()


def test_a_state_with_another_witness_makes_no_snapshot(tmp_path: Path) -> None:
    """What lives differs from the replay: nothing is written (S12.5)."""
    job = job_in(tmp_path)
    mark = Mark(sequence=0, head={"sequence": 0}, witness="other")
    with pytest.raises(DiffersError, match="that in memory other"):
        make(job, frames_of([], mark), BytesIO())
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_cannot_be_replayed_is_a_difference() -> None:
    """The next start could not replay it either: better said now than then (S12.4)."""
    with pytest.raises(DiffersError, match="record 1 cannot be replayed"):
        fold(State(), iter([(1, b"{}")]))


@pytest.mark.parametrize("frames", [b"", FRAME.pack(1, 10)[:-1]])
def test_records_that_end_too_soon_make_no_snapshot(frames: bytes) -> None:
    """The sidecar went away, or stopped: nothing is written."""
    with pytest.raises(StoreSnapshotError, match="the records end at 0, before their mark"):
        fold(State(), read_frames(BytesIO(frames)))


def test_a_mark_of_another_record_makes_no_snapshot() -> None:
    """A snapshot under the wrong number would be the state of another moment."""
    mark = Mark(sequence=7, head={}, witness="")
    with pytest.raises(StoreSnapshotError, match="the records end at 0"):
        fold(State(), read_frames(frames_of([], mark)))
