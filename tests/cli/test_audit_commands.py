"""`haltline audit` against a real sidecar and against the directory it left."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.store.read_only import open_read_only
from sidecar.store.retention import droppable_through
from tests.cli.running import ROOT, RunningSidecar, haltline, haltline_process, running
from tests.tamper.history import add_unsigned, live

WAIT_SECONDS = 60
RECEIPT = re.compile(r"receipt (\d+:[0-9a-f]{64})")


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSidecar]:
    """A running sidecar that has been killed and started again, and refused one reset."""
    directory = tmp_path_factory.mktemp("audit") / "data"
    with running(directory, "--equity", "100000") as started:
        at = started.at
        assert haltline("kill", *at, "--by", "alice", "--reason", "drill").code == 0
        environment = {"KILL_SWITCH_SECRET": "a wrong secret"}
        reset = ("reset", "kill", *at, "--by", "mallory", "--reason", "mine")
        assert haltline_process(*reset, environment=environment).code == 1
        yield started


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A directory with four lives, the last of them stopped cleanly."""
    directory = tmp_path / "data"
    for name in ("a", "b", "c", "d"):
        asyncio.run(live(directory, name))
    return directory


def at(directory: Path) -> tuple[str, str]:
    """Return the options that lead to a directory."""
    return ("--data-dir", str(directory))


def test_a_running_sidecar_is_verified_and_its_receipt_holds(sidecar: RunningSidecar) -> None:
    """Its journal is asked for over the socket; what it prints as receipt is met next time."""
    ran = haltline("audit", "verify", *sidecar.at)
    assert ran.code == 0, ran
    assert ran.out.startswith("VERIFIED: records 1 to ")
    assert "asked of the sidecar at unix:" in ran.out
    found = RECEIPT.search(ran.out)
    assert found is not None
    key = str(sidecar.directory / "audit.pub")
    again = haltline(
        "audit", "verify", *sidecar.at, "--expect", found[1], "--public-key", key, "--json"
    )
    plain = json.loads(again.out)
    assert again.code == 0
    assert plain["is_verified"]
    assert plain["is_expected_met"]
    assert plain["is_public_key_given"]
    assert plain["is_sidecar_running"]
    wrong = found[1][:-1] + ("0" if found[1][-1] != "0" else "1")
    assert haltline("audit", "verify", *sidecar.at, "--expect", wrong).code == 1


def test_an_export_of_a_running_sidecar_verifies_alone(
    sidecar: RunningSidecar, tmp_path: Path
) -> None:
    """The file and the public key are enough, and the file is its owner's alone (S13)."""
    file = tmp_path / "export.jsonl"
    exported = haltline("audit", "export", *sidecar.at, "--output", str(file))
    assert exported.code == 0, exported
    receipt = RECEIPT.search(exported.err)
    assert receipt is not None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    key = tmp_path / "kept.pub"
    shutil.copy(sidecar.directory / "audit.pub", key)
    options = ("audit", "verify", "--file", str(file), "--public-key", str(key))
    ran = haltline(*options, "--expect", receipt[1])
    assert ran.code == 0, ran
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [line["type"] for line in lines][:1] == ["opening"]
    assert {line["type"] for line in lines} == {"opening", "record", "head", "end"}
    again = haltline("audit", "export", *sidecar.at, "--output", str(file))
    assert again.code == 2
    assert "name a file that is not there yet" in again.err
    on_stdout = haltline_process("audit", "export", *sidecar.at)
    assert (
        on_stdout.out.splitlines()[: len(lines) - 1]
        == (file.read_text(encoding="utf-8").splitlines()[:-1])
    )


def test_tail_prints_who_what_and_why(sidecar: RunningSidecar) -> None:
    """A line a record; refused attempts with who, what and why among them (S13)."""
    ran = haltline("audit", "tail", *sidecar.at, "--no-follow")
    assert ran.code == 0, ran
    assert re.search(r"TriggerKill -> KillActivated \(drill\)", ran.out)
    assert "ResetKill OPERATOR_PROOF_WRONG: " in ran.out
    assert "said by 'mallory': 'mine'" in ran.out
    one = haltline("audit", "tail", *sidecar.at, "--no-follow", "--lines", "1", "--json")
    plain = json.loads(one.out.splitlines()[0])
    assert plain["what"] == "AttemptRefused"
    from_two = haltline("audit", "tail", *sidecar.at, "--no-follow", "--from", "2", "--json")
    sequences = [
        item["sequence"]
        for item in map(json.loads, from_two.out.splitlines())
        if "sequence" in item
    ]
    assert sequences == list(range(2, plain["sequence"] + 1))


