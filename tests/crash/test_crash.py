"""kill -9 of the real process at any instant: nothing acknowledged is lost, nothing is halved."""

import asyncio
import json
import secrets
from pathlib import Path
from random import Random

import pytest

from tests.crash.births import be_born
from tests.crash.blows import AtRandom
from tests.crash.campaign import blows_at, live_at_points, live_at_random
from tests.crash.check import judge
from tests.crash.life import live
from tests.crash.points import POINTS_OF_CREATION, POINTS_OF_LIFE
from tests.crash.tracing import entry_command, needs_strace

CYCLES = 10
LIVES = 2
POINTS_COUNT = 6
BIRTHS_COUNT = 2


def drawn_seed(repeat_with: str) -> int:
    """Return a fresh seed, printed with what lives it again."""
    seed = secrets.randbelow(2**31)
    print(f"seed {seed}: python -m tests.crash {repeat_with} --seed {seed}")  # noqa: T201 - a failure must be repeatable
    return seed


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("life", range(LIVES))
def test_nothing_acknowledged_is_lost_by_deaths_in_sequence(tmp_path: Path, life: int) -> None:
    """Kills, trips, resets, reports, flows and approvals survive every kill -9 (S4.7, S12.1).

    Ids stay idempotent and proofs used (S7.2, S11), batches whole (S4), and each restart shows
    what the model makes of the journal (S3).
    """
    del life
    lived, judged = live_at_random(tmp_path, drawn_seed(f"--cycles {CYCLES}"), CYCLES)
    assert judged.differences == [], lived.cycles
    assert judged.reached["deaths"] == CYCLES
    assert judged.reached["repeated"] > 0


@needs_strace
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_points_of_the_write_path_are_struck_before_and_after(tmp_path: Path) -> None:
    """Whichever call the process dies in, what was acknowledged stands (S12.1, S12.4)."""
    seed = drawn_seed("--cycles 0 --points")
    blows = Random(seed).sample(blows_at(POINTS_OF_LIFE), POINTS_COUNT)
    lived, judged = live_at_points(tmp_path, seed, blows)
    assert judged.differences == [], lived.cycles
    assert any(blow.is_struck for blow in blows), lived.cycles


@needs_strace
@pytest.mark.slow
def test_a_store_that_dies_while_it_is_made_is_no_obstacle(tmp_path: Path) -> None:
    """A half-made store is never served, and the next start goes on (S12.4)."""
    chance = Random(drawn_seed("--cycles 0 --births"))
    for at, blow in enumerate(chance.sample(blows_at(POINTS_OF_CREATION), BIRTHS_COUNT)):
        directory = tmp_path / str(at)
        directory.mkdir()
        born = be_born(directory, blow)
        assert born.differences == [], born.hit
        assert born.is_struck, born.hit


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_record_written_one_too_late_is_caught(tmp_path: Path) -> None:
    """A sidecar that answers before it writes loses what it acknowledged: these tests see it."""
    liar = entry_command(json.dumps({"is_append_late": True}))
    life = asyncio.run(live(tmp_path, 1, [AtRandom() for _ in range(3)], command=liar))
    assert judge(life).differences != []
