"""A campaign: many small worlds, split over the processors, counted together.

Rules:
- World n of a campaign has the seed `first + n`, whatever process drives it.
- A campaign goes on after a difference; it ends with what it reached and every difference.
"""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Final

from tests.simulation.coverage import Coverage
from tests.simulation.drive import DifferenceError, run_world

STEPS_PER_WORLD: Final = 80
WORLDS_PER_TASK: Final = 20


@dataclass(slots=True)
class Campaign:
    """What a campaign drove and found."""

    coverage: Coverage = field(default_factory=Coverage)
    differences: list[str] = field(default_factory=list)


def run_worlds(first: int, worlds: int) -> Campaign:
    """Drive worlds one after another."""
    campaign = Campaign()
    for seed in range(first, first + worlds):
        try:
            run_world(seed, STEPS_PER_WORLD, campaign.coverage)
        except DifferenceError as error:
            campaign.differences.append(str(error))
    return campaign


def run_campaign(
    first: int, commands: int, tell: Callable[[Coverage], None] | None = None
) -> Campaign:
    """Drive at least so many commands on all processors; `tell` hears of the progress."""
    campaign = Campaign()
    worlds = -(-commands // STEPS_PER_WORLD)
    # A world that differs ends early: more are driven until enough commands were.
    while campaign.coverage.commands < commands:
        with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
            tasks = [
                pool.submit(run_worlds, first + at, min(WORLDS_PER_TASK, worlds - at))
                for at in range(0, worlds, WORLDS_PER_TASK)
            ]
            for task in as_completed(tasks):
                part = task.result()
                campaign.coverage.add(part.coverage)
                campaign.differences += part.differences
                if tell is not None:
                    tell(campaign.coverage)
        first += worlds
        worlds = max(1, worlds // 10)
    return campaign