def test_a_stopped_sidecar_is_read_from_its_directory(stopped: Path, tmp_path: Path) -> None:
    """With the sidecar down verify, export and tail read the directory, change nothing, say so."""
    before = {path.name: path.read_bytes() for path in stopped.iterdir() if path.is_file()}
    ran = haltline("audit", "verify", *at(stopped))
    assert ran.code == 0
    assert "the sidecar is not running" in ran.out
    assert haltline("audit", "export", *at(stopped), "--output", str(tmp_path / "e")).code == 0
    tail = haltline("audit", "tail", *at(stopped), "--lines", "3")
    assert tail.code == 3
    assert tail.err.startswith("SIDECAR NOT RUNNING: no sidecar answers at unix:")
    assert len(tail.out.splitlines()) == 3
    assert "Stop -> nothing changed" in tail.out.splitlines()[-1]
    whole = haltline("audit", "tail", *at(stopped), "--from", "1")
    assert "signed head over" in whole.out
    assert {p.name: p.read_bytes() for p in stopped.iterdir() if p.is_file()} == before


@pytest.mark.parametrize("words", ["7", "0:" + "0" * 64, "x:" + "0" * 64, "7:abc", "7:" + "g" * 64])
def test_a_receipt_that_is_none_is_a_wrong_word(words: str, stopped: Path) -> None:
    """Exit code 2, and nothing is verified against what was not meant."""
    ran = haltline("audit", "verify", *at(stopped), "--expect", words)
    assert ran.code == 2
    assert "SIZE:ROOT" in ran.err


def test_files_that_cannot_be_read_are_named(stopped: Path, tmp_path: Path) -> None:
    """Exit code 2 for a wrong file or key, 3 where there is nothing at all to read."""
    missing = str(tmp_path / "missing")
    assert haltline("audit", "verify", "--file", missing).code == 2
    assert haltline("audit", "verify", *at(stopped), "--public-key", missing).code == 2
    key = str(stopped / "audit.key")
    assert haltline("audit", "verify", *at(stopped), "--public-key", key).code == 2
    assert haltline("audit", "verify", *at(tmp_path / "nowhere")).code == 3
    assert haltline("audit", "verify", "--target", "unix:/nowhere/s").code == 3
    empty = tmp_path / "empty"
    empty.touch()
    ran = haltline("audit", "verify", "--file", str(empty))
    assert ran.code == 1
    assert "this is no whole export" in ran.err


def drop(directory: Path, before: int, file: Path, *more: str) -> tuple[int, str, str]:
    """Run `haltline audit drop`."""
    ran = haltline(
        "audit", "drop", *at(directory), "--before", str(before), "--export", str(file),
        "--by", "alice", "--reason", "the disk is small", *more,
    )  # fmt: skip
    return ran.code, ran.out, ran.err


def test_dropped_records_stand_in_the_file_and_the_rest_verifies(
    stopped: Path, tmp_path: Path
) -> None:
    """Dropped twice: each file verifies, so does what stays, each with its receipts (S13)."""
    whole = RECEIPT.search(haltline("audit", "verify", *at(stopped)).out)
    last = droppable_through(stopped)
    assert whole is not None
    assert last > 20
    key = tmp_path / "kept.pub"
    shutil.copy(stopped / "audit.pub", key)
    trusted = ("--public-key", str(key))
    receipts = {}
    for before in (10, last + 1):
        code, out, err = drop(stopped, before, tmp_path / f"to-{before}")
        assert code == 0, err
        found = RECEIPT.search(out)
        assert found is not None
        receipts[before] = found[1]
        ran = haltline("audit", "verify", "--file", str(tmp_path / f"to-{before}"), *trusted)
        assert ran.code == 0, ran
        assert f"receipt {found[1]}" in ran.out
    stays = haltline("audit", "verify", *at(stopped), *trusted, "--expect", whole[1])
    assert stays.code == 0, stays
    assert f"VERIFIED: records {last + 1} to " in stays.out
    assert f"Records up to {last} were dropped; their signed head holds" in stays.out
    # A receipt of what was dropped is met by the file, and cannot be judged by what stays.
    older = haltline("audit", "verify", *at(stopped), "--expect", receipts[10])
    assert older.code == 1
    assert "this cannot be judged here" in older.err
    again = haltline("audit", "verify", "--file", str(tmp_path / "to-10"), "--expect", receipts[10])
    assert again.code == 0
    second = tmp_path / f"to-{last + 1}"
    assert haltline("audit", "verify", "--file", str(second), "--expect", receipts[10]).code == 0


