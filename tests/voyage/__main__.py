"""Voyages: `python -m tests.voyage 10000 --first 1`; one of them to read: `--seed 59 --trace`.

Rules:
- The first seed is printed, and sails the same voyages again on any machine.
- The end says what was met, what was not, and which promises were broken, each with its seed.
"""

import argparse
import sys
import time
from typing import Final

from tests.voyage.campaign import Campaign, run_campaign, sail_traced
from tests.voyage.coverage import missing, unknown_places
from tests.voyage.mutants import MUTANTS

SHOWN_MAX: Final = 5
TOLD_EVERY: Final = 1_000
LONG: Final = 5_000


def say(line: object) -> None:
    """Write one line now."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Progress:
    """Says how far a campaign is, from time to time."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._said = 0

    def tell(self, campaign: Campaign) -> None:
        """Say how many voyages were sailed, once for each TOLD_EVERY."""
        count = campaign.met["voyages"] + len(campaign.faults)
        if count // TOLD_EVERY > self._said:
            self._said = count // TOLD_EVERY
            say(f"  {count:,} voyages, {len(campaign.faults)} broke a promise")


def main() -> int:
    """Sail; return 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.voyage")
    parser.add_argument("voyages", type=int, nargs="?", default=1, help="how many to sail")
    parser.add_argument("--first", type=int, default=None, help="the first voyage's seed")
    parser.add_argument("--seed", type=int, default=None, help="sail this one voyage alone")
    parser.add_argument("--trace", action="store_true", help="print its history, line by line")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), default="", help="change the product")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return _sail_one(arguments.seed, arguments.mutant, is_traced=arguments.trace)
    first = arguments.first if arguments.first is not None else time.time_ns() % 1_000_000_000
    say(f"first seed {first}, {arguments.voyages:,} voyages")
    seeds = range(first, first + arguments.voyages)
    campaign = run_campaign(seeds, changed=arguments.mutant, tell=Progress().tell)
    for seed in sorted(campaign.faults)[:SHOWN_MAX]:
        say(campaign.faults[seed])
    for name, count in sorted(campaign.met.items()):
        say(f"  {name}: {count:,}")
    not_met = missing(campaign.met, is_long=arguments.voyages >= LONG)
    say(f"not met: {', '.join(not_met) or 'nothing'}")
    say(f"in no table: {', '.join(unknown_places(campaign.met)) or 'nothing'}")
    say(
        f"{arguments.voyages:,} voyages of {campaign.met['lives']:,} lives, seeds {first} to "
        f"{seeds[-1]}, {len(campaign.faults)} broke a promise: {sorted(campaign.faults)[:20]}"
    )
    return 1 if campaign.faults else 0


def _sail_one(seed: int, mutant: str, *, is_traced: bool) -> int:
    lines, fault = sail_traced(seed, mutant)
    if is_traced:
        for line in lines:
            say(line)
    say(fault or f"seed {seed}: every promise was kept")
    return 1 if fault else 0


if __name__ == "__main__":
    sys.exit(main())
