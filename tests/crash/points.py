"""The named points of the write path, and the blow that strikes one of them.

Each is a system call on a file (`sidecar/store/DESIGN.md` tells the path): the sidecar dies before
it, or after it and before anything else, on the Nth time it comes there. Killing a process leaves
what the kernel was told: the sync of a snapshot's name is no point of its own, its two sides are
the same as after the rename; the cuts of `power.py` tell those apart.
"""

import asyncio
import json
import signal
from dataclasses import dataclass
from pathlib import Path
from random import Random
from subprocess import Popen
from typing import Final

from tests.cli.running import RunningSidecar
from tests.crash.blows import LOAD_SECONDS_MAX, LOOK_SECONDS, Blow, code_of, kill, until
from tests.crash.clients import Desk
from tests.crash.tracing import (
    HELD_WORD,
    Injection,
    death_before,
    entry_command,
    hold_after,
)

CHOICES: Final = json.dumps({"checkpoint_pages_count": 12})
ANSWERS_MAX: Final = 250
STOP_SECONDS_MAX: Final = 10.0
DIRECTIONS: Final = ("before", "after")


@dataclass(frozen=True, slots=True)
class Point:
    """A call on a file of the data directory (none: any), and the times it is struck at."""

    name: str
    call: str
    file: str | None
    counts: tuple[int, ...]


WAL: Final = "journal.db-wal"
POINTS_OF_LIFE: Final = (
    Point("a record's frames go into the WAL", "pwrite64", WAL, (4, 5, 6, 9, 14, 21, 40, 77)),
    Point("the watermark is moved", "pwrite64", "watermark", (2, 3, 4, 5, 8, 13, 30)),
    Point("the WAL is synced", "fdatasync", WAL, (2, 3, 4, 5, 8, 13)),
    Point("an answer leaves", "sendmsg", None, (1, 2, 3, 5, 9, 20, 45)),
    Point("a checkpoint moves a page", "pwrite64", "journal.db", (1, 2, 3, 7)),
    Point("a checkpoint syncs the database", "fdatasync", "journal.db", (1, 2, 3)),
    Point("a start makes the WAL anew", "ftruncate", WAL, (1, 2)),
    Point("the start's WAL header is written", "pwrite64", WAL, (1, 2, 3)),
    Point("the start's WAL header is synced", "fdatasync", WAL, (1,)),
    Point("the start's watermark is written", "pwrite64", "watermark", (1,)),
    Point("the start's watermark is synced", "fsync", "watermark", (1,)),
    Point("the start syncs the directory", "fsync", ".", (1, 2)),
    Point("the lock names its holder", "pwrite64", "lock", (1,)),
    Point("a snapshot is written", "write", "snapshot.writing", (1,)),
    Point("a snapshot is synced", "fsync", "snapshot.writing", (1,)),
    Point("a snapshot gets its name", "rename", "snapshot.writing", (1,)),
    Point("the stop cuts the database to size", "ftruncate", "journal.db", (1,)),
    Point("the stop cuts the WAL", "ftruncate", WAL, (2,)),
)
POINTS_OF_CREATION: Final = (
    Point("a new database is written", "pwrite64", "journal.db.creating", (1, 2, 5)),
    Point("a new database is synced", "fdatasync", "journal.db.creating", (1,)),
    Point("its journal is synced", "fdatasync", "journal.db.creating-journal", (1, 2)),
    Point("a new database gets its name", "rename", "journal.db.creating", (1,)),
    Point("a new database's name is synced", "fsync", ".", (1, 2, 3)),
    Point("a new database becomes one with a WAL", "pwrite64", "journal.db", (1,)),
    Point("its old journal is synced", "fdatasync", "journal.db-journal", (1, 2)),
    Point("its old journal goes", "unlink", "journal.db-journal", (1,)),
    Point("the first WAL is written", "pwrite64", WAL, (1, 2, 3, 4)),
    Point("the first WAL is synced", "fdatasync", WAL, (1, 2)),
    Point("the first watermark is written", "pwrite64", "watermark", (1,)),
    Point("the first watermark is synced", "fsync", "watermark", (1,)),
)


class AtPoint(Blow):
    """Die at one point, under load; SIGTERM follows, so that the points of a stop come too."""

    dies_by_itself = True

    def __init__(self, point: Point, direction: str, count: int) -> None:
        """`count`: at the how manieth time."""
        self.point = point
        self.direction = direction
        self.count = count
        self.is_struck = False
        self._injection: Injection | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Return the point as a test's name."""
        return f"{self.direction} {self.point.name}, {self.count}"

    def _arm(self, sidecar: RunningSidecar) -> Injection:
        file = self.point.file
        path = None if file is None else Path(sidecar.directory, file)
        log = sidecar.directory.parent / "strace.log"
        log.unlink(missing_ok=True)
        arm = death_before if self.direction == "before" else hold_after
        self._injection = arm(self.point.call, path, self.count, log)
        sidecar.command = self._injection.command(entry_command(CHOICES))
        return self._injection

    async def start(
        self, sidecar: RunningSidecar, options: tuple[str, ...], chance: Random
    ) -> bool:
        """Start it; it may die on the way."""
        del chance
        command = sidecar.command
        injection = self._arm(sidecar)
        sidecar.launch(*options)
        sidecar.command = command
        assert sidecar.process is not None
        assert sidecar.process.stdout is not None
        self._watching = asyncio.create_task(self._kill_when_held(sidecar.process, injection))
        line = await asyncio.to_thread(sidecar.process.stdout.readline)
        if line.startswith("ready "):
            return True
        await self._note(sidecar)
        return False

    async def _kill_when_held(self, process: Popen[str], injection: Injection) -> None:
        while process.poll() is None and not injection.seen(HELD_WORD):  # noqa: ASYNC110 - another process tells no event
            await asyncio.sleep(LOOK_SECONDS)
        process.kill()

    async def strike(self, sidecar: RunningSidecar, desk: Desk, chance: Random) -> None:
        """Let the clients run until it dies; where it does not, stop it and see it die then."""
        del chance
        goal = desk.answered_count + ANSWERS_MAX
        await until(
            lambda: desk.answered_count >= goal or code_of(sidecar) is not None,
            LOAD_SECONDS_MAX,
            self.name,
        )
        if code_of(sidecar) is None:
            assert sidecar.process is not None
            sidecar.process.send_signal(signal.SIGTERM)
        await self._note(sidecar)

    async def _note(self, sidecar: RunningSidecar) -> None:
        await until(lambda: code_of(sidecar) is not None, STOP_SECONDS_MAX, self.name)
        injection = self._injection
        assert injection is not None
        assert self._watching is not None
        await self._watching
        ended = kill(sidecar)
        assert ended in {0, -signal.SIGKILL}, (self.name, ended, sidecar.logs)
        self.is_struck = ended == -signal.SIGKILL
        where = injection.seen(HELD_WORD) or injection.last_line()
        self.hit = f"{self.name}: {where if self.is_struck else 'never came there'}"
