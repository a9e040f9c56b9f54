"""A voyage: one seed, a handful of lives of one sidecar, and a harbour at the end.

Rules:
1. The last life has no faults. In it every report is delivered, and then the sidecar's positions
   are the venue's, whatever was killed, cut, refused or repeated before.
2. A voyage is a function of its seed: the same history, line by line, in any process.
"""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import Final

from sidecar.clock import SECOND_NS
from tests.voyage.disk import Disk, Ending, Fault, Wreck
from tests.voyage.fleet import Fleet
from tests.voyage.harbour import Harbour
from tests.voyage.homecoming import Homecoming
from tests.voyage.life import Life, Plan, Ship
from tests.voyage.operators import Operators
from tests.voyage.oracle import Oracle
from tests.voyage.sea import Sea
from tests.voyage.venue import Venue

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - each voyage makes a directory of its own there
FAULTS: Final = (
    ("sync", errno.EIO, 40),
    ("sync", errno.EIO, 40),
    ("write", errno.EIO, 300),
    ("write", errno.ENOSPC, 300),
    ("read", errno.EIO, 60),
)


def sail(sea: Sea, harbour: Harbour) -> None:
    """Sail one voyage; VoyageError where a promise was broken."""
    harbour.begin_history(sea.seed)
    approvals_need_power = sea.happens(0.3)
    venue = Venue()
    ship = Ship(
        sea=sea,
        fleet=Fleet(sea, venue),
        operators=Operators(sea, venue),
        oracle=Oracle(sea, approvals_need_power=approvals_need_power),
        approvals_need_power=approvals_need_power,
        checkpoint_pages_count=sea.chance.choice((4, 12, 2_000)),
    )
    lives_count = sea.chance.randrange(2, 5)
    wreck, before = Wreck(), Ending.STOP
    with tempfile.TemporaryDirectory(prefix="haltline-voyage-", dir=_memory()) as root:
        for number in range(lives_count + 1):
            directory = Path(root) / str(number)
            directory.mkdir(mode=0o700)
            disk = Disk(directory, wreck)
            is_last = number == lives_count
            plan = Plan(ending=Ending.STOP, calls_count=0) if is_last else _plan(sea)
            life = (
                Homecoming(ship, venue, disk, before) if is_last else Life(ship, disk, plan, before)
            )
            memory = Path(root) / sea.boot_id
            memory.mkdir(exist_ok=True)
            with harbour.moored(disk, memory):
                before = life.sail()
            wreck = _between(sea, disk, before, was_stopped=ship.oracle.life.was_stopped)
    sea.met["voyages"] += 1


def _memory() -> str | None:
    """Return where files cost no disk, None where there is no such place: nothing is synced."""
    return str(MEMORY) if os.access(MEMORY, os.W_OK) else None


def _plan(sea: Sea) -> Plan:
    chance = sea.chance
    ending = chance.choices(list(Ending), (4, 5, 2))[0]
    fault = None
    if sea.happens(0.3):
        operation, error, bound = chance.choice(FAULTS)
        is_lasting = error == errno.ENOSPC or (operation != "read" and sea.happens(0.3))
        fault = Fault(operation, chance.randrange(1, bound), error, is_lasting)
        if operation == "sync" and sea.happens(0.6):
            # What a failed sync left in doubt shows only when power goes.
            ending = Ending.CUT
    step = operation_at = answer = start = 0
    if ending is not Ending.STOP:
        draw = chance.random()
        if draw < 0.25:
            step = chance.randrange(1, 900)
        elif draw < 0.6:
            operation_at = chance.randrange(1, 500)
        elif draw < 0.8:
            answer = chance.randrange(1, 25)
        elif draw < 0.95:
            start = chance.randrange(1, 4)
    return Plan(
        ending=ending,
        calls_count=chance.randrange(5, 40),
        step=step,
        operation=operation_at,
        answer=answer,
        start=start,
        fault=fault,
    )


def _between(sea: Sea, disk: Disk, ending: Ending, *, was_stopped: bool) -> Wreck:
    """Let time pass between two lives; return what the next one finds."""
    sea.met[ending.value] += 1
    sea.met["lives"] += 1
    if ending is Ending.CUT:
        sea.pass_time(sea.chance.randrange(20 * SECOND_NS))
        sea.reboot()
        return disk.wreck.after_power_cut(sea.chance)
    sea.pass_time(sea.chance.randrange(5 * SECOND_NS))
    if ending is Ending.STOP and was_stopped and sea.happens(0.2):
        sea.reboot()
        sea.met["reboots after a clean stop"] += 1
    return disk.wreck
