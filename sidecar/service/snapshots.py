"""Snapshots while the sidecar runs, so that a kill -9 after weeks is recovered in seconds (S12.5).

Rules:
1. The loop is never held: a process of its own makes the file (`snapshot_worker.py`), fed in short
   turns of the loop with the records since the snapshot before.
2. One at a time, and the next not before as many records again, also where one failed: a snapshot
   that cannot be kept costs time at the next start and nothing else.
3. The file counts when its records are power-durable and it is whole; the store sees to that.
4. Where the replay differs from the living state, the books in memory cannot be believed: every
   order is denied until a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import IO, Final

import orjson

from sidecar.service.callers import START_ACTOR
from sidecar.service.facts import Settings
from sidecar.service.records import encode_snapshot
from sidecar.service.snapshot_worker import (
    EXIT_DIFFERS,
    EXIT_SYNC,
    FRAME,
    MARK_SEQUENCE,
    Job,
    Mark,
    fingerprint,
)
from sidecar.service.starts import Starts
from sidecar.service.writer import Writer
from sidecar.store.errors import StoreError, StoreSnapshotError
from sidecar.store.snapshot import SNAPSHOT_BESIDE_NAME
from sidecar.store.store import Store

LOG: Final = logging.getLogger(__name__)

REMEMBERED_SHARE: Final = 10
"""With many orders a snapshot costs more, so it waits for one record in ten of them."""
BYTES_BETWEEN_MAX: Final = 64 * 1024 * 1024
SECONDS_MAX: Final = 900.0
"""A worker that takes longer is ended: it hangs, or the machine has no room for it."""
RECORDS_OF_A_TURN: Final = 200
PIPE_BYTES: Final = 1024 * 1024
CAUGHT_UP_COUNT: Final = 1_000
NICENESS: Final = 3
"""Enough for the sidecar to go first; with 10 a busy machine left the worker nothing at all."""
BEHIND_TIMES: Final = 3
"""So many times the records of one snapshot behind, the worker gives way to nobody any more."""
_RUN_WORKER: Final = "from sidecar.service import snapshot_worker as worker; exit(worker.main())"


class Snapshots:
    """Decides when the next snapshot is due, and has it made."""

    def __init__(
        self, writer: Writer, starts: Starts, store: Store, settings: Settings, unkept_count: int
    ) -> None:
        """`unkept_count` records stand behind the newest snapshot already.

        A store without a directory has none made while it serves.
        """
        self._writer = writer
        self._starts = starts
        self._store = store
        self._records_between = settings.snapshot_records_between
        self._task: asyncio.Task[None] | None = None
        self._counted_from = self._kept_sequence = writer.state.last_sequence - unkept_count
        self._bytes_from = writer.written_bytes
        self.problem = ""
        """Why the last one was not kept; empty while all is well."""

    @property
    def unkept_count(self) -> int:
        """How many records stand behind the newest snapshot: what a start would replay."""
        return self._writer.state.last_sequence - self._kept_sequence

    async def write_here(self, kind: str, notes: list[str]) -> None:
        """Keep the state as of now, in this process: while nobody is served; failing costs time."""
        writer = self._writer
        writer.mark(kind, START_ACTOR)
        sequence = self._counted_from = writer.state.last_sequence
        try:
            await self._store.write_snapshot(sequence, encode_snapshot(writer.state))
        except StoreError as error:
            LOG.warning("no snapshot: %s", error)
            notes.append(f"no snapshot was kept, the next start replays the journal: {error}")
            writer.refresh_conditions()
            return
        self._kept_sequence = sequence

    def look(self) -> None:
        """Begin a snapshot where one is due; costs nothing where none is."""
        directory = self._store.snapshot_directory
        if self._task is not None or directory is None or not self._is_due():
            return
        if self._writer.problem:
            return
        is_behind = self.unkept_count > BEHIND_TIMES * self._records_wanted()
        self._count_from_here()
        job = Job(
            directory=str(directory),
            base_sequence=self._kept_sequence,
            beside=str(directory / SNAPSHOT_BESIDE_NAME),
            free_bytes_min=self._writer.conditions.free_bytes_min or 0,
            niceness=0 if is_behind else NICENESS,
            parent_pid=os.getpid(),
        )
        self._task = asyncio.get_running_loop().create_task(self._make(job))

    async def stop(self) -> None:
        """End what is under way; its file never counted."""
        task = self._task
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    def _is_due(self) -> bool:
        writer = self._writer
        state = writer.state
        return (
            state.last_sequence - self._counted_from >= self._records_wanted()
            or writer.written_bytes - self._bytes_from >= BYTES_BETWEEN_MAX
        )

    def _records_wanted(self) -> int:
        return max(self._records_between, len(self._writer.state.orders) // REMEMBERED_SHARE)

    def _count_from_here(self) -> None:
        self._counted_from = self._writer.state.last_sequence
        self._bytes_from = self._writer.written_bytes

    async def _make(self, job: Job) -> None:
        """Have the worker do the job, and let the store keep what it made."""
        self.problem = ""
        try:
            async with asyncio.timeout(SECONDS_MAX):
                await self._work(job)
        except Exception as error:  # noqa: BLE001 - whatever it was, it costs time at a start only
            self.problem = f"{type(error).__name__}: {error}"
        finally:
            self._task = None
            _remove(Path(job.beside))
        if self.problem:
            sequence = self._writer.state.last_sequence
            LOG.warning("no snapshot at record %d: %s", sequence, self.problem)
            self.problem = f"none at record {sequence}: {self.problem} (a start takes longer)"
            self._writer.refresh_conditions()

    async def _work(self, job: Job) -> None:
        """Run the worker to its end; it is gone afterwards, whatever happened."""
        process = await asyncio.to_thread(_start, job)
        mark: Mark | None = None
        try:
            told = _pipe(process.stdout)
            first = await asyncio.to_thread(told.readline)
            if first:
                mark = await self._feed(_pipe(process.stdin), int(first))
            last = await asyncio.to_thread(told.readline)
            code = await asyncio.to_thread(process.wait)
        finally:
            process.kill()
            await asyncio.to_thread(process.wait)
            _pipe(process.stdin).close()
            _pipe(process.stdout).close()
        await self._conclude(job, mark, code, last.decode().strip())

    async def _feed(self, stream: IO[bytes], base: int) -> Mark | None:
        """Send the records after `base` until the worker has caught up, then the mark.

        Whatever is journalled while the worker folds is sent too, as long as it gains on it: what
        is left for the next start to replay is then only what comes while the file is written.
        """
        try:
            is_gaining = True
            while is_gaining:
                sent, until = self._store.last_sequence - base, self._store.last_sequence
                await self._send(stream, base, until)
                base, left = until, self._store.last_sequence - until
                is_gaining = CAUGHT_UP_COUNT < left <= sent // 2
            await self._starts.wait()
            mark = self._mark()
            await self._send(stream, base, mark.sequence)
            told = orjson.dumps(mark)
            await _write(stream, FRAME.pack(MARK_SEQUENCE, len(told)) + told)
            stream.close()
        except BrokenPipeError:
            # The worker ended before it had all records; its last line says why.
            return None
        return mark

    async def _send(self, stream: IO[bytes], base: int, until: int) -> None:
        """Send records a few in each turn of the loop."""
        records = islice(self._store.read(base + 1), until - base)
        while frames := _frames(islice(records, RECORDS_OF_A_TURN)):
            await _write(stream, frames)

    def _mark(self) -> Mark:
        """Put a mark into the journal and take down what is true at it, in one turn of the loop."""
        writer = self._writer
        writer.mark("Snapshot", START_ACTOR)
        if writer.problem:
            raise StoreSnapshotError(f"nothing is written any more: {writer.problem}")
        self._count_from_here()
        return Mark(
            sequence=writer.state.last_sequence,
            head=self._store.snapshot_head(),
            witness=fingerprint(writer.state),
        )

    async def _conclude(self, job: Job, mark: Mark | None, code: int, text: str) -> None:
        if code == EXIT_DIFFERS:
            self.problem = text
            self._writer.mark_damaged(
                f"the books in memory differ from the replay of the journal ({text}); every order "
                "is denied until a restart replays it"
            )
        elif code == EXIT_SYNC:
            self._store.poison(f"snapshot sync failed: {text}")
            self.problem = text
        elif code or mark is None:
            raise StoreSnapshotError(text or f"the worker ended with {code}")
        else:
            await self._store.adopt_snapshot(mark.sequence, Path(job.beside))
            self._kept_sequence = mark.sequence
            LOG.info("snapshot at record %d: %s bytes", mark.sequence, text)


def _remove(beside: Path) -> None:
    """Give back the room of a file that never counted."""
    try:
        beside.unlink(missing_ok=True)
    except OSError as error:
        LOG.warning("%s: %s", beside, error)


def _start(job: Job) -> subprocess.Popen[bytes]:
    """Start the worker; the sidecar's memory is not copied, its descriptors are not handed on."""
    process = _spawn(job)
    descriptor = _pipe(process.stdin).fileno()
    os.set_blocking(descriptor, False)
    with contextlib.suppress(OSError):
        # Beyond what this user may have in pipes the usual size serves, in smaller steps.
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return process


