"""Rounds for as long as wanted: `python -m tests.concurrency --seconds 300 --seed 1`.

Rules:
- Each round has a sidecar, a directory and a seed of its own; the seed of the first is printed, the
  others count from it.
- A round with a difference is told with its seed and ends the campaign; the exit code is 1.
"""

import argparse
import secrets
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from tests.concurrency.checker import check_round
from tests.concurrency.rounds import run_round

CONNECTIONS: Final = 64
STEPS: Final = 32
SHOWN_MAX: Final = 10


def say(line: object) -> None:
    """Write one line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run rounds until the time is over; return 1 at the first difference."""
    parser = argparse.ArgumentParser(prog="python -m tests.concurrency")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--steps", type=int, default=STEPS, help="of each bot in each round")
    arguments = parser.parse_args()
    say(f"seed {arguments.seed}: {arguments.connections} connections, {arguments.seconds} s")
    until = time.monotonic() + arguments.seconds
    total: Counter[str] = Counter()
    seed = arguments.seed
    while time.monotonic() < until:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as directory:
            played = run_round(
                Path(directory),
                seed=seed,
                connections=arguments.connections,
                steps=arguments.steps,
            )
        traffic_seconds = time.monotonic() - started
        found = check_round(played)
        total.update(found.reached)
        say(
            f"seed {seed}: {len(played.calls)} calls, {len(played.records)} records, "
            f"{len(found.differences)} differences ({played.ending}), "
            f"{traffic_seconds:.1f} s of traffic, {time.monotonic() - started:.1f} s in all"
        )
        for difference in found.differences[:SHOWN_MAX]:
            say(f"  {difference}")
        if found.differences:
            return 1
        seed += 1
    say(f"rounds {seed - arguments.seed}, differences 0; reached in all:")
    for name, count in sorted(total.items()):
        say(f"  {name}: {count}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
