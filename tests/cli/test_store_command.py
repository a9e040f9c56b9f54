"""`haltline store`: what a stopped sidecar's directory holds, and the repair of a damaged one."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.running import RunningSidecar, haltline, running


def bytes_in(directory: Path) -> int:
    """Return the bytes of every file below."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def damage(sidecar: RunningSidecar) -> None:
    """Change a byte in the middle of the stopped sidecar's journal."""
    database = sidecar.directory / "journal.db"
    data = bytearray(database.read_bytes())
    place = data.index(b'"AssumeFlat"')
    data[place + 1] ^= 1
    database.write_bytes(data)


@pytest.mark.usefixtures("operator")
def test_a_damaged_store_is_repaired_and_started_by_an_operator_only(tmp_path: Path) -> None:
    """DAMAGED starts HALTED; repaired it starts HALTED; only proof gives trading back (S12.4)."""
    with running(tmp_path / "d", "--equity", "100000", "--assume-flat") as sidecar:
        assert haltline("kill", *sidecar.at, "--by", "me").code == 0
        assert sidecar.stop() == 0
        damage(sidecar)
        ready = sidecar.start()
        assert "trading mode HALTED" in ready
        told = haltline("safety", *sidecar.at)
        assert told.code == 1
        assert "Recovery: DAMAGED" in told.out
        assert "haltline store repair" in told.out, told.out
        refused = haltline("reset", "recovery", *sidecar.at, "--by", "me", "--reason", "x")
        assert (refused.code, "[OPERATOR_PROOF_UNREMEMBERED]" in refused.err) == (1, True)
        assert sidecar.stop() == 1
        info = haltline("store", "info", *sidecar.at)
        assert info.code == 1
        assert "next start: DAMAGED" in info.out
        nowhere = ("--copy-to", str(tmp_path / "none" / "copy"))
        dry = haltline("store", "repair", *sidecar.at, "--dry-run", *nowhere)
        assert (dry.code, "No such file or directory" in dry.err) == (1, True)
        dry = haltline("store", "repair", *sidecar.at, "--dry-run")
        assert (dry.code, dry.out.splitlines()[0][:7]) == (0, "DRY RUN")
        assert list(tmp_path.glob("d.damaged-*")) == []
        done = haltline("store", "repair", *sidecar.at, "--json")
        assert done.code == 0
        plain = json.loads(done.out)
        assert Path(plain["copy"]).is_dir()
        assert plain["lost_records"] > 0
        assert plain["is_loss_certain"] is True, "the watermark was there and counted them"
        assert plain["copy_bytes"] == bytes_in(Path(plain["copy"]))
        assert plain["kept_records"] + 1 == plain["lost_from_sequence"]
        assert "nothing is damaged" in haltline("store", "repair", *sidecar.at).err
        assert "trading mode HALTED" in sidecar.start()
        told = haltline("safety", *sidecar.at)
        assert "Kill Switch: ACTIVE (HALT)" in told.out
        assert "store repair" in told.out
        assert "Recovery: RECONCILE" in told.out
        by = ("--by", "me", "--reason", "compared")
        assert haltline("reset", "recovery", *sidecar.at, *by).code == 0
        assert "Kill Switch: ACTIVE (HALT)" in haltline("safety", *sidecar.at).out
        assert haltline("reset", "kill", *sidecar.at, *by).code == 0
        assert haltline("account", *sidecar.at, "--equity", "100000").code == 0
        assert haltline("safety", *sidecar.at).code == 0
        assert sidecar.stop() == 0


def test_what_runs_is_neither_repaired_nor_looked_into(sidecar: RunningSidecar) -> None:
    """The holder is named; the way out is to stop it."""
    for command in ("repair", "info"):
        refused = haltline("store", command, *sidecar.at)
        assert refused.code == 1
        assert "is held by 'default', pid" in refused.err


def test_no_store_is_no_store(tmp_path: Path) -> None:
    """A directory without one is said so, and none is made."""
    for command in ("repair", "info"):
        assert haltline("store", command, "--data-dir", str(tmp_path)).code == 1
        assert haltline("store", command, "--data-dir", str(tmp_path / "none")).code == 1
    assert not (tmp_path / "none").exists()
    assert not (tmp_path / "journal.db").exists()


def test_the_copy_may_go_elsewhere_but_not_into_the_store(
    sidecar: RunningSidecar, tmp_path: Path
) -> None:
    """--copy-to chooses the disk; inside the directory the copy would copy itself."""
    sidecar.stop()
    shutil.rmtree(sidecar.directory / "run")
    (sidecar.directory / "journal.db").write_bytes(b"rubbish" * 2_000)
    inside = haltline("store", "repair", *sidecar.at, "--copy-to", str(sidecar.directory / "c"))
    assert "lies in the store itself" in inside.err
    copied = tmp_path / "elsewhere"
    done = haltline("store", "repair", *sidecar.at, "--copy-to", str(copied))
    assert done.code == 0, done.err
    assert f"copy of everything as it was: {copied}" in done.out
    assert (copied / "journal.db").read_bytes() == b"rubbish" * 2_000
    info = haltline("store", "info", *sidecar.at, "--json")
    assert json.loads(info.out)["next_start"] == "RECONCILE"
