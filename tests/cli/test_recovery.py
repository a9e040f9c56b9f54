"""A real sidecar killed with -9 while a snapshot is under way: what a start finds."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from bench.recovery import fill
from sidecar.core import engine
from sidecar.core.snapshot import to_parts
from sidecar.core.state import State
from sidecar.service.opening import read_state
from sidecar.service.records import decode_record
from sidecar.store.read_only import open_read_only
from sidecar.store.snapshot import SNAPSHOT_BESIDE_NAME, list_snapshot_files
from tests.cli.running import running

EVENTS = 27_000
"""More than lie between two snapshots."""
WAIT_SECONDS_MAX = 60


def test_a_sidecar_killed_while_it_snapshots_starts_from_what_was_whole(tmp_path: Path) -> None:
    """The directory is free at once, nothing half counts, and the state is the whole replay."""
    directory = tmp_path / "d"
    plenty = ("--equity", "1000000000000000")
    with running(directory, *plenty) as sidecar:
        process = sidecar.process
        assert process is not None
        address = f"unix:{directory}/run/haltline.sock"
        asyncio.run(fill(address, EVENTS))
        wait_until(lambda: list_snapshot_files(directory))
        ((first, _),) = list_snapshot_files(directory)
        with ThreadPoolExecutor(1) as pool:
            flood = pool.submit(asyncio.run, fill(address, 2 * EVENTS, first=EVENTS))
            wait_until(lambda: workers_of(process.pid))
            workers = workers_of(process.pid)
            sidecar.stop(signal.SIGKILL)
            assert isinstance(flood.exception(), grpc.aio.AioRpcError)
        with open_read_only(directory) as reader:
            newest, _ = list_snapshot_files(directory)[0]
            read = read_state(reader)
            assert read.damage is None
            assert newest >= first
            assert read.replayed_count == reader.last_sequence - newest
            assert list(to_parts(read.state)) == list(to_parts(replayed(reader.read(1))))
        assert f"recovered {read.state.last_sequence} records" in sidecar.start(*plenty)
        wait_until(lambda: not any(is_alive(pid) for pid in workers))
        wait_until(lambda: list_snapshot_files(directory)[0][0] > newest)
        assert sidecar.stop() == 0
    assert SNAPSHOT_BESIDE_NAME not in {path.name for path in directory.iterdir()}


def replayed(records: Iterable[tuple[int, bytes]]) -> State:
    """Return the state that the journal alone gives."""
    state = State()
    for sequence, payload in records:
        record = decode_record(payload)
        engine.replay(state, sequence, record.time, record.events)
    return state


def workers_of(pid: int) -> list[int]:
    """Return the processes that any thread of a sidecar has started and that still run."""
    children = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in children for child in path.read_text("utf-8").split()]


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that only waits to be reaped does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return text.rpartition(")")[2].split()[0] not in {"Z", "X"}


def wait_until(condition: Callable[[], object]) -> None:
    """Return once `condition` holds; fails after a minute."""
    until = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.01)
