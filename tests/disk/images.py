"""A small data directory with a life in it, as bytes, and the truth about every prefix of it.

Rules:
- Made by the real service over the real store, on a clock of its own: the same bytes tell the same
  story in every run but for ids drawn at random.
- The truth comes from the unspoilt journal alone, record by record, without any snapshot.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from sidecar.clock import ManualClock
from sidecar.core import engine
from sidecar.core.state import State, to_plain
from sidecar.service import Service
from sidecar.service.records import decode_record
from sidecar.store.lock import LOCK_FILE_NAME, Holder
from sidecar.store.sqlite_open import OpenOptions, open_sqlite_store
from sidecar.store.sqlite_store import SqliteStore
from tests.service.harness import BOT, a_fill, a_kill, an_order, equity_report, make_service

BOOT: Final = "boot-of-the-image"
FILES_LEFT_OUT: Final = frozenset({LOCK_FILE_NAME})


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """Every file of a directory, and what it holds: `truth[n]` is the state after record n."""

    name: str
    files: Mapping[str, bytes]
    store_id: str
    truth: tuple[list[Any], ...]

    def write(self, directory: Path) -> None:
        """Make `directory` exactly this."""
        for path in directory.iterdir():
            if path.name not in self.files:
                path.unlink()
        for name, data in self.files.items():
            write_private(directory / name, data)


def write_private(path: Path, data: bytes) -> None:
    """Write a file as the store makes them: its owner's alone."""
    path.write_bytes(data)
    path.chmod(0o600)


def open_store(directory: Path, *, boot_id: str = BOOT) -> SqliteStore:
    """Open what is in `directory`, on the boot it was written on unless another is named."""
    holder = Holder(name="test", since="2026-01-02T03:04:05Z")
    return open_sqlite_store(
        directory, OpenOptions(clock_kind="wall", holder=holder, boot_id=boot_id)
    )


async def make_images() -> tuple[Image, Image]:
    """Return a directory as kill -9 leaves it, records in its WAL, and one stopped cleanly.

    The kill comes late and is acknowledged: what forgets it is caught.
    """
    with tempfile.TemporaryDirectory() as root:
        directory = Path(root) / "d"
        clock = ManualClock()
        service = await _start(directory, clock)
        await service.check_order(an_order("order-1"), BOT)
        await service.report_trade(a_fill("fill-1", "order-1"), BOT)
        await service.stop()
        service = await _start(directory, clock)
        await service.check_order(an_order("order-2", quantity=Decimal(7)), BOT)
        await service.report_account(equity_report(99_000, "equity-2"), BOT)
        await service.trigger_kill(a_kill(), BOT)
        killed = _image_of("killed", directory)
        await service.stop()
        return killed, _image_of("stopped", directory)


async def _start(directory: Path, clock: ManualClock) -> Service:
    service = make_service(open_store(directory), directory, clock=clock)
    await service.start()
    return service


def _image_of(name: str, directory: Path) -> Image:
    files = {
        path.name: path.read_bytes()
        for path in sorted(directory.iterdir())
        if path.is_file() and path.name not in FILES_LEFT_OUT
    }
    with tempfile.TemporaryDirectory() as copied:
        for file_name, data in files.items():
            write_private(Path(copied) / file_name, data)
        store = open_store(Path(copied))
        truth = _truth_of(store)
        store.close(clean=False)
    return Image(name=name, files=files, store_id=store.store_id, truth=truth)


def _truth_of(store: SqliteStore) -> tuple[list[Any], ...]:
    state = State()
    truth = [to_plain(state)]
    for sequence, payload in store.read(1):
        record = decode_record(payload)
        engine.replay(state, sequence, record.time, record.events)
        truth.append(to_plain(state))
    return tuple(truth)
