"""A damaged store is cut to its last whole record, and whatever stops the repair loses nothing."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from sidecar.core.state import to_plain
from sidecar.service.opening import open_state
from sidecar.service.repair import make_ending
from sidecar.store import repair
from sidecar.store.digests import Digest, DigestOutcome
from sidecar.store.directory import REPAIRED_NAME
from sidecar.store.errors import (
    StoreDamagedError,
    StoreError,
    StoreHeldError,
    StoreRepairUnfinishedError,
)
from sidecar.store.inspection import inspect
from sidecar.store.lock import LOCK_FILE_NAME, Holder
from sidecar.store.read_only import open_read_only
from sidecar.store.recovery import RecoveryKind, classify
from sidecar.store.repair import DamagedStore
from sidecar.store.snapshot import list_snapshot_files
from sidecar.store.sqlite_database import DATABASE_FILE_NAME, open_connection
from sidecar.store.watermark import WATERMARK_FILE_NAME
from tests.disk.images import Image, make_images, open_store, write_private

NOW = 10**18
HOLDER = Holder(name="repairer", since="2026-01-02T03:04:05Z")
DAMAGED_AT = 9


@pytest.fixture
async def image() -> Image:
    """A directory stopped cleanly: twelve records, snapshots after the seventh and the last."""
    return (await make_images())[1]


def damaged_from(image: Image, directory: Path) -> Path:
    """Return a directory whose ninth record was changed."""
    directory.mkdir(mode=0o700)
    image.write(directory)
    connection = open_connection(directory)
    connection.execute("UPDATE journal SET record = x'00' WHERE sequence = ?", (DAMAGED_AT,))
    connection.close()
    return directory


def contents(directory: Path) -> dict[str, bytes]:
    """Return every file's bytes but the lock's, whose text names its last holder."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.name != LOCK_FILE_NAME
    }


def run_repair(directory: Path, copy_to: Path) -> None:
    """Repair as the command does, or finish what was cut off."""
    with DamagedStore(directory, HOLDER) as damaged:
        if damaged.is_unfinished:
            damaged.finish()
            return
        known = damaged.known_sequence
        ending = make_ending(damaged, damaged.damage, known_sequence=known, now=NOW)
        assert ending is not None
        damaged.repair(keep_sequence=ending.keep_sequence, ending=ending.record, copy_to=copy_to)


async def test_used_webhooks_survive_a_repair(image: Image, tmp_path: Path) -> None:
    """A reset that was used before the damage is used after it."""
    directory = tmp_path / "d"
    directory.mkdir(mode=0o700)
    image.write(directory)
    store = open_store(directory)
    used = Digest(value=b"v" * 32, key="k", is_stop=False)
    assert store.remember_digest(used, keys_in_use={"k"}, now_ns=1) is DigestOutcome.NEW
    store.close(clean=True)
    connection = open_connection(directory)
    connection.execute("UPDATE journal SET record = x'00' WHERE sequence = ?", (DAMAGED_AT,))
    connection.close()
    run_repair(directory, tmp_path / "copy")
    repaired = open_store(directory)
    assert repaired.digests_count == 1
    assert repaired.remember_digest(used, keys_in_use={"k"}, now_ns=1) is DigestOutcome.SEEN
    repaired.close(clean=True)


def assert_repaired(directory: Path, image: Image) -> None:
    """The kept records are the true ones, a halt follows them, and a reconcile is owed."""
    store = open_store(directory)
    opened = open_state(store)
    assert classify(store.facts) is RecoveryKind.RECONCILE
    assert store.facts.was_repaired
    assert store.store_id == image.store_id
    assert store.last_sequence == DAMAGED_AT
    assert opened.denies_reducing
    assert opened.way_out
    assert "repaired" in opened.detail
    assert opened.state.activations["ALL"].triggered_by == "store repair"
    assert opened.state.stop_epoch == 1, "nothing was stopped in the kept records"
    kept = [record for sequence, record in store.read(1) if sequence < DAMAGED_AT]
    assert len(kept) == DAMAGED_AT - 1
    assert [sequence for sequence, _ in list_snapshot_files(directory)] == [7]
    store.close(clean=True)
    again = open_store(directory)
    assert classify(again.facts) is RecoveryKind.RECONCILE
    assert again.facts.was_repaired
    assert open_state(again).state.activations["ALL"].triggered_by == "store repair"
    again.close(clean=True)


