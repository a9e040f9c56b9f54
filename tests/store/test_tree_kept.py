"""What both stores keep for the audit: the tree, signed heads, and records with their chain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from sidecar.store.errors import StoreDamagedError, StorePoisonedError, StoreSequenceError
from sidecar.store.merkle_tree import Frontier, JournalBase
from sidecar.store.records import EMPTY_CHAIN_HASH, chain_hash_after
from sidecar.store.recovery import RecoveryKind, classify
from sidecar.store.sqlite_database import DATABASE_FILE_NAME
from sidecar.store.sqlite_open import open_sqlite_store
from sidecar.store.sqlite_tree import TREE_STEP_COUNT
from tests.store.harness import Harness, MemoryHarness, SqliteHarness, options


@pytest.fixture(params=["memory", "sqlite"])
def harness(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Harness]:
    """A new store of each kind."""
    is_memory = request.param == "memory"
    made: Harness = MemoryHarness() if is_memory else SqliteHarness(tmp_path, monkeypatch)
    yield made
    made.close()


def records(first: int, last: int) -> list[tuple[int, bytes]]:
    """Return records from `first` to `last`."""
    return [(sequence, b"record %d" % sequence) for sequence in range(first, last + 1)]


def root_over(last: int) -> bytes:
    """Return the root over records 1 to `last`, computed from nothing."""
    frontier = Frontier()
    for _, record in records(1, last):
        frontier.append(record)
    return frontier.root()


def test_the_tree_follows_the_journal_over_restarts(harness: Harness) -> None:
    """Size, root and chain hash are those of every record, also after a crash and a stop (S13)."""
    step = TREE_STEP_COUNT
    last = 0
    for until in (1, 700, step + 1, 2 * step, 2 * step + 5):
        harness.store.append(records(last + 1, until))
        last = until
        head = harness.store.tree_head()
        assert (head.size, head.root) == (last, root_over(last))
        assert head.chain_hash == harness.store.chain_hash
        harness.store = harness.die()
        assert harness.store.tree_head() == head
    harness.store.close(clean=True)
    harness.store = harness.reopen()
    assert harness.store.tree_head() == head
    assert harness.store.base == JournalBase()


def test_a_chained_record_carries_the_hash_before_it(harness: Harness) -> None:
    """Each record comes with the chain's hash before and after it, at most as many as asked."""
    harness.store.append(records(1, 30))
    chained = harness.store.read_chained(1, 500)
    assert [(each.sequence, each.record) for each in chained] == records(1, 30)
    previous = EMPTY_CHAIN_HASH
    for each in chained:
        assert each.previous_hash == previous
        previous = chain_hash_after(previous, each.sequence, each.record)
        assert each.hash == previous
    assert harness.store.read_chained(7, 3) == chained[6:9]
    assert harness.store.read_chained(31, 3) == []


async def test_a_head_is_kept_once_and_only_over_durable_records(harness: Harness) -> None:
    """A head speaks of power-durable records alone; the first over a size stays (S13)."""
    store = harness.store
    store.append(records(1, 4))
    with pytest.raises(StoreSequenceError, match="power-durable"):
        store.add_head(4, "too early")
    await store.sync(4)
    store.add_head(4, "first")
    store.add_head(4, "second")
    store.add_head(2, "earlier")
    assert store.read_heads(0, 10) == [(2, "earlier"), (4, "first")]
    assert store.read_heads(2, 10) == [(4, "first")]
    assert store.read_heads(0, 1) == [(2, "earlier")]
    harness.store = harness.die()
    assert harness.store.read_heads(0, 10) == [(2, "earlier"), (4, "first")]


async def test_a_poisoned_store_takes_no_head(harness: Harness) -> None:
    """After the first failed write no head is taken either (S12.3)."""
    harness.store.append(records(1, 1))
    await harness.store.sync(1)
    harness.fail_next_append()
    with pytest.raises(StorePoisonedError):
        harness.store.append(records(2, 2))
    with pytest.raises(StorePoisonedError):
        harness.store.add_head(1, "note")


