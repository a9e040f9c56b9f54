"""What falls due with time alone: it runs before any decision, and once (S7.5, S9)."""

import pytest

from sidecar.core import engine
from sidecar.core.commands import Tick
from sidecar.core.thresholds import ApprovalRules, CircuitBreakerThresholds
from tests.core.harness import DAY, NOON, SECOND, Desk, codes

MINUTE = 60 * SECOND


def test_nothing_is_due_before_the_day_ends() -> None:
    """Without releases or silence the end of the day is the next instant to act (S2.3)."""
    desk = Desk(marks={"X": 100})
    desk.approve("BUY", 1, 100)
    assert engine.next_due(desk.state) == (NOON // DAY + 1) * DAY


def test_a_tick_with_nothing_due_is_no_record() -> None:
    """No event, no record, no sequence used."""
    desk = Desk(marks={"X": 100})
    length = len(desk.journal)
    desk.run(Tick())
    assert len(desk.journal) == length
    assert desk.state.last_sequence == desk.sequence


def test_releases_come_in_the_order_they_fall_due() -> None:
    """Two releases due at once are one record, earliest first (S7.5)."""
    desk = Desk(marks={"X": 100})
    late = desk.approve("BUY", 1, 100, good_till=NOON + 2 * MINUTE)
    early = desk.approve("BUY", 1, 100, good_till=NOON + MINUTE)
    assert engine.next_due(desk.state) == NOON + 2 * MINUTE
    desk.advance(300)
    desk.tick()
    released = [getattr(event, "order_id", "") for event in desk.events]
    assert released == [early, late]
    assert {getattr(event, "why", "") for event in desk.events} == {"its good-till time passed"}
    desk.assert_replays()


def test_a_report_moves_an_unreported_release_later() -> None:
    """What was due at the approval is looked at again, and not released (S7.5)."""
    desk = Desk(marks={"X": 100}, approvals=ApprovalRules(release_unreported_after_ns=MINUTE))
    order_id = desk.approve("BUY", 1, 100)
    desk.advance(59)
    desk.report("ACCEPTED", order_id)
    desk.advance(1)
    desk.tick()
    assert desk.record(order_id).is_open
    assert engine.next_due(desk.state) == NOON + 59 * SECOND + MINUTE


def test_an_ended_order_is_not_released_again() -> None:
    """Its entry in the schedule is dropped without a record (S7.5)."""
    desk = Desk(marks={"X": 100})
    order_id = desk.approve("BUY", 1, 100, good_till=NOON + MINUTE)
    desk.report("CANCELED", order_id)
    length = len(desk.journal)
    desk.advance(600)
    desk.tick()
    assert len(desk.journal) == length
    assert desk.state.release_heap == []


@pytest.mark.parametrize("from_snapshot", [False, True])
def test_a_restart_keeps_what_is_due(from_snapshot: bool) -> None:
    """The schedule is rebuilt: an order due before the restart is released after it (S7.5)."""
    desk = Desk(marks={"X": 100})
    order_id = desk.approve("BUY", 1, 100, good_till=NOON + MINUTE)
    desk.restart(from_snapshot=from_snapshot)
    desk.advance(121)
    desk.tick()
    assert not desk.record(order_id).is_open


@pytest.mark.parametrize("from_snapshot", [False, True])
def test_a_restart_trips_on_silence_at_the_same_look(from_snapshot: bool) -> None:
    """Silence that is overdue at a restart trips at once, as without it (S3, S9)."""
    breaker = CircuitBreakerThresholds(bot_silence_ns=30 * SECOND)
    desk = Desk(marks={"X": 100}, circuit_breaker=breaker)
    desk.approve("BUY", 1, 100)
    desk.advance(40)
    desk.restart(from_snapshot=from_snapshot)
    desk.tick()
    assert desk.state.breaker.is_open


def test_silence_is_due_without_anyone_calling() -> None:
    """A breaker must not wait for a call: BOT_SILENT trips at its own instant ([*], S9)."""
    breaker = CircuitBreakerThresholds(bot_silence_ns=30 * SECOND)
    desk = Desk(marks={"X": 100}, circuit_breaker=breaker)
    desk.approve("BUY", 1, 100)
    assert engine.next_due(desk.state) == NOON + 30 * SECOND
    desk.advance(30)
    desk.tick()
    assert [cause.cause for cause in desk.state.breaker.causes] == ["BOT_SILENT"]
    assert codes(desk.check("BUY", 1, 100)) == ["CIRCUIT_BREAKER_OPEN"]
