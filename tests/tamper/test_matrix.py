"""Every way to tamper against every way to verify, and the page that says the same."""

from __future__ import annotations

import asyncio
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.audit.items import META_PUBLIC_KEY
from tests.cli.running import Ran, haltline
from tests.tamper import hands
from tests.tamper.file_table import FILE_CASES, FileCase
from tests.tamper.history import History, add_unsigned, live, open_store
from tests.tamper.table import CASES, Case

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "audit.md"


@pytest.fixture(scope="module")
def true_history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Three lives of a sidecar and a few records after its last head; made once, copied often."""
    root = tmp_path_factory.mktemp("history")
    asyncio.run(live(root / "store", "a"))
    shutil.copytree(root / "store", root / "earlier")
    asyncio.run(live(root / "store", "b"))
    asyncio.run(live(root / "store", "c"))
    signed_size = max(hands.read(root / "store").heads)
    receipt = add_unsigned(root / "store")
    return History(
        directory=root / "store",
        earlier=root / "earlier",
        receipt=receipt,
        signed_size=signed_size,
    )


@pytest.fixture
def history(true_history: History, tmp_path: Path) -> History:
    """A copy of the history, to be tampered with."""
    shutil.copytree(true_history.directory, tmp_path / "store")
    return replace(true_history, directory=tmp_path / "store")


def verify(history: History, *options: str) -> Ran:
    """Run `haltline audit verify` on the directory."""
    return haltline("audit", "verify", "--data-dir", str(history.directory), *options)


def public_key_of(history: History, directory: Path) -> str:
    """Return the public key as somebody kept it elsewhere."""
    path = directory / "kept.pub"
    shutil.copy(history.earlier / "audit.pub", path)
    return str(path)


def test_an_untouched_history_verifies(history: History, tmp_path: Path) -> None:
    """Nothing was done: every way to verify says so, and names what is not signed yet (S13)."""
    for options in ((), ("--public-key", public_key_of(history, tmp_path))):
        ran = verify(history, *options, "--expect", history.expect)
        assert ran.code == 0, ran
        assert "VERIFIED: records 1 to " in ran.out
        assert "The 5 records after it are chained, not signed yet" in ran.out
        assert "Your receipt holds" in ran.out


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_who_sees_it(case: Case, history: History, tmp_path: Path) -> None:
    """`verify` alone, with a public key and with a receipt see what the table says (S13)."""
    key = public_key_of(history, tmp_path)
    case.do(history)
    for is_seen, options in (
        (case.alone, ()),
        (case.public_key, ("--public-key", key)),
        (case.expect, ("--expect", history.expect)),
    ):
        ran = verify(history, *options)
        assert ran.code == (1 if is_seen else 0), (options, ran)
        if is_seen:
            assert re.search(
                r"^haltline: sequence [0-9]+: .+ \[AUDIT_BROKEN\]$", ran.err, re.MULTILINE
            )
            assert "  Way out: " in ran.err


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_an_export_hides_nothing(case: Case, history: History, tmp_path: Path) -> None:
    """What the directory shows, a file exported from it shows on another machine as well (S13)."""
    key = public_key_of(history, tmp_path)
    case.do(history)
    file = tmp_path / "export.jsonl"
    exported = haltline(
        "audit", "export", "--data-dir", str(history.directory), "--output", str(file)
    )
    if exported.code:
        assert case.alone
        assert not file.exists()
        return
    for is_seen, options in (
        (case.public_key, ("--public-key", key)),
        (case.public_key or case.expect, ("--public-key", key, "--expect", history.expect)),
    ):
        ran = haltline("audit", "verify", "--file", str(file), *options)
        assert ran.code == (1 if is_seen else 0), (options, ran)


@pytest.mark.parametrize("case", FILE_CASES, ids=lambda case: case.what)
def test_who_sees_it_in_a_file(case: FileCase, history: History, tmp_path: Path) -> None:
    """`verify --file`, on another machine, sees what the table says (S13)."""
    key = public_key_of(history, tmp_path)
    file = tmp_path / "export.jsonl"
    at = ("--data-dir", str(history.directory))
    assert haltline("audit", "export", *at, "--output", str(file)).code == 0
    shutil.rmtree(history.directory)
    options = ("audit", "verify", "--file", str(file))
    assert haltline(*options, "--public-key", key, "--expect", history.expect).code == 0
    with file.open("rb") as lines:
        tampered = case.do(list(lines))
    file.write_bytes(b"".join(tampered))
    for is_seen, more in (
        (case.alone, ()),
        (case.public_key, ("--public-key", key)),
        (case.expect, ("--expect", history.expect)),
    ):
        ran = haltline(*options, *more)
        assert ran.code == (1 if is_seen else 0), (more, ran)
        if is_seen:
            assert re.match(r"haltline: sequence [0-9]+: .+ \[AUDIT_BROKEN\]\n", ran.err)


def test_a_replaced_key_signs_nothing_at_the_next_start(history: History) -> None:
    """Another key in the file only: heads go on verifying, none is added, and status says why."""
    (history.directory / "audit.key").unlink()
    (history.directory / "audit.pub").unlink()
    hands.make_key_in(history.directory)
    asyncio.run(live(history.directory, "after"))
    store = open_store(history.directory)
    heads = store.read_heads(0, 1_000)
    assert store.meta_get(META_PUBLIC_KEY)
    store.close(clean=True)
    assert max(size for size, _ in heads) == history.signed_size
    assert verify(history, "--expect", history.expect).code == 0


def test_the_page_holds_the_table() -> None:
    """docs/audit.md says row by row what the tests walk."""
    said = {True: "seen", False: "not seen"}
    rows = [
        f"| {case.what} | {said[case.alone]} | {said[case.public_key]} | {said[case.expect]} |"
        for case in (*CASES, *FILE_CASES)
    ]
    text = PAGE.read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if re.search(r"\| (not )?seen \|$", line)]
    assert table == rows, "\n".join(rows)
