"""A campaign: many voyages, split over the processors, each in a process of its own kind.

Rules:
- Voyage n of a campaign has the seed `first + n`, whatever process sails it.
- A campaign goes on after a broken promise; it ends with what was met and every fault.
- `changed` names a mutant of `mutants.py`, by which the tests themselves are tested.
"""

from __future__ import annotations

import logging
import os
import random
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Final

from tests.voyage.harbour import Harbour, open_harbour
from tests.voyage.mutants import mutated
from tests.voyage.sea import Sea, VoyageError
from tests.voyage.voyage import sail

VOYAGES_PER_TASK: Final = 25


@dataclass(slots=True)
class Campaign:
    """What a campaign met, and the faults by seed."""

    met: Counter[str] = field(default_factory=Counter)
    faults: dict[int, str] = field(default_factory=dict)


def sail_all(seeds: Sequence[int], changed: str = "") -> Campaign:
    """Sail voyages one after another, in this process, which must be no other test's."""
    _be_quiet()
    campaign = Campaign()
    with open_harbour() as harbour, mutated(changed):
        for seed in seeds:
            fault = _sail(Sea(seed, random.Random(seed)), harbour, campaign.met)
            if fault:
                campaign.faults[seed] = fault
    return campaign


def find_catch(changed: str, first: int, count: int) -> Campaign:
    """Sail from `first` on until a voyage catches the mutant; the campaign ends with that seed."""
    campaign = Campaign()
    for seed in range(first, first + count):
        campaign = sail_all([seed], changed)
        if campaign.faults:
            break
    return campaign


def run_apart(work: Callable[..., Campaign], *arguments: object) -> Campaign:
    """Return what `work` returns in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def sail_traced(seed: int, changed: str = "") -> tuple[list[str], str]:
    """Sail one voyage in this process; return its whole log, and the broken promise if any."""
    _be_quiet()
    sea = Sea(seed, random.Random(seed))
    with open_harbour() as harbour, mutated(changed):
        fault = _sail(sea, harbour, Counter())
    return sea.lines, fault


def _sail(sea: Sea, harbour: Harbour, met: Counter[str]) -> str:
    try:
        sail(sea, harbour)
    except VoyageError as error:
        return str(error)
    except Exception:  # noqa: BLE001 - whatever the product raised is a fault with a seed
        return f"unforeseen: seed {sea.seed}\n{traceback.format_exc()}"
    met.update(sea.met)
    return ""


def _be_quiet() -> None:
    # Ghosts of dead lives end where they stood, and a refusing disk is logged: both are the point.
    warnings.simplefilter("ignore", RuntimeWarning)
    logging.disable(logging.ERROR)


def run_campaign(
    seeds: Sequence[int],
    *,
    changed: str = "",
    tell: Callable[[Campaign], None] | None = None,
) -> Campaign:
    """Sail all seeds on all processors; `tell` hears of the progress."""
    campaign = Campaign()
    pool = ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn"))
    with pool:
        tasks = [
            pool.submit(sail_all, seeds[at : at + VOYAGES_PER_TASK], changed)
            for at in range(0, len(seeds), VOYAGES_PER_TASK)
        ]
        for task in as_completed(tasks):
            part = task.result()
            campaign.met += part.met
            campaign.faults |= part.faults
            if tell is not None:
                tell(campaign)
    return campaign