def test_a_sidecar_lives_on_after_a_drop(stopped: Path, tmp_path: Path) -> None:
    """It starts CLEAN, decides, stops; the drop is a record; nothing dropped is needed (S12.5)."""
    last = droppable_through(stopped)
    assert drop(stopped, last + 1, tmp_path / "file")[0] == 0
    with running(stopped) as started:
        assert "recovered" in started.ready
        ran = haltline("audit", "tail", *started.at, "--no-follow", "--from", "1")
        assert ran.code == 0, ran
        assert "DropRecords -> RecordsDropped (the disk is small)" in ran.out
        assert ran.out.split()[0] == str(last + 1)
        assert haltline("audit", "verify", *started.at).code == 0
        assert started.stop() == 0
    add_unsigned(stopped)
    with open_read_only(stopped) as store:
        assert store.damage is None
        assert store.base.size == last
    assert haltline("audit", "verify", *at(stopped)).code == 0


def test_what_may_not_be_dropped_is_refused_and_stays(stopped: Path, tmp_path: Path) -> None:
    """Past the two newest snapshots, nothing at all, over a file, with another key: refused."""
    before = (stopped / "journal.db").read_bytes()
    last = droppable_through(stopped)
    taken = tmp_path / "taken"
    taken.write_text("mine")
    for sequence, file in ((last + 2, "f"), (1, "f"), (0, "f")):
        code, _, err = drop(stopped, sequence, tmp_path / file)
        assert code == 1, sequence
        assert f"must be 2 to {last + 1}" in err
    assert drop(stopped, 9, taken)[0] == 2
    assert taken.read_text() == "mine"
    (stopped / "audit.key").unlink()
    code, _, err = drop(stopped, 9, tmp_path / "f")
    assert code == 1
    assert "the audit key cannot be read" in err
    assert not (tmp_path / "f").exists()
    assert len((stopped / "journal.db").read_bytes()) == len(before)
    assert haltline("audit", "verify", *at(stopped)).code == 0


def test_nothing_is_dropped_while_a_sidecar_runs(sidecar: RunningSidecar, tmp_path: Path) -> None:
    """The directory has one owner; the refusal names it."""
    code, _, err = drop(sidecar.directory, 2, tmp_path / "file")
    assert code == 1
    assert "is held by" in err
    assert not (tmp_path / "file").exists()


def test_a_drop_needs_two_snapshots(tmp_path: Path) -> None:
    """A young store keeps everything."""
    directory = tmp_path / "data"
    asyncio.run(live(directory, "a"))
    code, _, err = drop(directory, 3, tmp_path / "file")
    assert code == 1
    assert "nothing may be dropped before there are two whole snapshots" in err


def test_a_tail_that_lost_its_sidecar_says_where_to_go_on(tmp_path: Path) -> None:
    """The stream ends with the sidecar: exit code 3, and the words that go on (S13)."""
    with running(tmp_path / "data") as started:
        tail = subprocess.Popen(
            [sys.executable, "-m", "sidecar", "audit", "tail", *started.at],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert tail.stdout is not None
            assert "Configure" in tail.stdout.readline()
            assert started.stop() == 0
            out, err = tail.communicate(timeout=WAIT_SECONDS)
        finally:
            tail.kill()
    assert tail.returncode == 3
    assert "Start -> RecoveryEntered" in out
    assert re.search(r"went away after record \d+ .*\n.*haltline audit tail --from \d+", err)
