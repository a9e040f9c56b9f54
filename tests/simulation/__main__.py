"""Campaigns of the core against the model: `python -m tests.simulation 100000 --seed 1`.

Rules:
- Worlds are small and many: each has its own seed, printed with the first difference it shows.
- A campaign goes on after a difference, and ends with the coverage and a count of both.
"""

import argparse
import sys
import time
from typing import Final

from tests.simulation.drive import Coverage, DifferenceError, run_world

STEPS_PER_WORLD: Final = 80
SHOWN_MAX: Final = 5


def say(line: object) -> None:
    """Write one line."""
    sys.stdout.write(f"{line}\n")


def main() -> int:
    """Run a campaign; return 1 where the core and the model differed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("commands", type=int, help="how many commands to drive")
    parser.add_argument("--seed", type=int, default=None, help="the first world's seed")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else time.time_ns() % 1_000_000_000
    say(f"first seed {seed}, {STEPS_PER_WORLD} commands a world")
    coverage, differing, worlds = Coverage(), 0, 0
    while coverage.commands < arguments.commands:
        try:
            run_world(seed + worlds, STEPS_PER_WORLD, coverage)
        except DifferenceError as error:
            differing += 1
            if differing <= SHOWN_MAX:
                say(error)
        worlds += 1
    for name in ("codes", "causes", "flags", "refusals", "kinds"):
        counts = sorted(getattr(coverage, name).items())
        say(f"{name}: {', '.join(f'{key} {count}' for key, count in counts)}")
    say(f"{coverage.commands} commands in {worlds} worlds, {differing} worlds differed")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
