"""When the process that serves looks for garbage: never through all that is remembered.

An order leaves three objects that Python's collector would walk again and again: with 300,000
remembered ids one full collection takes a quarter of a second, with a million a whole one, on the
loop, and a kill that comes in it waits.
None of them is ever in a cycle; they go when the state forgets them.

Rules:
1. What a start read back is set aside (`gc.freeze`) before the first call: no collection sees it.
2. Collections are small and often, and whatever outlives one of the oldest generation is set aside
   too. So an order is walked three times in its life, and no pause grows with what is remembered.
3. Cycles are reclaimed while they are young: an exception with its frames, a cancelled call. What
   is set aside while it lives still goes by its reference count; only a cycle that was reachable at
   that very instant and died later stays, a few kilobytes each.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Any, Final

THRESHOLDS: Final = (1_000, 5, 2)
"""Objects that make a young collection, young ones that make a middle one, middle ones an old one:
the longest walks some 15,000 objects, a few milliseconds."""
_OLDEST: Final = 2


@contextlib.contextmanager
def collected_in_small_turns() -> Iterator[None]:
    """Hold to the rules until the block ends; what the process did before it is put back then."""
    before = gc.get_threshold()
    gc.set_threshold(*THRESHOLDS)
    gc.callbacks.append(_set_survivors_aside)
    try:
        yield
    finally:
        gc.callbacks.remove(_set_survivors_aside)
        gc.set_threshold(*before)
        gc.unfreeze()


@contextlib.contextmanager
def nothing_collected() -> Iterator[None]:
    """Read the state back without walking it; at the end all that is there is set aside.

    What was garbage before is reclaimed first, because what is set aside is never looked at again.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _set_survivors_aside(phase: str, info: dict[str, Any]) -> None:
    """Put what outlived a full collection where no later one walks it."""
    if phase == "stop" and info["generation"] == _OLDEST:
        gc.freeze()
