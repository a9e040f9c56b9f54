"""Refused attempts: told singly while they are few, counted while they are many, never lost."""

from sidecar.core.attempts import (
    FOLD_NS,
    SINGLES_COUNT_MAX,
    SORTS_COUNT_MAX,
    Attempts,
    note_refused,
)
from sidecar.core.events import AttemptRefused
from sidecar.core.judgement import Conditions
from sidecar.core.state import State, to_plain

START = 1_700_000_000 * FOLD_NS


def tried(call: str = "ResetKill", code: str = "OPERATOR_PROOF_WRONG") -> AttemptRefused:
    """Return an attempt by somebody who says a name."""
    return AttemptRefused(call=call, code=code, why="no", by="mallory", reason="please")


def test_the_first_ten_are_told_singly_with_what_was_said() -> None:
    """Up to ten attempts are told one by one; the eleventh is counted without its words (S13)."""
    attempts = Attempts()
    for at in range(SINGLES_COUNT_MAX + 1):
        attempts.add(tried(), START + at)
    singles, counted = attempts.take_due(START + 20)
    assert counted == []
    assert [each.by for each in singles] == ["mallory"] * SINGLES_COUNT_MAX
    assert singles[0].first_at == singles[0].last_at == START
    assert attempts.take_due(START + 20) == ([], [])
    (folded,) = attempts.take_due(START + 10 + FOLD_NS)[1]
    assert (folded.count, folded.by, folded.reason) == (1, "", "")
    assert attempts.is_empty


def test_a_flood_is_one_count_a_second_for_each_sort() -> None:
    """A thousand attempts alike in a second are one event with count, first and last time (S13)."""
    attempts = Attempts()
    for at in range(1_000):
        attempts.add(tried(), START + at)
        attempts.add(tried(code="STALE_EPOCH"), START + at)
    singles, _ = attempts.take_due(START + 1_000)
    assert len(singles) == SINGLES_COUNT_MAX
    _, folded = attempts.take_due(START + 2 * FOLD_NS)
    assert sorted((each.code, each.count) for each in folded) == [
        ("OPERATOR_PROOF_WRONG", 995),
        ("STALE_EPOCH", 995),
    ]
    assert folded[0].first_at == START + 5
    assert folded[0].last_at == START + 999


def test_one_a_second_is_told_singly_after_the_first_ten() -> None:
    """A flood that goes on has one single a second, and ten again after ten quiet seconds."""
    attempts = Attempts()
    for _ in range(SINGLES_COUNT_MAX + 5):
        attempts.add(tried(), START)
    attempts.take_due(START, is_last=True)
    for _ in range(5):
        attempts.add(tried(), START + FOLD_NS)
    assert [each.by for each in attempts.take_due(START + FOLD_NS)[0]] == ["mallory"]
    for _ in range(SINGLES_COUNT_MAX + 1):
        attempts.add(tried(), START + 20 * FOLD_NS)
    singles, _ = attempts.take_due(START + 20 * FOLD_NS)
    assert len(singles) == SINGLES_COUNT_MAX


def test_more_sorts_than_the_bound_are_counted_together() -> None:
    """A caller who makes up calls and codes fills no memory: what is beyond is `other` (S13)."""
    attempts = Attempts()
    for at in range(SINGLES_COUNT_MAX + 3 * SORTS_COUNT_MAX):
        attempts.add(tried(code=f"CODE_{at}"), START)
    singles, counted = attempts.take_due(START, is_last=True)
    assert (len(singles), len(counted)) == (SINGLES_COUNT_MAX, SORTS_COUNT_MAX + 1)
    assert counted[-1].call == "other"
    assert sum(each.count for each in counted) == 3 * SORTS_COUNT_MAX


def test_a_clock_that_steps_back_holds_nothing_back() -> None:
    """Counts that began after `now` are due at once: a clock may be re-based backwards (S2.2)."""
    attempts = Attempts()
    for _ in range(SINGLES_COUNT_MAX + 1):
        attempts.add(tried(), START)
    singles, counted = attempts.take_due(START - 100 * FOLD_NS)
    assert (len(singles), len(counted)) == (SINGLES_COUNT_MAX, 1)


def test_the_record_changes_nothing() -> None:
    """Applied, an attempt leaves the state as it was (S13)."""
    state = State()
    before = to_plain(state)
    outcome = note_refused(state, [tried(), tried(call="EaseKill")], Conditions())
    assert [event.__class__ for event in outcome.events] == [AttemptRefused] * 2
    assert to_plain(state) == before
