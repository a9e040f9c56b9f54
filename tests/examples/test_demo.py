"""The demonstration end to end, scaled down to the autumn of 2008, with a real sidecar process."""

import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from examples import demo
from examples.market import load_prices
from examples.plot import save_plot
from examples.processes import ROOT, CommandBrokenError, Sidecar, SidecarFailedError, Terminal
from examples.tables import Story, tables

PRICES = load_prices()
FIVE_QUIET_DAYS = ("--from", "2007-01-08", "--days", "5")
PNG_BEGINS = b"\x89PNG"


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """Where everything of these runs lies, sockets too: a short path."""
    with tempfile.TemporaryDirectory(prefix="demo-") as path:
        yield Path(path)


@pytest.fixture(scope="module")
def temporary_files(directory: Path) -> Iterator[Path]:
    """Whatever a run puts into the system's temporary directory goes here instead."""
    patch = pytest.MonkeyPatch()
    here = directory / "t"
    here.mkdir()
    patch.setattr(tempfile, "tempdir", str(here))
    yield here
    patch.undo()


@pytest.fixture(scope="module")
def screen() -> io.StringIO:
    """What a person would have read."""
    return io.StringIO()


@pytest.fixture(scope="module")
def story(directory: Path, temporary_files: Path, screen: io.StringIO) -> Story:
    """Both runs over nine weeks: a kill, its reset, trips and their resets, limits all along."""
    assert temporary_files.is_dir()
    plan = demo.read_arguments(PRICES, ("--fast", "--picture", str(directory / "p.png")))
    return demo.run(plan, PRICES, Console(file=screen, width=200))


def test_each_layer_stops_the_bot(story: Story) -> None:
    """Kill switch, circuit breaker and position limits have each denied orders."""
    assert story.missing_layers == []
    assert story.guarded.asked == story.guarded.approved + story.guarded.denied


def test_nothing_is_approved_between_kill_and_reset(story: Story) -> None:
    """A person kills from another process while the bot trades: from there on, no approval."""
    (kill,) = story.chronicle.kills
    assert (kill.activated_on, kill.by, kill.mode) == (date(2008, 9, 15), "maria", "HALT")
    assert kill.ended_on == date(2008, 9, 29)
    assert kill.approved_before > 0
    assert kill.approved_meanwhile == 0
    assert story.guarded.approved > kill.approved_at_end
    assert story.guarded.held_back["KILL_SWITCH"] > 0
    assert "KILL_SWITCH" in story.halt_causes


def test_only_proof_ends_the_kill(story: Story) -> None:
    """Unsigned by the bot: refused; typed without the secret: refused; with it: done."""
    resets = [act for act in story.chronicle.acts if act.day == date(2008, 9, 29)]
    assert [(act.by, act.is_ok) for act in resets] == [
        ("the bot", False),
        ("maria", False),
        ("oscar", True),
    ]
    assert "OPERATOR_PROOF_REQUIRED" in resets[0].answer
    assert "OPERATOR_SECRET_MISSING" in resets[1].answer


def test_breaker_trips_by_itself_and_closes_in_the_next_week(story: Story) -> None:
    """Each trip has causes that reached their thresholds; the operator ends it a week on."""
    assert story.chronicle.trips
    for trip in story.chronicle.trips:
        for cause in trip.causes:
            assert Decimal(cause.observed) >= Decimal(cause.threshold), cause
        assert trip.closed_on is not None
        assert trip.closed_on.isocalendar().week > trip.opened_on.isocalendar().week
    assert {act.by for act in story.chronicle.acts if "breaker" in act.command} == {"oscar"}


def test_loss_is_accepted_only_as_the_refusal_asks(story: Story) -> None:
    """A reset names a drawdown to rebase only after the plain one was refused for it."""
    acts = [act for act in story.chronicle.acts if "reset breaker" in act.command]
    rebasing = [index for index, act in enumerate(acts) if "--rebase" in act.command]
    assert rebasing
    for index in rebasing:
        before = acts[index - 1]
        assert not before.is_ok
        assert acts[index].command.split()[-1] in before.answer
        assert acts[index].is_ok


