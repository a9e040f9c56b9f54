"""A campaign of voyages in every test run: what was acknowledged is never lost, whatever happens.

`make sim-shell N=10000` sails as many as wanted, from a seed of its own.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.voyage.campaign import find_catch, run_apart, run_campaign
from tests.voyage.coverage import missing, unknown_places
from tests.voyage.mutants import MUTANTS, RULES, SEEDS

VOYAGES = 1_000
FIRST_SEED = 1
CATCH_SEEDS_MAX = 150
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_promise_is_kept_on_every_voyage() -> None:
    """Kills, power cuts, faults and cancellations anywhere take back no promise (S4.7, S10, S12).

    Every row of `coverage` is met on the way, and no call waits in a place that none names.
    """
    campaign = run_campaign(range(FIRST_SEED, FIRST_SEED + VOYAGES))
    last = FIRST_SEED + VOYAGES - 1
    sys.stdout.write(
        f"{VOYAGES} voyages, {campaign.met['lives']} lives, seeds {FIRST_SEED} to {last}\n"
    )
    assert list(campaign.faults.values())[:2] == []
    assert missing(campaign.met) == []
    assert unknown_places(campaign.met) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_of_the_shell_is_caught(name: str) -> None:
    """A change a tired hand might make breaks a promise, by name, on a voyage that is known.

    Where the product changed since, the same seed sails elsewhere: the next ones are tried.
    """
    campaign = run_apart(find_catch, name, SEEDS[name], CATCH_SEEDS_MAX)
    assert len(campaign.faults) == 1, "no voyage noticed: python -m tests.voyage 999 --mutant NAME"
    ((seed, fault),) = campaign.faults.items()
    sys.stdout.write(f"{name}: caught by seed {seed}, {fault.splitlines()[0]}\n")
    assert fault.startswith(RULES[name])


@pytest.mark.slow
def test_the_seeds_of_the_mutants_are_no_fault_of_the_product() -> None:
    """The unchanged product keeps every promise on the very same voyages."""
    campaign = run_campaign(sorted(set(SEEDS.values())))
    assert campaign.faults == {}


@pytest.mark.slow
def test_a_seed_tells_the_same_history_in_any_process() -> None:
    """Line by line, whatever Python's hashes are: a failure can be looked at again."""
    told = _trace(7, hash_seed="1")
    assert _trace(7, hash_seed="2") == told
    assert _trace(8, hash_seed="1") != told


def _trace(seed: int, *, hash_seed: str) -> str:
    command = [sys.executable, "-m", "tests.voyage", "--seed", str(seed), "--trace"]
    environment = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return ended.stdout
