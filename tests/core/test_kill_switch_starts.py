"""The way back: resets and easings need a decision that nothing newer overtook (S10.3, S10.5)."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core import engine
from sidecar.core.answers import TradingMode
from sidecar.core.commands import (
    EaseKill,
    KillScope,
    RequestedAction,
    ResetAll,
    ResetKill,
    ScopeKind,
)
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.core.state import State, to_plain
from tests.core.harness import Desk
from tests.core.readings import causes, status
from tests.core.stops import ALPHA, SYMBOL_X, holding_desk, strategy_kill, symbol_kill, verdicts

# -- reset and ease --------------------------------------------------------------------------------


def starting(desk: Desk, command: Any) -> tuple[list[Any], bytes]:  # noqa: ANN401 - any start
    """Prepare a start, and return its events and the state's plain form after it."""
    events, _ = engine.prepare(desk.state, command, desk.conditions)
    return list(events), repr(to_plain(desk.state)).encode()


@pytest.mark.parametrize(
    "command",
    [
        ResetKill(reset_by="ann", reason="over"),
        EaseKill(reset_by="ann", reason="exit"),
        ResetAll(reset_by="ann", reason="over"),
    ],
)
def test_a_start_is_prepared_and_not_applied(command: object) -> None:
    """Durable first, then effective: between the two the stop holds (S10.3)."""
    desk = holding_desk()
    desk.kill()
    before = repr(to_plain(desk.state)).encode()
    events, after = starting(desk, command)
    assert events
    assert after == before
    assert verdicts(desk) == [["KILL_SWITCH_HALT"]] * 2


def test_a_reset_ends_all_scopes_or_the_one_named() -> None:
    """Scope absent: all (S10.3)."""
    desk = holding_desk()
    desk.kill("REDUCE_ONLY")
    strategy_kill(desk)
    symbol_kill(desk)
    assert desk.reset_kill(ALPHA).changed
    assert [view.scope for view in status(desk).activations] == [KillScope(), SYMBOL_X]
    assert desk.reset_kill().changed
    assert status(desk).activations == ()
    assert verdicts(desk) == [[], []]
    desk.assert_replays()


def test_a_reset_of_nothing_changes_nothing() -> None:
    """OK, and no record (S10.3)."""
    desk = Desk()
    sequence = desk.sequence
    assert not desk.reset_kill().changed
    assert not desk.reset_kill(ALPHA).changed
    assert not desk.ease_kill().changed
    assert desk.sequence == sequence


@pytest.mark.parametrize("start", ["reset_kill", "ease_kill", "reset_all"])
@pytest.mark.parametrize(("behind", "is_refused"), [(0, False), (1, True), (-1, True)])
def test_a_start_with_a_stale_epoch_is_aborted(start: str, behind: int, is_refused: bool) -> None:
    """It must not undo a newer kill (S10.3)."""
    desk = Desk()
    desk.kill("REDUCE_ONLY")
    epoch = desk.kill("HALT").activation.epoch
    act = getattr(desk, start)
    if not is_refused:
        assert act(expected_epoch=epoch).changed
        return
    with pytest.raises(CallRefused) as caught:
        act(expected_epoch=epoch - behind)
    assert caught.value.code is ErrorCode.ABORTED
    assert len(status(desk).activations) == 1
    assert status(desk).mode is TradingMode.HALTED


def test_the_expected_epoch_is_the_highest_among_those_reset() -> None:
    """Of all scopes, or of the one named (S10.3)."""
    desk = Desk()
    first = strategy_kill(desk).activation.epoch
    second = desk.kill().activation.epoch
    with pytest.raises(CallRefused, match="epoch"):
        desk.reset_kill(expected_epoch=first)
    assert desk.reset_kill(ALPHA, expected_epoch=first).changed
    assert desk.reset_kill(expected_epoch=second).changed


def test_an_attempt_does_not_make_an_epoch_stale() -> None:
    """Only a newer kill does; a repetition of this one is none (S10.1, S10.3)."""
    desk = Desk()
    epoch = desk.kill().activation.epoch
    desk.kill()
    assert desk.reset_kill(expected_epoch=epoch).changed


def test_easing_lets_reduce_and_nothing_more() -> None:
    """HALT -> REDUCE_ONLY, for an audited exit (S10.3)."""
    desk = holding_desk()
    desk.kill()
    strategy_kill(desk)
    assert desk.ease_kill(KillScope()).changed
    assert verdicts(desk) == [["KILL_SWITCH_HALT"]] * 2
    assert desk.ease_kill().changed
    assert verdicts(desk) == [["KILL_SWITCH_REDUCE_ONLY"], []]
    assert not desk.ease_kill().changed
    desk.assert_replays()


