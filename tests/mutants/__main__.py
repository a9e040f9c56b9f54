"""Changes single lines of the core in a copy and sees whether a test notices: `make mutants`."""

from __future__ import annotations

import argparse
import random
import sys

from tests.mutants.run import report, run_mutants
from tests.mutants.table import MUTANTS


def main() -> int:
    """Run all, some, or a sample of the mutants; 1 where one survives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", help="part of a mutant's name; repeatable")
    parser.add_argument("--sample", type=int, help="how many, drawn by --seed")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--workers", type=int, default=2, help="copies at work at once")
    options = parser.parse_args()
    chosen = [
        mutant
        for mutant in MUTANTS
        if options.only is None or any(part in mutant.name for part in options.only)
    ]
    if options.sample is not None:
        print(f"mutants: a sample of {options.sample}, seed {options.seed}")
        chosen = random.Random(options.seed).sample(chosen, options.sample)
    return report(run_mutants(chosen, workers=options.workers))


if __name__ == "__main__":
    sys.exit(main())
