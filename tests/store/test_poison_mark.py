"""Where the watermark cannot say that the store was poisoned, something else does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sidecar.store import poison_mark
from sidecar.store.recovery import RecoveryKind, classify
from sidecar.store.sqlite_open import open_sqlite_store
from sidecar.store.sqlite_store import SqliteStore
from sidecar.store.watermark import WATERMARK_FILE_NAME, Marks, Watermark, read_marks
from tests.store.harness import options

MARKS = Marks(store_id="ab" * 16, clock_kind="wall", boot_id="boot-1")


def names_in(directory: Path) -> list[str]:
    """Return what lies there."""
    return [path.name for path in directory.iterdir()]


def refuse_to_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every write of a watermark fail."""

    def refuse(_: Watermark) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Watermark, "_write", refuse)


def poisoned_store(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a store behind that was poisoned on a disk that refuses everything."""
    store = open_sqlite_store(directory, options())
    with monkeypatch.context() as patch:
        refuse_to_mark(patch)
        patch.setattr(SqliteStore, "_finish", lambda *_, **__: None)
        with pytest.raises(Exception, match="poisoned"):
            store.append([(1, b"x")])
        store.close(clean=True)


@pytest.mark.parametrize("lost", ["beside", "in memory", "neither"])
def test_a_poisoned_store_reconciles_whatever_could_be_marked(
    tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """The start after a poisoned store asks to reconcile, the same boot or not (S12.4)."""
    directory = tmp_path / "store"
    poisoned_store(directory, monkeypatch)
    beside = directory / poison_mark.POISON_MARK_FILE_NAME
    assert beside.exists()
    if lost == "beside":
        beside.unlink()
    if lost == "in memory":
        for path in memory.iterdir():
            path.unlink()
    store = open_sqlite_store(directory, options())
    assert store.facts.was_poisoned
    assert classify(store.facts) is RecoveryKind.RECONCILE
    store.close(clean=False)


async def test_settling_ends_the_mark(
    tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for until somebody reconciles, over any number of starts, and not after it."""
    directory = tmp_path / "store"
    poisoned_store(directory, monkeypatch)
    open_sqlite_store(directory, options()).close(clean=True)
    store = open_sqlite_store(directory, options())
    assert store.facts.was_poisoned
    await store.settle_recovery()
    store.close(clean=True)
    assert names_in(memory) == []
    store = open_sqlite_store(directory, options())
    assert not store.facts.was_poisoned
    store.close(clean=True)


def test_a_watermark_that_can_be_marked_needs_no_other(tmp_path: Path, memory: Path) -> None:
    """Nothing is left behind where the watermark itself says it."""
    watermark = Watermark(tmp_path, MARKS)
    watermark.set_poisoned(is_poisoned=True)
    watermark.close()
    assert list(memory.iterdir()) == []
    assert not (tmp_path / poison_mark.POISON_MARK_FILE_NAME).exists()
    found = read_marks(tmp_path)
    assert found is not None
    assert found.is_poisoned


def test_what_takes_no_mark_is_named(
    tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no place takes the mark the error says so for each."""
    watermark = Watermark(tmp_path, MARKS)
    memory.rmdir()
    (tmp_path / poison_mark.POISON_MARK_FILE_NAME).mkdir()
    refuse_to_mark(monkeypatch)
    with pytest.raises(OSError, match="Input/output error") as raised:
        watermark.set_poisoned(is_poisoned=True)
    watermark.close()
    assert len(raised.value.__notes__) == 2
    (tmp_path / WATERMARK_FILE_NAME).unlink()


def test_the_mark_of_another_user_is_not_believed(
    tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In memory anybody may write: only our own word stops us."""
    Watermark(tmp_path, MARKS).close()
    (memory / f"haltline-{MARKS.store_id}.poisoned").touch()
    assert poison_mark.is_mark_left(tmp_path, MARKS.store_id)
    stranger = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    assert not poison_mark.is_mark_left(tmp_path, MARKS.store_id)
