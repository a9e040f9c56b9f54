"""What a repair leaves still verifies: kept heads hold, what was dropped is accounted for."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from sidecar.store.read_only import open_read_only
from sidecar.store.retention import droppable_through
from tests.cli.running import haltline
from tests.tamper import hands
from tests.tamper.history import live


@pytest.mark.parametrize("is_dropped", [False, True], ids=["whole", "front dropped"])
def test_a_repaired_journal_verifies(tmp_path: Path, *, is_dropped: bool) -> None:
    """Cut to its last whole record, a journal keeps its signed heads and its base (S12.4, S13)."""
    directory = tmp_path / "data"
    for name in ("a", "b", "c", "d"):
        asyncio.run(live(directory, name))
    shutil.copy(directory / "audit.pub", tmp_path / "kept.pub")
    at = ("--data-dir", str(directory))
    if is_dropped:
        before = str(droppable_through(directory) + 1)
        words = ("--before", before, "--by", "alice", "--reason", "room")
        dropped = haltline("audit", "drop", *at, *words, "--export", str(tmp_path / "file"))
        assert dropped.code == 0, dropped
    with open_read_only(directory) as store:
        last, base = store.last_sequence, store.base.size
    with hands.database(directory) as connection:
        sql = "UPDATE journal SET record = x'00' WHERE sequence = ?"
        connection.execute(sql, (last - 3,))
    assert haltline("audit", "verify", *at).code == 1
    repaired = haltline("store", "repair", *at, "--copy-to", str(tmp_path / "copy"))
    assert repaired.code == 0, repaired
    with open_read_only(directory) as store:
        assert store.damage is None
        assert store.base.size == base
        assert store.last_sequence == last - 3
        assert all(size < last - 3 for size, _ in store.read_heads(0, 1_000))
    ran = haltline("audit", "verify", *at, "--public-key", str(tmp_path / "kept.pub"))
    assert ran.code == 0, ran
