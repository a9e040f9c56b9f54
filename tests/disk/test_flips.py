"""Bytes changed and files cut, drawn by a printed seed; and each difference once found, by name."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.core.answers import RecoveryState
from sidecar.core.state import to_plain
from sidecar.service.opening import open_state, read_state
from sidecar.store.errors import StoreError
from sidecar.store.read_only import open_read_only
from sidecar.store.recovery import RecoveryKind, classify
from sidecar.store.snapshot import (
    list_snapshot_files,
    read_head,
    read_snapshot_file,
    write_beside,
)
from sidecar.store.sqlite_database import DATABASE_FILE_NAME
from sidecar.store.watermark import WATERMARK_FILE_NAME
from tests.disk.flips import REFUSED, Case, every_case, play, some_cases
from tests.disk.images import Image, make_images, open_store

CASES_COUNT = 500
PAGE_BYTES = 4_096
OTHER_STORE = "ab" * 16


@pytest.fixture
async def images() -> tuple[Image, Image]:
    """A directory as kill -9 leaves it, and one stopped cleanly."""
    return await make_images()


def written(image: Image, directory: Path) -> Path:
    """Return `directory` made exactly the image."""
    directory.mkdir(mode=0o700)
    image.write(directory)
    return directory


async def test_no_byte_changed_or_cut_makes_a_wrong_state(images: tuple[Image, Image]) -> None:
    """500 seeded cases: all that was acknowledged, DAMAGED, or refused with a way out (S12.4)."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it where the test fails
    result = play(some_cases(images, seed, CASES_COUNT))
    assert result.faults == [], f"seed {seed}"
    assert sum(result.outcomes.values()) == CASES_COUNT
    assert result.outcomes["exception"] == 0
    assert {"DAMAGED", "RECONCILE"} <= result.outcomes.keys() - {REFUSED}


async def test_the_unspoilt_directories_are_whole(images: tuple[Image, Image]) -> None:
    """A test of the tests: the images start RECOVERED and CLEAN, and hold a kill."""
    for image, outcome in zip(images, ("RECOVERED", "CLEAN"), strict=True):
        name = WATERMARK_FILE_NAME
        whole = Case(image=image, file=name, offset=len(image.files[name]), bit=None)
        result = play([whole])
        assert (result.outcomes, result.faults) == ({outcome: 1}, [])
        assert "drill" in str(image.truth[-1])
    assert len(list(every_case(images, 0))) == 2 * sum(
        len(data) for image in images for data in image.files.values()
    )


@pytest.mark.parametrize("cut_bytes", [1, 4_000])
async def test_a_page_cut_off_is_damage_at_the_first_start(
    images: tuple[Image, Image], tmp_path: Path, cut_bytes: int
) -> None:
    """The last page of the database, cut, reads as zeros without a checksum: it is told at once.

    The first start took it for whole, moved the WAL over it, and the second start was DAMAGED.
    """
    killed, _ = images
    size = len(killed.files[DATABASE_FILE_NAME])
    case = Case(image=killed, file=DATABASE_FILE_NAME, offset=size - cut_bytes, bit=None)
    directory = written(killed, tmp_path / "d")
    (directory / DATABASE_FILE_NAME).write_bytes(case.spoilt())
    store = open_store(directory)
    assert store.facts.damage is not None
    pages_count = size // PAGE_BYTES
    told = f"is cut off in page {pages_count} of {pages_count}"
    assert told in store.facts.damage.what
    store.close(clean=False)
    assert play([case]).faults == []


def newest_snapshot(directory: Path) -> tuple[Path, dict[str, Any], bytes]:
    """Return the newest snapshot file, its head and its payload."""
    sequence, path = list_snapshot_files(directory)[0]
    head, payload = read_head(path, sequence), read_snapshot_file(path, sequence)
    assert head is not None
    assert payload is not None
    return path, head, payload


def rewrite(directory: Path, **changes: str) -> None:
    """Write the newest snapshot again, whole, saying something else of itself."""
    path, head, payload = newest_snapshot(directory)
    write_beside(path, {**head, **changes}, [payload])


async def test_a_snapshot_of_another_store_is_not_this_ones_state(
    images: tuple[Image, Image], tmp_path: Path
) -> None:
    """A whole snapshot carried here from elsewhere is skipped with a note; the journal serves."""
    image = images[1]
    directory = written(image, tmp_path / "d")
    rewrite(directory, store_id=OTHER_STORE)
    store = open_store(directory)
    opened = open_state(store)
    assert opened.recovery is RecoveryState.CLEAN
    assert to_plain(opened.state) == image.truth[-1]
    assert any(f"of another store ({OTHER_STORE})" in note for note in opened.notes)
    assert len(list(directory.glob("*.foreign"))) == 1, "nobody else begins from it"
    store.close(clean=False)


