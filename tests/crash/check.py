"""Everything that must hold of a life; each difference is a sentence.

Rules: the log of the clients and the journal are held to each other and to the independent model by
the very checker of the concurrency rounds: deaths and restarts are no excuse for anything. Only a
refusal because the sidecar was stopping is expected here and not there.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from tests.concurrency.checker import find_in_log, reached_by
from tests.concurrency.history import History
from tests.concurrency.real_time import RealTime
from tests.concurrency.replay import Replay
from tests.crash.clients import DRAINING
from tests.crash.life import Life

EXPECTED: Final = f"was refused with {DRAINING}"


@dataclass(slots=True)
class Judged:
    """What a life showed."""

    differences: list[str]
    reached: Counter[str]


def judge(life: Life) -> Judged:
    """Return everything that is wrong with a life, and what it reached."""
    history = History(life.calls, life.records)
    found = [
        *life.differences,
        *(line for line in find_in_log(history) if not line.endswith(EXPECTED)),
        *Replay(history, RealTime(history)).run(),
    ]
    reached = reached_by(history)
    reached["deaths"] = len(life.cycles) - 1
    reached["repeated"] = life.repeated_count
    return Judged(differences=found, reached=reached)