def test_a_reset_does_not_move_the_stop_epoch() -> None:
    """Only stops do; and approvals from before the kill stay dead (S4.6, S10.3)."""
    desk = holding_desk()
    order = desk.order("BUY", 1, 100)
    first = desk.ask(order)
    desk.kill()
    desk.reset_kill()
    again = desk.ask(order)
    assert again.is_approved
    assert again.replayed
    assert again.stop_epoch == first.stop_epoch + 1
    assert desk.book().buy_quantity == 1


# -- both latches ----------------------------------------------------------------------------------


def stopped_twice() -> Desk:
    """Return a desk with a kill and an open breaker."""
    desk = Desk(equity=100_000)
    desk.kill()
    desk.account(equity=95_000)
    return desk


def test_reset_all_resets_both() -> None:
    """In one atomic step: one record (S10.5)."""
    desk = stopped_twice()
    sequence = desk.sequence
    answer = desk.reset_all("DAILY")
    assert answer.changed
    assert desk.sequence == sequence + 1
    assert status(desk).mode is TradingMode.NORMAL
    assert [move.drawdown for move in answer.moved_anchors] == ["DAILY"]
    desk.assert_replays()


@pytest.mark.parametrize(
    ("rebase", "epoch"), [((), None), (("DAILY", "WEEKLY"), None), (("DAILY",), 99)]
)
def test_reset_all_resets_neither_where_one_is_refused(
    rebase: tuple[str, ...], epoch: int | None
) -> None:
    """Or neither (S10.5)."""
    desk = stopped_twice()
    with pytest.raises(CallRefused):
        desk.reset_all(*rebase, expected_epoch=epoch)
    assert causes(desk) == ["DAILY_DRAWDOWN"]
    assert len(status(desk).activations) == 1


def test_reset_all_with_one_latch_shut_resets_the_other() -> None:
    """What is not stopped is not in the way (S10.5)."""
    desk = Desk()
    desk.kill()
    assert desk.reset_all().changed
    for _ in range(3):
        desk.api_error()
    assert desk.reset_all().changed
    assert not desk.reset_all().changed
    assert status(desk).mode is TradingMode.NORMAL


# -- restart ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("from_snapshot", [False, True])
def test_a_restart_keeps_every_activation(from_snapshot: bool) -> None:
    """With mode, scope, epoch, attempts, text and action (S3)."""
    desk = holding_desk()
    desk.kill("REDUCE_ONLY", reason="a", triggered_by="ann", requested_action="FLATTEN")
    strategy_kill(desk)
    strategy_kill(desk)
    strategy_kill(desk, "ghost")
    desk.reset_kill(KillScope(ScopeKind.STRATEGY, "ghost"))
    before = status(desk).activations
    desk.restart(from_snapshot=from_snapshot)
    assert status(desk).activations == before
    assert [view.attempts for view in before] == [1, 2]
    assert before[0].requested_action is RequestedAction.FLATTEN
    assert verdicts(desk) == [["KILL_SWITCH_HALT"]] * 2


SCOPED = st.sampled_from([("ALL", ""), ("STRATEGY", "alpha"), ("SYMBOL", "X")])
STEPS = st.lists(
    st.tuples(st.sampled_from(["HALT", "REDUCE_ONLY", "ease", "reset"]), SCOPED), max_size=12
)


@given(STEPS)
@settings(max_examples=80)
def test_what_is_in_force_is_the_strictest_of_what_was_said(
    steps: list[tuple[str, tuple[str, str]]],
) -> None:
    """Any order of kills, easings and resets, against a table of scopes (S10.1, S10.3)."""
    desk = Desk(equity=100_000, marks={"X": 100})
    desk.hold(5, 100)
    table: dict[tuple[str, str], str] = {}
    stops = 0
    for word, (kind, name) in steps:
        scope = KillScope(ScopeKind(kind), name)
        known = table.get((kind, name))
        if word == "reset":
            desk.reset_kill(scope)
            table.pop((kind, name), None)
        elif word == "ease":
            desk.ease_kill(scope)
            if known:
                table[kind, name] = "REDUCE_ONLY"
        else:
            desk.kill(word, scope_kind=kind, scope_name=name)
            if known is None or (known, word) == ("REDUCE_ONLY", "HALT"):
                table[kind, name] = word
                stops += 1
        expected: list[list[str]] = [[], []]
        if "HALT" in table.values():
            expected = [["KILL_SWITCH_HALT"]] * 2
        elif table:
            expected = [["KILL_SWITCH_REDUCE_ONLY"], []]
        assert verdicts(desk) == expected
        assert desk.state.stop_epoch == stops
    desk.assert_replays()


def test_an_empty_state_takes_a_kill() -> None:
    """Before any configuration, equity or mark: stopping is easy (S1.1)."""
    desk = Desk(equity=None)
    desk.state = State()
    desk.journal.clear()
    desk.sequence = 0
    assert desk.kill().activation.epoch == 1
