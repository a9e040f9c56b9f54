"""A process of its own that makes the next snapshot: the one before it, and the records since.

The state may hold a million orders. To write that down on the event loop would hold every kill for
seconds, and to fork the process that serves holds it for twenty milliseconds a gigabyte
(store/DESIGN.md). So this process is started small, reads the newest snapshot from the disk, is fed
the records after it, and folds them as a start would: what it writes *is* the replay it replaces.

Rules:
1. It opens neither the journal nor its lock: a kill -9 of the sidecar frees the directory at once.
2. It ends with the sidecar, and is the first to go where memory runs out.
3. It says on its output what it begins from and how it ended, a line each; the sidecar decides.
4. What the living state was at that record is compared with the replay (`witness`).
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from sidecar.core import engine
from sidecar.core.snapshot import witness
from sidecar.core.state import State
from sidecar.service.records import (
    UNREADABLE,
    RecordError,
    decode_record,
    decode_snapshot,
    snapshot_lines,
)
from sidecar.store.errors import StoreSnapshotError
from sidecar.store.snapshot import list_snapshot_files, read_snapshot_file, write_beside

FRAME: Final = struct.Struct(">QI")
"""Sequence and length; the record follows."""
MARK_SEQUENCE: Final = 0
"""Of the frame that holds the mark."""

EXIT_FAILED: Final = 1
EXIT_DIFFERS: Final = 3
EXIT_SYNC: Final = 4

_PARENT_DEATH_SIGNAL: Final = 1
_OUT_OF_MEMORY_SCORE: Final = "1000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Where the snapshot is made; handed over as JSON, and nothing of it is a secret."""

    directory: str
    base_sequence: int
    """Of the snapshot to begin from; 0 where there is none."""
    beside: str
    free_bytes_min: int
    niceness: int
    parent_pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Of which record it is: sent behind that record, when the worker has caught up."""

    sequence: int
    head: dict[str, Any]
    witness: str


class DiffersError(Exception):
    """The living state is not what its journal says."""


def fingerprint(state: State) -> str:
    """Return the witness of a state in a few letters."""
    return sha256(orjson.dumps(witness(state))).hexdigest()


def begin_from(job: Job) -> State:
    """Return the state of the snapshot that the sidecar knows to be its own; else an empty one.

    Another one that lies in the directory may tell another past.
    """
    path = dict(list_snapshot_files(Path(job.directory))).get(job.base_sequence)
    payload = None if path is None else read_snapshot_file(path, job.base_sequence)
    try:
        state = State() if payload is None else decode_snapshot(payload)
    except RecordError:
        return State()
    return state if state.last_sequence == job.base_sequence else State()


def fold(state: State, frames: Iterator[tuple[int, bytes]]) -> Mark:
    """Replay records into the state up to the mark behind them.

    DiffersError where one that was decided cannot be replayed: the next start could not either.
    """
    for sequence, payload in frames:
        if sequence == MARK_SEQUENCE:
            mark = Mark(**orjson.loads(payload))
            if mark.sequence != state.last_sequence:
                break
            return mark
        try:
            record = decode_record(payload)
            engine.replay(state, sequence, record.time, record.events)
        except (RecordError, *UNREADABLE) as error:
            raise DiffersError(f"record {sequence} cannot be replayed: {error!r}") from error
    raise StoreSnapshotError(f"the records end at {state.last_sequence}, before their mark")


def read_frames(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the records that the sidecar sends, and the mark behind them."""
    while len(head := stream.read(FRAME.size)) == FRAME.size:
        sequence, length = FRAME.unpack(head)
        yield sequence, stream.read(length)


def make(job: Job, records: BinaryIO, told: BinaryIO) -> int:
    """Make the snapshot at `job.beside`; return its size."""
    state = begin_from(job)
    told.write(f"{state.last_sequence}\n".encode())
    told.flush()
    mark = fold(state, read_frames(records))
    found = fingerprint(state)
    if found != mark.witness:
        raise DiffersError(f"the replay's witness is {found}, that in memory {mark.witness}")
    return write_beside(Path(job.beside), mark.head, snapshot_lines(state), job.free_bytes_min)


def _step_back(niceness: int, parent_pid: int) -> None:
    """Give way to the sidecar, and end with it."""
    os.nice(niceness)
    Path("/proc/self/oom_score_adj").write_text(_OUT_OF_MEMORY_SCORE, encoding="ascii")
    ctypes.CDLL(None, use_errno=True).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent_pid:
        # It died before the line above, and no signal will tell.
        os._exit(EXIT_FAILED)


def main() -> int:
    """Do the job of the command line; say how it ended."""
    job = Job(**orjson.loads(sys.argv[1]))
    _step_back(job.niceness, job.parent_pid)
    told = sys.stdout.buffer
    try:
        size = make(job, sys.stdin.buffer, told)
    except DiffersError as error:
        text, code = str(error), EXIT_DIFFERS
    except (RecordError, StoreSnapshotError, MemoryError) as error:
        text, code = f"{type(error).__name__}: {error}", EXIT_FAILED
    except OSError as error:
        text, code = f"{type(error).__name__}: {error}", EXIT_SYNC
    else:
        text, code = str(size), 0
    told.write(f"{text}\n".encode())
    told.flush()
    return code


if __name__ == "__main__":
    sys.exit(main())