def _edit(directory: Path, sql: str, *values: str | bytes) -> None:
    """Change the database of a stopped store by hand, under valid page checksums."""
    open_sqlite_store(directory, options()).close(clean=True)  # loads the checksum VFS
    connection = apsw.Connection(str(directory / DATABASE_FILE_NAME), vfs="cksmvfs")
    connection.execute(sql, values)
    connection.close()


def _stopped(directory: Path, last: int) -> None:
    store = open_sqlite_store(directory, options())
    store.append(records(1, last))
    store.close(clean=True)


def test_a_store_of_before_the_tree_gets_one(tmp_path: Path) -> None:
    """A journal made without these tables is hashed once, and keeps the result (S13)."""
    last = TREE_STEP_COUNT + 10
    _stopped(tmp_path / "store", last)
    _edit(tmp_path / "store", "DROP TABLE tree; DROP TABLE head")
    store = open_sqlite_store(tmp_path / "store", options())
    assert store.tree_head().root == root_over(last)
    store.close(clean=True)
    store = open_sqlite_store(tmp_path / "store", options())
    assert store.tree_head().root == root_over(last)
    assert classify(store.facts) is RecoveryKind.CLEAN
    store.close(clean=True)


def test_a_kept_frontier_that_cannot_be_one_is_passed_over(tmp_path: Path) -> None:
    """A frontier of the wrong length is not believed: the tree is computed from before it."""
    last = TREE_STEP_COUNT + 10
    _stopped(tmp_path / "store", last)
    _edit(tmp_path / "store", "UPDATE tree SET frontier = x'00'")
    store = open_sqlite_store(tmp_path / "store", options())
    assert store.tree_head().root == root_over(last)
    store.close(clean=True)


def test_a_journal_shorter_than_its_signed_head_is_damaged(tmp_path: Path) -> None:
    """What a head was signed over was acknowledged: without it the start is DAMAGED (S12.4)."""
    _stopped(tmp_path / "store", 9)
    _edit(tmp_path / "store", "INSERT INTO head VALUES (10, 'a note over ten records')")
    store = open_sqlite_store(tmp_path / "store", options())
    assert store.facts.damage is not None
    assert "ends at 9, but 10 was acknowledged" in store.facts.damage.what
    store.close(clean=False)


def test_a_base_without_its_tree_is_damage(tmp_path: Path) -> None:
    """Records missing at the front count as dropped only with the tree over them kept (S13)."""
    _stopped(tmp_path / "store", 9)
    _edit(
        tmp_path / "store",
        "DELETE FROM journal WHERE sequence <= 4;"
        "INSERT INTO meta VALUES ('store.dropped_sequence', '4'), ('store.dropped_hash', ?)",
        bytes(32).hex(),
    )
    store = open_sqlite_store(tmp_path / "store", options())
    assert store.facts.damage is not None
    assert "the tree over the 4 dropped records is missing" in store.facts.damage.what
    with pytest.raises(StorePoisonedError):
        store.append(records(10, 10))
    store.close(clean=False)


def test_reading_what_was_dropped_is_refused_by_name(tmp_path: Path) -> None:
    """A dropped record is told from a missing one, with the way to it."""
    frontier = Frontier()
    for _, record in records(1, 4):
        frontier.append(record)
    _stopped(tmp_path / "store", 9)
    store = open_sqlite_store(tmp_path / "store", options())
    chain_hash = store.read_chained(4, 1)[0].hash
    head = store.tree_head()
    store.close(clean=True)
    _edit(
        tmp_path / "store",
        "DELETE FROM journal WHERE sequence <= 4;"
        "INSERT INTO meta VALUES ('store.dropped_sequence', '4'), ('store.dropped_hash', ?);"
        "INSERT INTO tree VALUES (4, ?)",
        chain_hash.hex(),
        frontier.to_bytes(),
    )
    store = open_sqlite_store(tmp_path / "store", options())
    assert store.facts.damage is None
    assert store.base == JournalBase(4, chain_hash, frontier.nodes)
    assert store.tree_head() == head
    assert [each.sequence for each in store.read_chained(5, 500)] == [5, 6, 7, 8, 9]
    with pytest.raises(StoreDamagedError, match=r"up to 4 were exported and dropped"):
        store.read_chained(4, 1)
    store.close(clean=True)
