"""Words nobody meant to type: a kill stops all the same, and nothing ends in a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import ROOT, SECRET, RunningSidecar, haltline

WHO = ("--by", "tester", "--reason", "checked")
LATIN_1 = os.fsdecode("Jürgen".encode("latin-1"))
"""What a terminal in Latin-1 hands over: bytes that are no UTF-8."""


@pytest.mark.parametrize(
    ("words", "stopped", "code"),
    [
        (("--by", LATIN_1, "--reason", LATIN_1), "HALT for everything", 0),
        (("--symbol", LATIN_1), "HALT for everything", 0),
        (("--strategy", LATIN_1), "HALT for everything", 0),
        (("--reson", "fat finger"), "HALT for everything", 2),
        (("--strategi", "momentum"), "HALT for everything", 2),
        (("--symbl=ACME", "--mode", "reduce_only"), "REDUCE_ONLY for everything", 2),
        (("now", "please"), "HALT for everything", 2),
        (("-x",), "HALT for everything", 2),
        (("--timeout", "soon"), "HALT for everything", 2),
        (("--timeout=-1",), "HALT for everything", 2),
        (("--json=yes",), "HALT for everything", 2),
        (("--reason", "x" * 100_000), "HALT for everything", 0),
        (("--by",), "HALT for everything", 2),
        (("--symbol", "ACME", "--by"), "HALT for symbol ACME", 2),
    ],
)
@pytest.mark.usefixtures("operator")
def test_a_kill_stops_whatever_its_words_are(
    module_sidecar: RunningSidecar, words: tuple[str, ...], stopped: str, code: int
) -> None:
    """No word makes a kill fail; one not understood is told, with exit code 2 (S10.1)."""
    ran = haltline("kill", *module_sidecar.at, *words)
    assert stopped in ran.out.splitlines()[0]
    assert ran.code == code
    assert ("NOT UNDERSTOOD" in ran.err) == (code == 2)
    again = haltline("reset", "kill", *module_sidecar.at, *WHO)
    assert again.code == 0, again.err


@pytest.mark.parametrize("option", ["--target", "--name", "--data-dir"])
def test_a_kill_without_its_address_says_so(option: str) -> None:
    """Which sidecar is meant is not guessed where the option is there and its value is not."""
    ran = haltline("kill", option)
    assert ran.code == 2
    assert option in ran.err
    assert not ran.out


@pytest.mark.parametrize(
    "words",
    [
        ("reset", "kill", "--by", LATIN_1, "--reason", LATIN_1),
        ("reset", "kill", *WHO, "--expected-epoch", "9" * 30),
        ("release", LATIN_1, *WHO),
        ("orders", "--strategy", LATIN_1),
        ("account", "--complete", "--as-of-sequence", "9" * 30),
        ("account", "--mark", f"{LATIN_1}=5"),
        ("check", "--strategy", LATIN_1, "--symbol", "X", "--side", "buy", "--quantity", "1"),
    ],
)
@pytest.mark.usefixtures("operator")
def test_no_word_ends_in_a_traceback(
    module_sidecar: RunningSidecar, words: tuple[str, ...]
) -> None:
    """Whatever is typed is answered in sentences: `haltline` raises nothing but its exit."""
    ran = haltline(*words, *module_sidecar.at)
    assert ran.code in {0, 1, 2}
    assert "Traceback" not in ran.err


def test_a_secret_that_is_no_utf8_proves_all_the_same(
    module_sidecar: RunningSidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret is bytes: one that is no UTF-8 is wrong or right, and never a traceback (S11)."""
    monkeypatch.setenv("KILL_SWITCH_SECRET", LATIN_1)
    ran = haltline("reset", "kill", *module_sidecar.at, *WHO)
    assert ran.code == 1
    assert "OPERATOR_PROOF_WRONG" in ran.err


def test_a_full_disk_behind_stdout_is_one_sentence(module_sidecar: RunningSidecar) -> None:
    """What cannot be printed was done all the same; the reason is on stderr."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sidecar", "safety", *module_sidecar.at],
            cwd=ROOT,
            env=os.environ | {"KILL_SWITCH_SECRET": SECRET},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("haltline: ")
    assert "Traceback" not in done.stderr