async def test_a_damaged_journal_is_cut_copied_and_halted(image: Image, tmp_path: Path) -> None:
    """Kept byte for byte up to the damage, HALTED by the repair, reconcile owed (S12.4, S1.1)."""
    directory = damaged_from(image, tmp_path / "d")
    before = contents(directory)
    run_repair(directory, tmp_path / "copy")
    assert contents(tmp_path / "copy") == before
    assert not (directory / REPAIRED_NAME).exists()
    assert_repaired(directory, image)


async def test_the_kept_prefix_is_the_true_one(image: Image, tmp_path: Path) -> None:
    """Without the repair's own record the state is that of the last whole one, fully equal."""
    directory = damaged_from(image, tmp_path / "d")
    with DamagedStore(directory, HOLDER) as damaged:
        assert damaged.damage is not None
        assert damaged.damage.sequence == DAMAGED_AT
        assert damaged.known_sequence == 12
        ending = make_ending(damaged, damaged.damage, known_sequence=12, now=NOW)
    assert ending is not None
    assert ending.keep_sequence == DAMAGED_AT - 1
    run_repair(directory, tmp_path / "copy")
    with open_read_only(directory) as reader:
        kept = [record for _, record in reader.read(1)][:-1]
        assert reader.damage is None
    directory_of_truth = tmp_path / "truth"
    directory_of_truth.mkdir(mode=0o700)
    image.write(directory_of_truth)
    with open_read_only(directory_of_truth) as reader:
        assert kept == [record for _, record in reader.read(1)][: DAMAGED_AT - 1]


@pytest.mark.parametrize("left", ["nothing", "rubbish"])
async def test_a_lost_database_is_repaired_to_an_empty_halted_one(
    image: Image, tmp_path: Path, left: str
) -> None:
    """With the watermark alone left the store keeps its id, forgets its records and is halted."""
    directory = tmp_path / "d"
    directory.mkdir(mode=0o700)
    image.write(directory)
    if left == "nothing":
        (directory / DATABASE_FILE_NAME).unlink()
    else:
        write_private(directory / DATABASE_FILE_NAME, b"rubbish" * 3_000)
    run_repair(directory, tmp_path / "copy")
    store = open_store(directory)
    opened = open_state(store)
    assert (store.store_id, store.last_sequence) == (image.store_id, 1)
    assert classify(store.facts) is RecoveryKind.RECONCILE
    assert "records 1 to 12 are lost" in opened.state.activations["ALL"].reason
    store.close(clean=True)


async def test_a_record_that_cannot_be_applied_is_cut_off(image: Image, tmp_path: Path) -> None:
    """Damage that only the reader of records can see is repaired alike."""
    directory = tmp_path / "d"
    directory.mkdir(mode=0o700)
    image.write(directory)
    store = open_store(directory)
    store.append([(13, b'{"version": 1, "no": "record"}')])
    store.close(clean=True)
    for path in directory.glob("snapshot-*"):
        path.unlink()
    assert inspect(directory, lambda _: None).next_start == "CLEAN"
    run_repair(directory, tmp_path / "copy")
    repaired = open_store(directory)
    opened = open_state(repaired)
    assert repaired.last_sequence == 13
    activations = opened.state.activations
    assert activations["ALL"].attempts > 1, "the halt that stood is kept, the repair an attempt"
    repaired.close(clean=True)


async def test_a_whole_store_is_not_repaired(image: Image, tmp_path: Path) -> None:
    """There is no ending where nothing is damaged; the directory stays as it is."""
    directory = tmp_path / "d"
    directory.mkdir(mode=0o700)
    image.write(directory)
    before = contents(directory)
    with DamagedStore(directory, HOLDER) as damaged:
        assert make_ending(damaged, damaged.damage, known_sequence=12, now=NOW) is None
    assert contents(directory) == before


async def test_a_store_in_use_is_not_repaired(image: Image, tmp_path: Path) -> None:
    """While a sidecar holds it, even a damaged store is refused by the holder's name (S12.8)."""
    directory = damaged_from(image, tmp_path / "d")
    store = open_store(directory)
    with pytest.raises(StoreHeldError, match="'test'"):
        DamagedStore(directory, HOLDER)
    store.close(clean=False)


