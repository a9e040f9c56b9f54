"""Every byte of a small journal flipped, and cut at every byte: `make test-flips`.

Rules:
- The seed draws which bit of each byte; it is printed, and a fault is printed as its case.
- The exit code is 1 where anything came out as it must not.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import random
import sys
import time
from itertools import islice
from typing import Final

from tests.disk.flips import Case, Result, every_case, play
from tests.disk.images import make_images

FAULTS_SHOWN_MAX: Final = 50
CASES_OF_A_PIECE: Final = 2_000


def main() -> int:
    """Play every case, on every core that may be used."""
    parser = argparse.ArgumentParser(prog="python -m tests.disk", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--every", type=int, default=1, help="play one case of so many")
    options = parser.parse_args()
    images = asyncio.run(make_images())
    cases = list(every_case(images, options.seed))[:: options.every]
    say(f"test-flips: {len(cases)} cases, seed {options.seed}, {options.workers} workers")
    for image in images:
        sizes = ", ".join(f"{name} {len(data)}" for name, data in image.files.items())
        say(f"  {image.name}: {len(image.truth) - 1} records; {sizes} bytes")
    started = time.monotonic()
    result = Result()
    with multiprocessing.get_context("fork").Pool(options.workers) as pool:
        for played in pool.imap_unordered(play, pieces(cases)):
            result.add(played)
    for fault in result.faults[:FAULTS_SHOWN_MAX]:
        say(f"  {fault}")
    seconds = time.monotonic() - started
    counts = ", ".join(f"{name} {count}" for name, count in sorted(result.outcomes.items()))
    say(f"test-flips: {counts}; {len(result.faults)} faults; {seconds:.0f} s")
    return 1 if result.faults else 0


def pieces(cases: list[Case]) -> list[list[Case]]:
    """Return the cases in handy pieces."""
    source = iter(cases)
    return list(iter(lambda: list(islice(source, CASES_OF_A_PIECE)), []))


def say(line: str) -> None:
    """Write one line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
