"""Lives drawn from one seed, and every named point: what `make test-crash` runs.

Rules: a life is a directory with so many deaths in sequence; seeds count from the first, so that a
life with a difference can be lived again alone.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final

from tests.crash.blows import AtRandom, Blow, draw_blows
from tests.crash.check import Judged, judge
from tests.crash.life import Life, live
from tests.crash.loop_disk import loop_disk
from tests.crash.points import DIRECTIONS, AtPoint, Point
from tests.crash.power import live_through_cuts

LIFE_CYCLES: Final = 20
POINTS_A_LIFE: Final = 16


def live_at_random(directory: Path, seed: int, deaths: int) -> tuple[Life, Judged]:
    """Live and judge one life whose every blow is drawn from the seed."""
    life = asyncio.run(live(directory, seed, draw_blows(Random(seed), deaths)))
    return life, judge(life)


def live_at_points(directory: Path, seed: int, blows: list[AtPoint]) -> tuple[Life, Judged]:
    """Live and judge one life that is struck at these points, after one blow at random."""
    all_blows: list[Blow] = [AtRandom(), *blows]
    life = asyncio.run(live(directory, seed, all_blows))
    return life, judge(life)


def live_through(directory: Path, seed: int, deaths: int) -> tuple[Life, Judged]:
    """Live and judge one life of power cuts, on a disk of its own below `directory`."""
    with loop_disk(directory) as disk:
        life = live_through_cuts(directory, disk, seed, deaths)
    return life, judge(life)


def blows_at(points: Sequence[Point]) -> list[AtPoint]:
    """Return a blow before and after each point, each time it is struck."""
    return [
        AtPoint(point, direction, count)
        for point in points
        for count in point.counts
        for direction in DIRECTIONS
    ]
