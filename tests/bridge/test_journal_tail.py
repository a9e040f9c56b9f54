"""The journal's tail as the page reads it: behind the orders, bounded."""

from __future__ import annotations

import asyncio

import pytest

from sidecar.audit.decisions import Told
from sidecar.bridge import journal_tail
from sidecar.bridge.journal_tail import DECISIONS_COUNT_MAX, JournalTail
from tests.server.harness import WAIT_SECONDS, Sidecar, a_kill, a_mark, an_order


async def look_until(tail: JournalTail, number: int) -> None:
    """Look until so many records told a decision; records become durable in groups."""
    async with asyncio.timeout(WAIT_SECONDS):
        while tail.number < number:
            await tail.look()
            await asyncio.sleep(0.01)


async def test_the_newest_decisions_come_first_and_are_bounded(sidecar: Sidecar) -> None:
    """Of many orders the last ones are kept, the newest first; stops are told too."""
    heard: list[Told] = []
    tail = JournalTail(sidecar.service, heard.append)
    await sidecar.safety().ReportAccount(a_mark())
    for number in range(DECISIONS_COUNT_MAX + 5):
        await sidecar.safety().CheckOrder(an_order(f"o-{number}", quantity="0.01"))
    await sidecar.safety().TriggerKill(a_kill())
    await look_until(tail, DECISIONS_COUNT_MAX + 5)
    decisions = tail.decisions()
    assert len(decisions) == DECISIONS_COUNT_MAX
    assert decisions[0].order_id == f"o-{DECISIONS_COUNT_MAX + 4}"
    assert [turn for told in heard for turn in told.turns] == ["kill"]


async def test_what_came_too_fast_is_skipped_and_counted(
    sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look reads at most its bound; the records before are counted, never read."""
    monkeypatch.setattr(journal_tail, "LOOK_COUNT_MAX", 4)
    monkeypatch.setattr(journal_tail, "REST_TIMES", 0)
    tail = JournalTail(sidecar.service, lambda _told: None)
    await tail.look()
    for number in range(20):
        await sidecar.safety().CheckOrder(an_order(f"o-{number}", quantity="0.01"))
    last = await sidecar.safety().TriggerKill(a_kill())  # power-durable, and all before it
    assert last.durable
    await tail.look()
    assert tail.decisions()[0].order_id == "o-19"
    assert len(tail.decisions()) <= 4
    assert tail.skipped_count >= 16


async def test_after_a_look_it_rests(sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look right behind the first reads nothing: orders pay next to nothing for it."""
    monkeypatch.setattr(journal_tail, "REST_TIMES", 1e9)
    tail = JournalTail(sidecar.service, lambda _told: None)
    await tail.look()
    await sidecar.safety().CheckOrder(an_order())
    await sidecar.safety().TriggerKill(a_kill())
    await tail.look()
    assert tail.decisions() == []
