"""The sidecar a transcript is played on: the real service over the real store, on a real disk.

Rules:
- A clean stop closes the store; kill -9 leaves the directory as it is at that instant, and the
  next start reads a copy of it; a reboot is kill -9 with another boot id.
- Nothing happens behind the transcript's back: the ten looks a second that the service takes
  stand still, and are taken one at a time (`look_around`).
- What a disk or an operating system does is done to it from below: bytes of files, refused calls.
"""

from __future__ import annotations

import os
import shutil
from contextlib import AbstractContextManager, ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Final
from unittest import mock

from sidecar import config
from sidecar.clock import ManualClock
from sidecar.service import Service, Settings
from sidecar.service.facts import StartReport
from sidecar.store.lock import Holder
from sidecar.store.sqlite_database import DATABASE_FILE_NAME, WAL_FILE_NAME
from sidecar.store.sqlite_open import OpenOptions, open_sqlite_store
from sidecar.store.sqlite_store import SqliteStore
from sidecar.store.sqlite_writer import SqliteWriter

PAGE_BYTES_COUNT = 4096

LONG_SECONDS: Final = 3_600.0
PLENTY_BYTES: Final = 1 << 40


class Sidecar:
    """One data directory, and the process that owns it while one runs."""

    def __init__(self, root: Path) -> None:
        """Own `root`, an empty directory; nothing runs yet."""
        self._root = root
        self._lives_count = 0
        self._boots_count = 1
        self._directory = root / "data-0"
        self._service: Service | None = None
        self._store: SqliteStore | None = None
        self._clock = ManualClock(0)
        self._patches: dict[str, ExitStack] = {}
        self.configuration = config.parse("")

    @property
    def service(self) -> Service:
        """Return what runs; a transcript that asks while nothing does is at fault."""
        if self._service is None:
            raise RuntimeError("nothing runs: start it first")
        return self._service

    @property
    def is_running(self) -> bool:
        """Say whether there is a process."""
        return self._service is not None

    def shorten(self, text: str) -> str:
        """Return `text` with the data directory named as a reader would."""
        return text.replace(str(self._directory), "DATA")

    # Its life.

    async def start(
        self, wall_ns: int, *, toml: str, equity: Decimal | None, is_flat: bool
    ) -> StartReport:
        """Start on the directory as it is; ConfigurationError where the configuration is faulty."""
        configuration = config.parse(toml)
        thresholds = config.to_thresholds(configuration)
        options = OpenOptions(
            clock_kind="wall",
            holder=Holder(name="transcript", since="2024-01-03T00:00:00Z"),
            boot_id=f"boot-{self._boots_count}",
            make_store_id=lambda: "0" * 32,
        )
        self.configuration = configuration
        self._clock = ManualClock(wall_ns)
        self._store = open_sqlite_store(self._directory, options)
        self._service = Service(
            store=self._store,
            clock=self._clock,
            thresholds=thresholds,
            config_hash=config.config_hash(thresholds),
            settings=Settings(
                kill_file_directory=str(self._directory),
                initial_equity=equity,
                is_assumed_flat=is_flat,
                disk_free_min_bytes=configuration.store.disk_free_min_bytes,
            ),
        )
        if "disk space" not in self._patches:
            self.has_free(PLENTY_BYTES)
        with mock.patch("sidecar.service.service.BEAT_SECONDS", LONG_SECONDS):
            return await self._service.start()

    async def stop(self) -> bool:
        """Stop as SIGTERM does; return whether all was well."""
        service, self._service = self.service, None
        return await service.stop()

    async def kill_9(self) -> None:
        """End the process at this instant; what it had written is what is left."""
        service, self._service = self.service, None
        self._lives_count += 1
        left = self._root / f"data-{self._lives_count}"
        shutil.copytree(self._directory, left)
        await service.stop()
        shutil.rmtree(self._directory)
        self._directory = left

    async def reboot(self) -> None:
        """Cut the power: kill -9, and another boot of the machine."""
        if self.is_running:
            await self.kill_9()
        self._boots_count += 1

    async def end(self) -> None:
        """Leave nothing running or refused."""
        for what in list(self._patches):
            self.heal(what)
        if self.is_running:
            await self.stop()

    # Its time.

    def advance(self, duration_ns: int) -> None:
        """Let time pass."""
        self._clock.advance(duration_ns)

    def jump(self, shift_ns: int) -> None:
        """Move the wall clock alone."""
        self._clock.jump(shift_ns)

    def wall(self) -> int:
        """Return what the wall clock says."""
        return self._clock.wall()

    def look_around(self) -> None:
        """Take one of the looks that the service takes ten times a second."""
        self.service._watch.beat()  # noqa: SLF001 - its own pace would race with the transcript

    # Its disk.

    def put_kill_file(self) -> None:
        """Put a file named KILL into the data directory."""
        (self._directory / "KILL").touch()

    def remove_kill_file(self) -> None:
        """Take it away."""
        (self._directory / "KILL").unlink()

    def hide_directory(self) -> None:
        """Let nobody list the data directory (EACCES), as after a wrong chmod."""
        denied = PermissionError(13, "Permission denied", str(self._directory))
        self._patch("directory", mock.patch.object(os, "listdir", side_effect=denied))

    def has_free(self, free_bytes: int) -> None:
        """Let the disk have so much room, seen at the next look."""
        patch = mock.patch.object(SqliteStore, "free_bytes", return_value=free_bytes)
        self._patch("disk space", patch)
        if self.is_running:
            self.service._watch.look_at_disk()  # noqa: SLF001 - as `look_around`

    def refuse_writes(self) -> None:
        """Let every write fail from now on: no space left on device."""
        full = OSError(28, "No space left on device")
        self._patch("disk", mock.patch.object(SqliteWriter, "insert_records", side_effect=full))

    def fail_syncs(self) -> None:
        """Let every sync fail from now on: input/output error."""
        broken = OSError(5, "Input/output error")
        self._patch("disk", mock.patch.object(SqliteWriter, "sync_disk", side_effect=broken))

    def _patch(self, what: str, patch: AbstractContextManager[object]) -> None:
        self.heal(what)
        self._patches[what] = ExitStack()
        self._patches[what].enter_context(patch)

    def heal(self, what: str) -> None:
        """End what `hide_directory`, `refuse_writes` or `fail_syncs` began."""
        self._patches.pop(what, ExitStack()).close()

    def change_a_byte(self) -> None:
        """Flip one bit among the records in the stopped sidecar's database: on its second page."""
        path = self._directory / DATABASE_FILE_NAME
        content = bytearray(path.read_bytes())
        content[PAGE_BYTES_COUNT + PAGE_BYTES_COUNT // 2] ^= 1
        path.write_bytes(content)

    def cut_database(self) -> None:
        """Cut the stopped sidecar's database in half."""
        path = self._directory / DATABASE_FILE_NAME
        os.truncate(path, path.stat().st_size // 2)

    def cut_last_write(self) -> None:
        """Cut the end of a killed sidecar's WAL: the last record is not whole any more."""
        path = self._directory / WAL_FILE_NAME
        os.truncate(path, path.stat().st_size - 1)

    def delete_database(self) -> None:
        """Delete the stopped sidecar's database, its WAL too."""
        for name in (DATABASE_FILE_NAME, WAL_FILE_NAME):
            (self._directory / name).unlink(missing_ok=True)
