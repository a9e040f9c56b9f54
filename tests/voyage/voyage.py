"""A voyage: one seed, a handful of lives of one sidecar, and a harbour at the end.

Rules:
1. The last life has no faults. In it every report is delivered, and then the sidecar's positions
   are the venue's, whatever was killed, cut, refused or repeated before.
2. A voyage is a function of its seed: the same history, line by line, in any process.
"""

from __future__ import annotations

import errno
import random
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.voyage.disk import Disk, Ending, Fault, Wreck
from tests.voyage.fleet import Fleet
from tests.voyage.harbour import Harbour
from tests.voyage.homecoming import Homecoming
from tests.voyage.life import Life, Plan, Ship
from tests.voyage.operators import Operators
from tests.voyage.oracle import Oracle
from tests.voyage.sea import SECOND_NS, Sea
from tests.voyage.venue import Venue

FAULTS: Final = (
    ("sync", errno.EIO, 40),
    ("sync", errno.EIO, 40),
    ("write", errno.EIO, 300),
    ("write", errno.ENOSPC, 300),
    ("read", errno.EIO, 60),
)


@dataclass(slots=True)
class Logbook:
    """What one voyage met."""

    met: Counter[str]
    lines: list[str]


def sail(seed: int, harbour: Harbour) -> Logbook:
    """Sail one voyage; VoyageError where a promise was broken."""
    sea = Sea(seed, random.Random(seed))
    harbour.begin_history(seed)
    approvals_need_power = sea.happens(0.3)
    venue = Venue()
    ship = Ship(
        sea=sea,
        fleet=Fleet(sea, venue),
        operators=Operators(sea),
        oracle=Oracle(sea, approvals_need_power=approvals_need_power),
        approvals_need_power=approvals_need_power,
        checkpoint_pages_count=sea.chance.choice((4, 12, 2_000)),
    )
    lives_count = sea.chance.randrange(2, 5)
    wreck, before = Wreck(), Ending.STOP
    with tempfile.TemporaryDirectory(prefix="haltline-voyage-") as root:
        for number in range(lives_count + 1):
            directory = Path(root) / str(number)
            directory.mkdir(mode=0o700)
            disk = Disk(directory, wreck)
            is_last = number == lives_count
            plan = Plan(ending=Ending.STOP, calls_count=0) if is_last else _plan(sea)
            life = Homecoming(ship, venue, disk, before) if is_last else Life(ship, disk, plan, before)
            with harbour.moored(disk):
                before = life.sail()
            wreck = _between(sea, disk, before)
    sea.met["voyages"] += 1
    return Logbook(sea.met, sea.lines)


def _plan(sea: Sea) -> Plan:
    chance = sea.chance
    ending = chance.choices(list(Ending), (4, 5, 2))[0]
    fault = None
    if sea.happens(0.3):
        operation, error, bound = chance.choice(FAULTS)
        fault = Fault(operation, chance.randrange(1, bound), error)
    step = operation_at = answer = 0
    if ending is not Ending.STOP:
        draw = chance.random()
        if draw < 0.35:
            step = chance.randrange(1, 900)
        elif draw < 0.7:
            operation_at = chance.randrange(1, 500)
        elif draw < 0.95:
            answer = chance.randrange(1, 25)
    return Plan(
        ending=ending,
        calls_count=chance.randrange(5, 40),
        step=step,
        operation=operation_at,
        answer=answer,
        fault=fault,
    )


def _between(sea: Sea, disk: Disk, ending: Ending) -> Wreck:
    """Let time pass between two lives; return what the next one finds."""
    sea.met[ending.value] += 1
    sea.met["lives"] += 1
    if ending is Ending.CUT:
        sea.pass_time(sea.chance.randrange(20 * SECOND_NS))
        sea.reboot()
        return disk.wreck.after_power_cut(sea.chance)
    sea.pass_time(sea.chance.randrange(5 * SECOND_NS))
    if ending is Ending.STOP and sea.happens(0.2):
        sea.reboot()
        sea.met["reboots after a clean stop"] += 1
    return disk.wreck
