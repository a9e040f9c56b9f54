"""A campaign in every test run: the core says what the model of the page says.

`make sim N=1000000` drives as many commands as wanted, from a seed of its own.
"""

import sys

import pytest

from tests.simulation.campaign import run_campaign

COMMANDS = 100_000
FIRST_SEED = 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_core_says_what_the_model_of_the_page_says() -> None:
    """The same commands give the same answers and the same status, and a replay the same (S3).

    Every denial code, cause, flag and refusal, every kind of report in every state of its order,
    and every row of `coverage.EVENTS` is reached on the way.
    """
    campaign = run_campaign(FIRST_SEED, COMMANDS)
    coverage = campaign.coverage
    last = FIRST_SEED + coverage.worlds - 1
    sys.stdout.write(f"{coverage.commands} commands, seeds {FIRST_SEED} to {last}\n")
    assert campaign.differences[:3] == []
    assert coverage.commands >= COMMANDS
    assert coverage.missing() == []