def _spawn(job: Job) -> subprocess.Popen[bytes]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("KILL_SWITCH")}
    return subprocess.Popen(  # noqa: S603 - our own module, arguments of our own
        [sys.executable, "-P", "-c", _RUN_WORKER, _told(job)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        env={**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,
    )


def _told(job: Job) -> str:
    return orjson.dumps(asdict(job)).decode()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ValueError("the worker was started without pipes")
    return stream


async def _write(stream: IO[bytes], data: bytes) -> None:
    """Write all of `data` without ever waiting in a call; each time is a turn of the loop.

    Not in a thread: to hand the interpreter over and back takes longer than the writing, and a
    busy loop would starve the worker.
    """
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(stream.fileno(), view) :]
        except BlockingIOError:
            await _writable(stream.fileno())
    await asyncio.sleep(0)


async def _writable(descriptor: int) -> None:
    """Return once the pipe takes more."""
    loop = asyncio.get_running_loop()
    is_writable = asyncio.Event()
    loop.add_writer(descriptor, is_writable.set)
    try:
        await is_writable.wait()
    finally:
        loop.remove_writer(descriptor)


def _frames(records: Iterable[tuple[int, bytes]]) -> bytes:
    return b"".join(FRAME.pack(at, len(record)) + record for at, record in records)
