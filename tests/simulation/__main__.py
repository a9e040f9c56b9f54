"""Campaigns of the core against the model: `python -m tests.simulation 1000000 --seed 1`.

Rules:
- The first seed is printed, and drives the same worlds again on any machine.
- Progress goes to the terminal; the end says what was reached, what was not, and what differed.
"""

import argparse
import sys
import time
from typing import Final

from tests.simulation.campaign import STEPS_PER_WORLD, run_campaign
from tests.simulation.coverage import COUNTERS, Coverage

SHOWN_MAX: Final = 5
TOLD_EVERY: Final = 100_000


def say(line: object) -> None:
    """Write one line now."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Progress:
    """Says how far a campaign is, from time to time."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._said = 0

    def tell(self, coverage: Coverage) -> None:
        """Say how many commands were driven, once for each TOLD_EVERY."""
        if coverage.commands // TOLD_EVERY > self._said:
            self._said = coverage.commands // TOLD_EVERY
            say(f"  {coverage.commands:,} commands in {coverage.worlds:,} worlds")


def main() -> int:
    """Run a campaign; return 1 where the core and the model differed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("commands", type=int, help="how many commands to drive")
    parser.add_argument("--seed", type=int, default=None, help="the first world's seed")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else time.time_ns() % 1_000_000_000
    say(f"first seed {seed}, {STEPS_PER_WORLD} commands a world")
    campaign = run_campaign(seed, arguments.commands, Progress().tell)
    coverage = campaign.coverage
    for difference in campaign.differences[:SHOWN_MAX]:
        say(difference)
    for name in COUNTERS:
        counts = sorted(getattr(coverage, name).items())
        say(f"{name}: {', '.join(f'{key} {count}' for key, count in counts)}")
    say(f"not reached: {', '.join(coverage.missing()) or 'nothing'}")
    say(
        f"{coverage.commands:,} commands in {coverage.worlds:,} worlds from seed {seed}, "
        f"{len(campaign.differences)} worlds differed"
    )
    return 1 if campaign.differences else 0


if __name__ == "__main__":
    sys.exit(main())