async def test_a_snapshot_of_another_past_is_damage(
    images: tuple[Image, Image], tmp_path: Path
) -> None:
    """A journal rewritten with a chain of its own disagrees with the snapshot: HALTED (S12.4)."""
    directory = written(images[1], tmp_path / "d")
    rewrite(directory, chain_hash=bytes(32).hex())
    store = open_store(directory)
    assert store.facts.damage is not None
    assert "taken of another past" in store.facts.damage.what
    store.close(clean=False)


async def test_files_of_two_stores_mixed_are_damage(
    images: tuple[Image, Image], tmp_path: Path
) -> None:
    """A watermark of another store says nothing about this one, so neither is believed (S12.4)."""
    directory = written(images[0], tmp_path / "d")
    (other, _) = await make_images()
    (directory / WATERMARK_FILE_NAME).write_bytes(other.files[WATERMARK_FILE_NAME])
    store = open_store(directory)
    assert store.facts.damage is not None
    assert "files of two stores are mixed" in store.facts.damage.what
    assert store.facts.damage.sequence == store.last_sequence + 1
    store.close(clean=False)
    with open_read_only(directory) as reader:
        assert reader.damage is not None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes() + b"\0"),
        lambda path: path.with_name("snapshot.writing").write_bytes(path.read_bytes()[:100]),
        lambda path: path.unlink(),
    ],
    ids=["cut", "empty", "longer", "left half written", "gone"],
)
async def test_a_torn_snapshot_costs_time_not_truth(
    images: tuple[Image, Image], tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    """Whatever became of the newest snapshot, the one before it or the journal serves (S12.5)."""
    image = images[1]
    directory = written(image, tmp_path / "d")
    path, *_ = newest_snapshot(directory)
    spoil(path)
    store = open_store(directory)
    opened = open_state(store)
    assert opened.recovery is RecoveryState.CLEAN
    assert to_plain(opened.state) == image.truth[-1]
    await store.write_snapshot(store.last_sequence, b"x")
    assert not (directory / "snapshot.writing").exists()
    store.close(clean=False)


@pytest.mark.parametrize("number", [1, 5, 8, 99])
async def test_a_snapshot_under_a_wrong_name_is_never_believed(
    images: tuple[Image, Image], tmp_path: Path, number: int
) -> None:
    """Renamed, it is skipped; beyond the journal's end it speaks of records that are gone."""
    image = images[1]
    directory = written(image, tmp_path / "d")
    path, *_ = newest_snapshot(directory)
    path.rename(directory / f"snapshot-{number:020d}.bin")
    store = open_store(directory)
    opened = open_state(store)
    assert opened.recovery is (RecoveryState.DAMAGED if number == 99 else RecoveryState.CLEAN)
    assert to_plain(opened.state) == image.truth[-1]
    store.close(clean=False)


async def test_a_copy_made_while_running_is_reconciled_elsewhere(tmp_path: Path) -> None:
    """Copied under a running sidecar to another machine it never starts as if whole (S12.4)."""
    killed, _ = await make_images()
    directory = written(killed, tmp_path / "d")
    store = open_store(directory, boot_id="boot of another machine")
    assert classify(store.facts) is RecoveryKind.RECONCILE
    store.close(clean=False)
    for left_out in (f"{DATABASE_FILE_NAME}-wal", DATABASE_FILE_NAME):
        torn = shutil.copytree(written(killed, tmp_path / left_out), tmp_path / f"torn-{left_out}")
        (torn / left_out).unlink()
        store = open_store(torn, boot_id="boot of another machine")
        assert classify(store.facts) is RecoveryKind.DAMAGED
        store.close(clean=False)


async def test_a_store_of_a_newer_version_is_refused_untouched(
    images: tuple[Image, Image], tmp_path: Path
) -> None:
    """An older haltline neither starts on it nor reads it, and says whose it is."""
    image = images[1]
    directory = written(image, tmp_path / "d")
    store = open_store(directory)
    store._set_meta("store.format_version", "2")  # noqa: SLF001 - what a newer version would write
    store.close(clean=True)
    before = {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "lock"}
    for attempt in (open_store, open_read_only):
        with pytest.raises(StoreError, match=r"'2', asked for '1' .*the version of haltline"):
            attempt(directory)
    after = {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "lock"}
    assert after == before


async def test_the_reader_of_a_stopped_directory_sees_the_same(
    images: tuple[Image, Image], tmp_path: Path
) -> None:
    """`haltline safety` with the sidecar down shows the state a start would have (contract.md)."""
    for image in images:
        with open_read_only(written(image, tmp_path / image.name)) as reader:
            assert to_plain(read_state(reader).state) == image.truth[-1]
