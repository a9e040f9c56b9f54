"""S12.6: what is denied alike over and over leaves few records, and the state is the same."""

import random
from typing import Final
from unittest.mock import patch

import orjson
import pytest

from sidecar.core import engine, folding
from sidecar.core.answers import OrderDecision
from sidecar.core.events import DenialsFolded, KillsFolded, OrderDenied, decode_event
from sidecar.core.state import to_plain
from sidecar.core.thresholds import OrderRules, Thresholds
from tests.core.harness import NOON, SECOND, Desk
from tests.simulation.desk import BusyDesk

SINGLES: Final = folding.SINGLES_PER_SECOND


def killed(**rules: object) -> Desk:
    """Return a desk where everything is halted and every order denied."""
    order_rules = OrderRules(**rules)  # type: ignore[arg-type] # rules by name
    desk = Desk(marks={"X": 100, "Y": 100}, order_rules=order_rules)
    desk.kill()
    return desk


def deny(desk: Desk, count: int, **fields: str) -> list[OrderDecision]:
    """Ask about orders that are denied."""
    decisions = [desk.check("BUY", 1, 100, **fields) for _ in range(count)]
    assert not any(decision.is_approved for decision in decisions)
    return decisions


def events_of(desk: Desk, kind: type) -> list[object]:
    """Return the events of a kind in the journal, in order."""
    lines = (orjson.loads(line) for line in desk.journal)
    events = [decode_event(event) for _, _, plain in lines for event in plain]
    return [event for event in events if isinstance(event, kind)]


def test_ten_alike_in_a_second_are_single_records_and_the_rest_is_one() -> None:
    """S12.6: ten singles, then one record with count, first and last when the second is over."""
    desk = killed()
    before = len(desk.journal)
    deny(desk, SINGLES)
    assert len(desk.journal) == before + SINGLES
    first = desk.now + 1
    for _ in range(500):
        desk.now += 1
        deny(desk, 1)
    assert len(desk.journal) == before + SINGLES
    last = desk.now
    desk.now = NOON + SECOND
    desk.tick()
    assert len(desk.journal) == before + SINGLES + 1
    [found] = events_of(desk, DenialsFolded)
    assert isinstance(found, DenialsFolded)
    [fold] = found.folds
    assert (fold.strategy, fold.symbol, fold.code) == ("alpha", "X", "KILL_SWITCH_HALT")
    assert (fold.count, fold.first, fold.last) == (500, first, last)
    desk.assert_replays()


def test_a_folded_denial_answers_with_the_newest_record() -> None:
    """S12.6: it has no record of its own, so it carries the sequence of the newest one."""
    desk = killed()
    singles, folded = deny(desk, SINGLES), deny(desk, 3)
    assert [one.sequence for one in singles] == list(
        range(desk.sequence - SINGLES + 1, desk.sequence + 1)
    )
    assert {one.sequence for one in folded} == {desk.sequence}
    assert folded[0].violations == singles[0].violations


def test_every_denial_counts_when_it_comes() -> None:
    """S5: a folded denial is in the order rate and among the duplicates at once."""
    desk = killed(max_orders_per_window=1_000, duplicate_window_ns=60 * SECOND)
    deny(desk, 30)
    assert desk.state.decisions_denied == 30
    assert desk.state.rate.count(desk.now, 60 * SECOND) == 30
    assert len(desk.state.duplicate_queue) == 30
    assert desk.reset_kill().changed
    again = desk.check("BUY", 1, 100)
    assert [violation.code.value for violation in again.violations] == ["DUPLICATE_ORDER"]
    desk.assert_replays()


def test_what_was_folded_stands_before_what_was_decided_on_it() -> None:
    """S3: the next record, whatever it is, begins with the folds: nothing rests on what is lost."""
    desk = killed(max_orders_per_window=1_000)
    deny(desk, SINGLES + 5)
    desk.mark(X=101)
    assert [type(event).__name__ for event in desk.events][:2] == ["DenialsFolded", "MarkReported"]
    desk.assert_replays()


def test_a_crash_loses_only_folds_that_nothing_was_decided_on() -> None:
    """S12.1: the journal alone gives the very state that stood at its last record."""
    desk = killed(max_orders_per_window=1_000, max_orders_per_window_per_strategy=1_000)
    deny(desk, SINGLES + 5)
    desk.mark(X=101)
    at_last_record = to_plain(desk.state)
    deny(desk, 7)
    assert to_plain(desk.replayed()) == at_last_record
    assert to_plain(desk.state) != at_last_record
    desk.assert_replays()


def test_only_what_is_alike_is_folded() -> None:
    """S12.6: another strategy, symbol, code or peer begins its own ten."""
    desk = killed()
    deny(desk, SINGLES + 1)
    before = len(desk.journal)
    deny(desk, 1, strategy="beta")
    deny(desk, 1, symbol="Y")
    desk.conditions.peer = "ipv4:127.0.0.1:4711"
    deny(desk, 1)
    assert len(desk.journal) == before + 3
    folded = events_of(desk, DenialsFolded)
    assert len(folded) == 1


def test_a_new_second_begins_with_single_records() -> None:
    """S12.6: ten in each second."""
    desk = killed()
    deny(desk, SINGLES + 1)
    desk.advance(1)
    before = len(events_of(desk, OrderDenied))
    deny(desk, SINGLES + 1)
    assert len(events_of(desk, OrderDenied)) == before + SINGLES
    desk.assert_replays()