def test_sidecar_and_venue_agree_on_every_position(story: Story) -> None:
    """Complete account reports find no position or order in which the two differ."""
    kinds = set(story.drift) - {"DRIFT_KIND_EQUITY"}  # a mark that jumped waits; equity does not
    assert kinds == set()


def test_guarded_bot_falls_less(story: Story) -> None:
    """In these weeks the same bot without the sidecar loses more."""
    assert story.guarded.equity_by_day[-1][1] > story.unguarded.equity_by_day[-1][1]
    assert story.unguarded.denied == 0


def test_screen_tells_the_story(story: Story, screen: io.StringIO) -> None:
    """The kill, the refused resets and every trip are printed as they happen."""
    assert "ready " in screen.getvalue()
    assert "DRIVEN CLOCK" in screen.getvalue()
    printed = re.findall(
        r"^(\d{4}-\d\d-\d\d)  circuit breaker OPEN", screen.getvalue(), re.MULTILINE
    )
    assert printed == [str(trip.opened_on) for trip in story.chronicle.trips]
    assert "kill switch ACTIVE (HALT) by maria" in screen.getvalue()


def test_run_leaves_nothing_behind(story: Story, temporary_files: Path) -> None:
    """The data directory, its store and its socket are gone with the run."""
    assert story.guarded.asked
    assert list(temporary_files.iterdir()) == []


def test_picture_and_tables_are_made_of_the_story(story: Story, directory: Path) -> None:
    """The plot is a PNG; the tables print the counts of the run."""
    picture = directory / "pictures" / "p.png"
    save_plot(story, picture)
    assert picture.read_bytes().startswith(PNG_BEGINS)
    console = Console(file=io.StringIO(), width=200, record=True)
    for table in tables(story):
        console.print(table)
    text = console.export_text()
    for word in ("KILL_SWITCH_HALT", "CIRCUIT_BREAKER_OPEN", "PORTFOLIO_EXPOSURE", "Deepest"):
        assert word in text
    assert f"{len(story.chronicle.trips)} trips" in text


def test_layer_that_never_stopped_the_bot_fails_the_demo(
    directory: Path, temporary_files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Five quiet days show neither kill nor trip: the exit code is 1 and says which are missing."""
    picture = directory / "quiet.png"
    assert demo.main((*FIVE_QUIET_DAYS, "--picture", str(picture))) == 1
    printed = capsys.readouterr().out
    assert "NOT SHOWN: 1 Kill switch" in printed
    assert "NOT SHOWN: 2 Circuit breaker" in printed
    assert picture.exists()
    assert list(temporary_files.iterdir()) == []


def test_two_guarded_runs_are_the_same_run(temporary_files: Path) -> None:
    """Same seed, two sidecars: every count and every day's equity agree."""
    assert temporary_files.is_dir()
    plan = demo.read_arguments(PRICES, ("--fast", "--days", "9"))
    quiet = Console(file=io.StringIO())
    first, second = (demo.run(plan, PRICES, quiet) for _ in range(2))
    assert first.guarded == second.guarded
    assert first.unguarded == second.unguarded


def test_sidecar_that_does_not_start_says_why(directory: Path) -> None:
    """A sidecar that ends before it is ready is reported in its own words."""
    with pytest.raises(SidecarFailedError, match="equity"), Sidecar(directory, equity="-1"):
        pytest.fail("a sidecar with negative equity is ready")


def test_command_that_breaks_is_not_taken_for_a_refusal(directory: Path) -> None:
    """A command that ends badly without words of its own raises: nobody may read it as a denial."""
    with pytest.raises(CommandBrokenError):
        Terminal(f"unix:{directory}/nobody", secret=None).haltline("no-such-command")


def test_terminated_demo_takes_its_sidecar_along(directory: Path) -> None:
    """SIGTERM in the middle of a run ends sidecar and data directory too, with exit code 130."""
    home = directory / "s"
    home.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "examples.demo", "--fast", "--pace", "1"],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    with process.stdout as lines:
        assert next(lines).startswith("ready ")
        (data,) = home.iterdir()
        process.terminate()
        assert "interrupted" in lines.read()
    assert process.wait(timeout=20) == demo.INTERRUPTED
    assert not data.exists()
