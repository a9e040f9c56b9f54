"""The change signal: bounded, conflating, and never late for a change that came before (S14)."""

from __future__ import annotations

import asyncio

from sidecar.service.changes import Changes
from tests.service.harness import WAIT_SECONDS, turns


async def test_a_change_before_the_wait_is_not_missed() -> None:
    """A reader names the revision it knows, so nothing falls between two waits."""
    changes = Changes()
    changes.bump()
    assert await changes.wait(1, WAIT_SECONDS) == 2


async def test_a_change_wakes_every_reader_once_with_the_newest() -> None:
    """Ten changes in one turn are one wake-up: the newest state, never a backlog."""
    changes = Changes()
    readers = [asyncio.create_task(changes.wait(1, WAIT_SECONDS)) for _ in range(3)]
    await turns()
    for _ in range(10):
        changes.bump()
    assert await asyncio.gather(*readers) == [11, 11, 11]


async def test_a_reader_that_hears_nothing_returns_at_its_timeout() -> None:
    """Waiting is bounded, so a heartbeat can be sent."""
    assert await Changes().wait(1, 0.001) == 1
    assert await Changes().wait(1, 0) == 1


async def test_a_reader_that_goes_away_disturbs_no_other() -> None:
    """Cancelling one reader leaves the others waiting, and is not kept."""
    changes = Changes()
    gone = asyncio.create_task(changes.wait(1, WAIT_SECONDS))
    stays = asyncio.create_task(changes.wait(1, WAIT_SECONDS))
    await turns()
    gone.cancel()
    await asyncio.wait((gone,))
    assert not stays.done()
    changes.bump()
    assert await stays == 2


async def test_who_waits_for_a_stop_sleeps_through_every_other_change() -> None:
    """A thousand orders wake nobody who waits for a stop; the stop does, at once (S14)."""
    changes = Changes()
    waiting = asyncio.create_task(changes.wait_stop(WAIT_SECONDS))
    await turns()
    for _ in range(1_000):
        changes.bump(0)
        changes.bump()
    await turns()
    assert not waiting.done()
    changes.bump(1)
    await asyncio.wait_for(waiting, WAIT_SECONDS)


async def test_waiting_for_a_stop_is_bounded() -> None:
    """No stop comes: the wait ends all the same."""
    changes = Changes()
    await changes.wait_stop(0.001)
    await changes.wait_stop(0)
    assert changes.revision == 1