def test_repeated_triggers_of_an_active_kill_are_folded() -> None:
    """S12.6, S10.1: every attempt is counted, ten have a record, the rest shares one."""
    desk = Desk()
    desk.kill()
    before = len(desk.journal)
    answers = [desk.kill(reason=f"again {at}") for at in range(100)]
    assert [answer.activation.attempts for answer in answers] == list(range(2, 102))
    assert len(desk.journal) == before + SINGLES
    assert {answer.sequence for answer in answers[SINGLES:]} == {desk.sequence}
    desk.advance(1)
    desk.tick()
    [found] = events_of(desk, KillsFolded)
    assert isinstance(found, KillsFolded)
    assert [fold.count for fold in found.folds] == [90]
    desk.assert_replays()


def test_an_escalation_is_never_folded() -> None:
    """S10.1: what stops harder activates, however many repeats came before it."""
    desk = Desk()
    desk.kill("REDUCE_ONLY")
    for _ in range(50):
        desk.kill("REDUCE_ONLY")
    answer = desk.kill("HALT")
    assert not answer.already_active
    assert answer.sequence == desk.sequence
    desk.assert_replays()


def test_a_flood_of_ever_other_names_is_folded_too() -> None:
    """S12.6: kinds beyond the bound count as one and are folded from the first."""
    desk = killed(max_orders_per_window_per_strategy=1_000)
    before = len(desk.journal)
    for at in range(1_000):
        deny(desk, 1, symbol=f"S{at}", strategy=f"s{at}")
    assert len(desk.journal) - before <= folding.KINDS_PER_PEER_MAX
    desk.advance(1)
    desk.tick()
    [found] = events_of(desk, DenialsFolded)
    assert isinstance(found, DenialsFolded)
    [others] = found.folds
    assert others.count == 1_000 - (len(desk.journal) - before - 1)
    assert (others.strategy, others.symbol, others.code, others.peer) == ("", "", "", "")
    assert desk.state.decisions_denied == 1_000
    desk.assert_replays()


def test_what_waits_is_bounded() -> None:
    """S12.6: before too many orders wait one is journalled, and takes all along."""
    with patch.object(folding, "FOLDED_ORDERS_MAX", 20):
        desk = killed(max_orders_per_window=1_000)
        before = len(desk.journal)
        deny(desk, SINGLES + 20)
        assert len(desk.journal) == before + SINGLES
        deny(desk, 1)
        assert [type(event).__name__ for event in desk.events] == ["DenialsFolded", "OrderDenied"]
        desk.assert_replays()


def test_a_start_finds_nothing_waiting() -> None:
    """S10.3: a reset is decided on what is journalled, so folds are written before it."""
    desk = killed(max_orders_per_window=1_000)
    deny(desk, SINGLES + 1)
    desk.reset_kill()
    assert desk.state.folds_waiting is None
    desk.assert_replays()


def test_other_thresholds_meet_what_was_folded_under_the_old() -> None:
    """S12.6: a fold is written before the rules change that say what it leaves."""
    desk = killed(max_orders_per_window=1_000)
    deny(desk, SINGLES + 5)
    desk.configure(Thresholds())
    assert [type(event).__name__ for event in desk.events] == [
        "DenialsFolded",
        "ConfigurationApplied",
    ]
    desk.assert_replays()


@pytest.mark.parametrize("world", range(4))
def test_any_history_with_folds_is_its_replay(world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3: whatever is denied, approved and killed in whatever order, replay is equal to the bit."""
    monkeypatch.setattr(folding, "SINGLES_PER_SECOND", 1)
    monkeypatch.setattr(folding, "KINDS_PER_SECOND_MAX", 5)
    monkeypatch.setattr(folding, "KINDS_PER_PEER_MAX", 3)
    seed = random.randrange(10**9)
    print(f"world {world}, seed {seed}")  # noqa: T201 - what repeats a failure
    chance = random.Random(seed)
    rules = OrderRules(
        max_orders_per_window=40 if world in (1, 3) else None,
        max_orders_per_window_per_strategy=30 if world in (2, 3) else None,
        duplicate_window_ns=chance.choice((SECOND, 5 * SECOND)) if world == 3 else None,
        order_rate_window_ns=chance.choice((SECOND // 2, 3 * SECOND)),
    )
    desk = BusyDesk(equity=100_000, marks={"X": 100, "Y": 100}, order_rules=rules)
    for _ in range(400):
        take_any(desk, chance)
    folded = events_of(desk, DenialsFolded) + events_of(desk, KillsFolded)
    desk.look()
    desk.assert_replays()
    assert len(folded) >= 10


def take_any(desk: Desk, chance: random.Random) -> None:
    """Do one thing of those that fold, or that end a fold."""
    desk.now += chance.choice((0, 0, 0, 1, 1_000, SECOND // 20, SECOND // 3))
    desk.conditions.peer = chance.choice(("a", "a", "a", "b"))
    what = chance.random()
    if what < 0.75:
        desk.check(
            chance.choice(("BUY", "SELL")),
            chance.choice((1, 2, 10_000)),
            chance.choice((100, 100, 90)),
            symbol=chance.choice(("X", "X", "X", "Y")),
            strategy=chance.choice(("alpha", "alpha", "beta")),
        )
    elif what < 0.93:
        desk.kill(chance.choice(("HALT", "REDUCE_ONLY")))
    elif what < 0.97:
        desk.mark(X=chance.choice((99, 100, 101)))
    elif what < 0.985:
        desk.reset_kill()
    else:
        desk.restart(from_snapshot=chance.random() < 0.5)
    assert engine.next_due(desk.state) > 0
