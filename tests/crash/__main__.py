"""Crashes for as many cycles as wanted: `python -m tests.crash --cycles 200 --seed 1`.

Rules:
- Cycles are lived in lives of twenty, each on a directory of its own with the next seed.
- `--points`, `--births`: every named point of the write path, both directions, exhaustively.
- `--disk`: every case of the table of disk errors.
- `--cuts`: so many power cuts, as root, on a loop device.
- What each blow hit is printed; a difference ends the campaign with exit code 1 and its seed.
"""

import argparse
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from tests.crash.births import be_born
from tests.crash.campaign import (
    LIFE_CYCLES,
    POINTS_A_LIFE,
    blows_at,
    live_at_points,
    live_at_random,
    live_through,
)
from tests.crash.check import Judged
from tests.crash.disk_errors import prepare, try_case
from tests.crash.disk_table import all_cases
from tests.crash.life import Life
from tests.crash.loop_disk import why_no_power_can_be_cut
from tests.crash.points import POINTS_OF_CREATION, POINTS_OF_LIFE

SHOWN_MAX: Final = 10
_TOTAL: Counter[str] = Counter()


def say(line: object) -> None:
    """Write one line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _lived(name: str, live: Callable[[Path], tuple[Life, Judged]]) -> bool:
    """Live one life and tell it; return whether nothing was wrong with it."""
    with tempfile.TemporaryDirectory() as directory:
        started = time.monotonic()
        life, judged = live(Path(directory))
    for hit in life.cycles:
        say(f"  {hit[:150]}")
    for difference in judged.differences[:SHOWN_MAX]:
        say(f"  DIFFERENCE {difference}")
    _TOTAL.update(judged.reached)
    say(
        f"{name}: {len(life.cycles) - 1} deaths, {len(life.calls)} calls, {len(life.records)} "
        f"records, {life.repeated_count} acknowledged things repeated, "
        f"{len(judged.differences)} differences, {time.monotonic() - started:.0f} s"
    )
    return not judged.differences


def _in_lives(seed: int, deaths: int, live: Callable[..., tuple[Life, Judged]]) -> bool:
    """Live one life after the other, until there were so many deaths."""
    left, is_well = deaths, True
    while left > 0 and is_well:
        count = min(left, LIFE_CYCLES)
        is_well = _lived(f"seed {seed}", partial(live, seed=seed, deaths=count))
        left, seed = left - count, seed + 1
    return is_well


def _at_points(seed: int) -> bool:
    blows = blows_at(POINTS_OF_LIFE)
    struck = 0
    for at in range(0, len(blows), POINTS_A_LIFE):
        some = blows[at : at + POINTS_A_LIFE]
        name = f"seed {seed}, points {at} to {at + len(some) - 1}"
        if not _lived(name, partial(live_at_points, seed=seed, blows=some)):
            return False
        struck += sum(blow.is_struck for blow in some)
    say(f"points: {struck} of {len(blows)} struck; the others never came there")
    return True


def _at_births() -> bool:
    recoveries: Counter[str] = Counter()
    for blow in blows_at(POINTS_OF_CREATION):
        with tempfile.TemporaryDirectory() as directory:
            born = be_born(Path(directory), blow)
        say(f"  {born.recovery} {born.hit[:120]}")
        recoveries[born.recovery if born.is_struck else "never came there"] += 1
        if born.differences:
            say(f"  DIFFERENCE {born.differences}")
            return False
    say(f"births: {dict(recoveries)}")
    return True


def _fail_the_disk() -> bool:
    """Run the whole table of disk errors and print it as one."""
    became: Counter[str] = Counter()
    is_well = True
    with tempfile.TemporaryDirectory() as prepared:
        prepare(Path(prepared) / "p")
        for case in all_cases():
            with tempfile.TemporaryDirectory() as directory:
                outcome = try_case(case, Path(prepared) / "p", Path(directory))
            became[f"{outcome.became}, then {outcome.next_start}"] += 1
            say(f"  {case.name} | {outcome.became} | {outcome.reason} | {outcome.next_start}")
            for difference in outcome.differences:
                is_well = False
                say(f"  DIFFERENCE {difference}")
    say(f"disk errors: {dict(became)}")
    return is_well


def _cut_power(seed: int, cuts: int) -> bool:
    why_not = why_no_power_can_be_cut()
    if why_not:
        say(f"NO POWER WAS CUT, nothing is known of it here: {why_not}")
        return False
    return _in_lives(seed, cuts, live_through)


def main() -> int:
    """Run what was asked for; return 1 at the first difference."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("--cycles", type=int, default=LIFE_CYCLES)
    parser.add_argument("--points", action="store_true")
    parser.add_argument("--births", action="store_true")
    parser.add_argument("--disk", action="store_true")
    parser.add_argument("--cuts", type=int, default=0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    arguments = parser.parse_args()
    say(f"seed {arguments.seed}: {arguments.cycles} cycles, {arguments.cuts} cuts")
    is_well = _in_lives(arguments.seed, arguments.cycles, live_at_random)
    if is_well and arguments.cuts:
        is_well = _cut_power(arguments.seed, arguments.cuts)
    if is_well and arguments.points:
        is_well = _at_points(arguments.seed)
    if is_well and arguments.births:
        is_well = _at_births()
    if is_well and arguments.disk:
        is_well = _fail_the_disk()
    if is_well:
        say("no difference; reached in all:")
        for name, count in sorted(_TOTAL.items()):
            say(f"  {name}: {count}")
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
