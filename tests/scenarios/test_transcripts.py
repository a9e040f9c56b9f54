"""Every transcript is played, and what the sidecar answers must be what is written.

The language is described in `transcript_language` and `README.md`; `python -m
tests.scenarios.transcripts --rewrite FILE` writes the answers.
"""

import gzip
import hashlib
import re
from pathlib import Path

import pytest

from sidecar.core.answers import RecoveryState, TradingMode
from sidecar.core.circuit_breaker import CAUSES
from sidecar.core.commands import ReportKind
from sidecar.core.denial import DenialCode
from sidecar.wire.tables import DRIFT_NUMBERS, FLAG_NUMBERS
from tests.scenarios.transcript_answers import LAYERS
from tests.scenarios.transcript_language import (
    RULE,
    TranscriptError,
    read_transcript,
    title_of,
)
from tests.scenarios.transcript_prices import RECORDS
from tests.scenarios.transcripts import DIRECTORY, all_transcripts, compare, played, rewrite, run

TRANSCRIPTS = all_transcripts()
TRANSCRIPTS_COUNT_MIN = 50
NOT_SHOWN = {
    "TOO_MANY_ORDERS": "needs 100,000 orders held; tests/core has it",
    "CONFLICTING": "shown as a count of reports that contradict an earlier one",
    "UNSPECIFIED": "no word of the contract",
}
OPENING = "# Somebody buys. S6.1\n\n"
BOUGHT = """\
2024-01-03 09:30:00 start with equity 100000 flat
    started CLEAN in mode NORMAL: new store; equity 100,000, no drawdown
09:30:01 buy 10 AAPL limit 100 by momentum as A1
    APPROVED until 09:30:11, holds 1,000; the most would be 300
"""


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
async def test_transcript(path: Path) -> None:
    """The sidecar answers what the transcript says, line by line."""
    found = await compare(path)
    if found:
        pytest.fail(f"\n{found}", pytrace=False)


def test_there_are_transcripts_of_everything_that_was_asked_for() -> None:
    """At least fifty, each opening with what it shows and the rules it cites."""
    assert len(TRANSCRIPTS) >= TRANSCRIPTS_COUNT_MIN
    titles = {path.name: title_of(path.read_text(encoding="utf-8")) for path in TRANSCRIPTS}
    assert [name for name, title in titles.items() if not RULE.search(title)] == []
    assert [name for name, title in titles.items() if "." not in title] == []


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("denial", {code.value for code in DenialCode} - NOT_SHOWN.keys()),
        ("cause", set(CAUSES)),
        ("flag", set(FLAG_NUMBERS) - NOT_SHOWN.keys()),
        ("drift", set(DRIFT_NUMBERS) - NOT_SHOWN.keys()),
        ("report", {kind.value.lower() for kind in ReportKind}),
        ("layer", set(LAYERS.values())),
        ("recovery", {state.value for state in RecoveryState}),
        ("mode", {mode.value for mode in TradingMode}),
    ],
)
def test_every_word_of_the_contract_is_shown(what: str, words: set[str]) -> None:
    """Each code, cause, flag, drift, kind of report, layer, recovery and mode has its example."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in TRANSCRIPTS)
    answers = [line for line in text.splitlines() if line.startswith(" ") or what == "report"]
    shown = "\n".join(answers)
    assert [word for word in sorted(words) if not re.search(rf"\b{word}\b", shown)] == []


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name)
def test_recorded_prices_are_those_of_their_source(path: Path) -> None:
    """The prices of real markets are the slices that examples/data/README.md names, unchanged."""
    digest = hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
    assert digest in (path.parent / "README.md").read_text(encoding="utf-8")


def test_the_list_of_transcripts_is_complete() -> None:
    """README.md names each transcript, and none that is not there."""
    page = (DIRECTORY / "README.md").read_text(encoding="utf-8")
    named = [word for word in re.findall(r"`([a-z0-9_]+)`", page) if "_" in word]
    assert sorted(named) == [path.stem for path in TRANSCRIPTS]


async def test_what_was_written_by_hand_is_played_as_written() -> None:
    """A true transcript is played without a difference."""
    assert await played(OPENING + BOUGHT) == OPENING + BOUGHT


@pytest.mark.parametrize(
    ("written", "edited"),
    [
        ("holds 1,000", "holds 1,001"),
        ("APPROVED", "DENIED"),
        ("until 09:30:11", "until 09:30:12"),
        ("    APPROVED until 09:30:11, holds 1,000; the most would be 300\n", ""),
        ("be 300\n", "be 300\n    mode NORMAL -> HALTED\n"),
        ("buy 10 AAPL", "buy 11 AAPL"),
    ],
    ids=["number", "verdict", "time", "answer taken out", "answer put in", "another order"],
)
async def test_an_edited_expectation_is_caught(tmp_path: Path, written: str, edited: str) -> None:
    """Whatever is edited shows as a difference that holds the line."""
    path = tmp_path / "edited.txt"
    path.write_text(OPENING + BOUGHT.replace(written, edited), encoding="utf-8")
    found = await compare(path)
    assert "\n-" in found or "\n+" in found
    assert "@@" in found
    assert "--rewrite" in found
    assert await run([path], is_rewriting=False) == 1


async def test_a_rewrite_mends_answers_and_nothing_else(tmp_path: Path) -> None:
    """A rewrite puts the true answers in; a second one finds nothing to do."""
    path = tmp_path / "stale.txt"
    path.write_text(OPENING + BOUGHT.replace("holds 1,000", "holds 7"), encoding="utf-8")
    assert await rewrite(path)
    assert path.read_text(encoding="utf-8") == OPENING + BOUGHT
    assert not await rewrite(path)
    assert await compare(path) == ""


@pytest.mark.parametrize(
    "line",
    [
        "09:30:02 by 10 AAPL limit 100 by momentum as A2",
        "09:30:02 buy 10 AAPL limit 100 by momentum as A2 fast",
        "09:30:02 buy 10 AAPL limit 100 by momentum",
        "09:30:02 Z9 filled 10 at 100",
        "09:29:59 mark AAPL 100",
        "mark AAPL 100",
        "   three spaces",
    ],
)
async def test_a_line_that_nobody_understands_is_named(line: str) -> None:
    """No line is passed over: a word that nobody reads ends the transcript, with its line."""
    with pytest.raises(TranscriptError, match="line 7"):
        await played(f"{OPENING}{BOUGHT}{line}\n")


def test_a_date_is_needed_once() -> None:
    """The first time says its day."""
    with pytest.raises(TranscriptError, match="line 1: the first time needs a date"):
        read_transcript("09:30:00 start\n")