async def test_without_room_for_the_copy_nothing_is_changed(
    image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal names what is needed, what there is, and the way out."""
    directory = damaged_from(image, tmp_path / "d")
    before = contents(directory)
    monkeypatch.setattr(repair, "_free_bytes", lambda _: 9)
    with pytest.raises(StoreError, match=r"\d+ bytes are needed, 9 are free .*--copy-to"):
        run_repair(directory, tmp_path / "copy")
    assert contents(directory) == before
    assert not (tmp_path / "copy").exists()


async def test_a_copy_that_reads_back_otherwise_stops_the_repair(
    image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that returns other bytes than were written is not relied on."""
    directory = damaged_from(image, tmp_path / "d")
    before = contents(directory)

    def copy_badly(source: Path, target: Path, **_: object) -> None:
        target.write_bytes(source.read_bytes()[:-1] + b"!")

    monkeypatch.setattr(shutil, "copy2", copy_badly)
    with pytest.raises(StoreError, match="is not what was copied"):
        run_repair(directory, tmp_path / "copy")
    assert contents(directory) == before
    assert not (tmp_path / "copy").exists()


async def test_with_no_identity_left_there_is_nothing_to_repair(
    image: Image, tmp_path: Path
) -> None:
    """A store that nobody can name is not made up; the refusal says what is left."""
    directory = tmp_path / "d"
    directory.mkdir(mode=0o700)
    image.write(directory)
    (directory / WATERMARK_FILE_NAME).unlink()
    write_private(directory / DATABASE_FILE_NAME, b"rubbish" * 3_000)
    with pytest.raises(StoreDamagedError, match="backup"):
        DamagedStore(directory, HOLDER)


def die_at(number: int, directory: Path, copy_to: Path) -> bool:
    """Repair in a process that is killed at the `number`-th change; say whether it was."""
    child = os.fork()
    if child == 0:
        _repair_and_die(number, directory, copy_to)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def _repair_and_die(number: int, directory: Path, copy_to: Path) -> NoReturn:
    """Kill this process before the `number`-th rename, removal, sync or new directory."""
    left = number

    def counted(name: str) -> Callable[..., object]:
        original = getattr(os, name)

        def call(*arguments: object, **named: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **named)

        return call

    for name in ("rename", "replace", "unlink", "rmdir", "fsync", "mkdir"):
        setattr(os, name, counted(name))
    code = 1
    try:
        run_repair(directory, copy_to)
        code = 0
    finally:
        os._exit(code)


async def test_kill_9_at_every_change_leaves_the_damaged_or_the_repaired_store(
    image: Image, tmp_path: Path
) -> None:
    """Killed anywhere: DAMAGED as before, or refused until finished, or repaired; copy whole."""
    seen: set[str] = set()
    number = 0
    was_killed = True
    while was_killed:
        number += 1
        directory = damaged_from(image, tmp_path / f"d{number}")
        before = contents(directory)
        copy_to = tmp_path / f"copy{number}"
        was_killed = die_at(number, directory, copy_to)
        if contents(directory).items() >= before.items() and not (directory / "repaired").exists():
            seen.add("damaged")
            store = open_store(directory)
            assert classify(store.facts) is RecoveryKind.DAMAGED
            store.close(clean=False)
        else:
            assert contents(copy_to) == before
            if (directory / "repaired").exists():
                seen.add("unfinished")
                with pytest.raises(StoreRepairUnfinishedError, match="haltline store repair"):
                    open_store(directory)
                with pytest.raises(StoreRepairUnfinishedError):
                    open_read_only(directory)
            else:
                seen.add("repaired")
                assert_repaired(directory, image)
                continue
        run_repair(directory, tmp_path / f"again{number}")
        assert_repaired(directory, image)
    assert seen == {"damaged", "unfinished", "repaired"}
    assert number > 20


async def test_what_a_directory_holds_is_told_and_left_alone(image: Image, tmp_path: Path) -> None:
    """Records, snapshots, watermark and the next start are named; no byte changes."""
    directory = damaged_from(image, tmp_path / "d")
    before = contents(directory)
    found = inspect(directory, lambda _: None)
    assert found.next_start == "DAMAGED"
    assert (found.records_count, found.damage and found.damage.sequence) == (8, DAMAGED_AT)
    text = "\n".join(found.lines())
    for word in (image.store_id, "DAMAGED at record 9", "store repair", "snapshot after record 7"):
        assert word in text
    assert "written up to record 12, power-durable up to 12" in text
    assert found.to_plain()["records"] == 8
    assert contents(directory) == before


async def test_the_state_of_the_kept_records_is_told_by_the_reader(
    image: Image, tmp_path: Path
) -> None:
    """What a repair decides its halt on is the truth after the last whole record."""
    directory = damaged_from(image, tmp_path / "d")
    store = open_store(directory)
    opened = open_state(store)
    assert to_plain(opened.state) == image.truth[DAMAGED_AT - 1]
    store.close(clean=False)
