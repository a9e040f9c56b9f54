"""A store that dies while it is made: the next start makes it, or takes it, and serves.

Rules: nothing was acknowledged yet, so nothing can be lost; but no half-made store is ever served
as if it were whole, and none stands in the way of the next start.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from random import Random

from haltline.v1 import order_pb2, status_pb2

from tests.cli.running import RunningSidecar
from tests.crash.disk_errors import accept_recovery
from tests.crash.points import AtPoint
from tests.scenarios.real_sidecar import Line, an_order, line_to

OPTIONS = ("--equity", "100000", "--assume-flat")


@dataclass(frozen=True, slots=True)
class Birth:
    """How the start after a death in the first one went."""

    hit: str
    is_struck: bool
    recovery: str
    differences: list[str]


def be_born(directory: Path, blow: AtPoint) -> Birth:
    """Start a new store under the blow, then again without one."""
    sidecar = RunningSidecar(directory=directory / "d")
    try:
        is_ready = asyncio.run(blow.start(sidecar, OPTIONS, Random(0)))
        if is_ready:
            sidecar.close()
        else:
            assert blow.is_struck, blow.hit
        differences: list[str] = []
        sidecar.start(*OPTIONS)
        with line_to(sidecar) as line:
            recovery = _come_of_age(line, differences)
        _expect(differences, "exit code", sidecar.stop(), 0)
        sidecar.start("--existing")
        with line_to(sidecar) as line:
            _expect(differences, "next start", _recovery(line), "CLEAN")
        _expect(differences, "exit code", sidecar.stop(), 0)
    finally:
        sidecar.close()
    return Birth(blow.hit, not is_ready, recovery, differences)


def _come_of_age(line: Line, differences: list[str]) -> str:
    """Trade; where a reconcile is asked for, nothing is approved before an operator's word."""
    recovery = _recovery(line)
    answer = line.check(an_order())
    if recovery == "RECONCILE":
        _expect(differences, "verdict before the word", answer.verdict, order_pb2.VERDICT_DENIED)
        accept_recovery(line)
        answer = line.check(an_order())
    elif recovery == "DAMAGED":
        differences.append(f"damaged: {line.status().recovery}")
    _expect(differences, "verdict", answer.verdict, order_pb2.VERDICT_APPROVED)
    return recovery


def _recovery(line: Line) -> str:
    state = line.status().recovery.state
    return status_pb2.RecoveryState.Name(state).removeprefix("RECOVERY_STATE_")


def _expect(differences: list[str], what: str, found: object, expected: object) -> None:
    if found != expected:
        differences.append(f"{what}: {found}, expected {expected}")
