"""A true history on disk, made by the real service: three lives, and a tail nobody signed."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sidecar.audit.items import META_PUBLIC_KEY
from sidecar.audit.keys import KEY_FILE_NAME, find_signing
from sidecar.clock import ManualClock
from sidecar.core.answers import Receipt
from sidecar.core.thresholds import Thresholds
from sidecar.service import Service, Settings
from sidecar.service.callers import SIDECAR
from sidecar.service.records import encode_record
from sidecar.store.lock import Holder
from sidecar.store.sqlite_open import OpenOptions, open_sqlite_store
from sidecar.store.sqlite_store import SqliteStore
from tests.service.harness import BOT, EQUITY, OPERATOR, a_kill, a_reset, an_order

ORDERS_COUNT: Final = 12
UNSIGNED_COUNT: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A stopped sidecar's directory, an earlier copy of it, and what somebody kept elsewhere.

    `receipt` speaks of every record there is, those after the last head included.
    """

    directory: Path
    earlier: Path
    receipt: Receipt
    signed_size: int

    @property
    def expect(self) -> str:
        """The receipt, as `--expect` takes it."""
        return f"{self.receipt.size}:{self.receipt.root.hex()}"


def open_store(directory: Path) -> SqliteStore:
    """Return the store in `directory`, made where there is none."""
    holder = Holder(name="history", since="2026-01-02T03:04:05Z")
    return open_sqlite_store(directory, OpenOptions(clock_kind="wall", holder=holder))


async def live(directory: Path, name: str) -> None:
    """Start a sidecar, ask about orders, kill, reset, and stop cleanly."""
    store = open_store(directory)
    service = Service(
        store=store,
        clock=ManualClock(),
        thresholds=Thresholds(),
        config_hash="hash-1",
        settings=Settings(
            kill_file_directory=str(directory), initial_equity=EQUITY, is_assumed_flat=True
        ),
        signing=find_signing(directory / KEY_FILE_NAME, store.meta_get(META_PUBLIC_KEY) or ""),
    )
    await service.start()
    for at in range(ORDERS_COUNT):
        await service.check_order(an_order(f"{name}-{at}"), BOT)
    await service.trigger_kill(a_kill(), BOT)
    await service.reset_kill(a_reset(), OPERATOR)
    assert await service.stop()


def add_unsigned(directory: Path, count: int = UNSIGNED_COUNT) -> Receipt:
    """Append records after the last head, as a sidecar killed within a minute leaves them."""
    store = open_store(directory)
    for _ in range(count):
        sequence = store.last_sequence + 1
        record = encode_record(
            sequence=sequence,
            time=time.time_ns(),
            kind="Tick",
            actor=replace(SIDECAR),
            events=[],
            config_hash="hash-1",
        )
        store.append([(sequence, record)])
    tree = store.tree_head()
    store.close(clean=True)
    return Receipt(tree.size, tree.root)


def other_key() -> Ed25519PrivateKey:
    """Return a key the store was not begun with."""
    return Ed25519PrivateKey.generate()
