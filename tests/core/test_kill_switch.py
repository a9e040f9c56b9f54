"""A person's word: what a trigger does, and what a start may undo (S10, S4.3)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core import engine
from sidecar.core.answers import KillAnswer, TradingMode
from sidecar.core.commands import (
    KillMode,
    KillScope,
    TriggerKill,
)
from sidecar.core.events import KillActivated, KillRepeated, decode_event, encode_event
from sidecar.core.kill_switch import DETAILS_LENGTH_MAX
from sidecar.core.state import to_plain
from sidecar.core.thresholds import StrategyRules, SymbolRules
from tests.core.harness import Desk, codes
from tests.core.readings import status
from tests.core.stops import ALPHA, SYMBOL_X, holding_desk, strategy_kill, symbol_kill, verdicts

# -- modes and scopes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("HALT", [["KILL_SWITCH_HALT"], ["KILL_SWITCH_HALT"]]),
        ("REDUCE_ONLY", [["KILL_SWITCH_REDUCE_ONLY"], []]),
    ],
)
def test_halt_denies_every_order_and_reduce_only_lets_reduce(
    mode: str, expected: list[list[str]]
) -> None:
    """Layer 1 (S4.3)."""
    desk = holding_desk()
    assert verdicts(desk) == [[], []]
    desk.kill(mode)
    assert verdicts(desk) == expected
    desk.assert_replays()


@pytest.mark.parametrize("scope", ["STRATEGY", "SYMBOL"])
def test_a_scoped_kill_stops_what_it_covers_and_nothing_else(scope: str) -> None:
    """Scope STRATEGY x or SYMBOL y (S10.1)."""
    desk = holding_desk()
    name = "alpha" if scope == "STRATEGY" else "X"
    desk.kill(scope_kind=scope, scope_name=name)
    for strategy in ("alpha", "beta"):
        for symbol in ("X", "Y"):
            is_covered = name in {strategy, symbol}
            halted = [["KILL_SWITCH_HALT"]] * 2
            assert verdicts(desk, strategy, symbol) == (halted if is_covered else [[], []])


def test_the_strictest_activation_that_covers_an_order_is_in_force() -> None:
    """In whichever order they came (S10.1)."""
    desk = holding_desk()
    desk.kill("REDUCE_ONLY")
    strategy_kill(desk)
    assert verdicts(desk) == [["KILL_SWITCH_HALT"]] * 2
    assert verdicts(desk, "beta") == [["KILL_SWITCH_REDUCE_ONLY"], []]
    symbol_kill(desk, mode="REDUCE_ONLY")
    assert verdicts(desk) == [["KILL_SWITCH_HALT"]] * 2


def test_the_denial_names_the_scope_that_denies() -> None:
    """Scope and reason of the activation in force (S4.6)."""
    desk = holding_desk()
    desk.kill(
        "HALT", scope_kind="STRATEGY", scope_name="alpha", reason="odd fills", triggered_by="ann"
    )
    violation = desk.check("BUY", 1, 100).violations[0]
    assert violation.scope == "strategy:alpha"
    assert "odd fills" in violation.message
    assert "ann" in violation.message


def test_status_mode_speaks_of_scope_all() -> None:
    """Scoped activations stand beside it (S10.1)."""
    desk = holding_desk()
    strategy_kill(desk)
    assert status(desk).mode is TradingMode.NORMAL
    assert [view.scope for view in status(desk).activations] == [ALPHA]
    desk.kill("REDUCE_ONLY")
    assert status(desk).mode is TradingMode.REDUCE_ONLY
    desk.kill("HALT")
    assert status(desk).mode is TradingMode.HALTED


def test_the_kill_switch_comes_before_the_breaker_and_the_limits() -> None:
    """The first layer that denies is *the* layer (S4)."""
    desk = holding_desk()
    for _ in range(3):
        desk.api_error()
    desk.kill()
    assert codes(desk.check("BUY", 10_000, 100)) == ["KILL_SWITCH_HALT"]


def test_a_kill_ends_the_approvals_before_it() -> None:
    """The epoch moved: an approval from before is judged anew and denied (S4.1, S4.7)."""
    desk = holding_desk()
    order = desk.order("BUY", 1, 100)
    approved = desk.ask(order)
    desk.kill()
    assert desk.state.stop_epoch == approved.stop_epoch + 1
    assert codes(desk.ask(order)) == ["KILL_SWITCH_HALT", "APPROVAL_NO_LONGER_VALID"]
    assert desk.book().buy_quantity == 1


def test_no_record_between_kill_and_reset_is_an_approval_of_what_it_covers() -> None:
    """By sequence, also for renewals and repetitions (S4.7)."""
    desk = holding_desk()
    orders = [desk.order("BUY", 1, 100) for _ in range(3)]
    for order in orders[:2]:
        desk.ask(order)
    strategy_kill(desk)
    for order in orders:
        assert not desk.ask(order).is_approved
    assert desk.check("BUY", 1, 100, strategy="beta").is_approved
    desk.reset_kill()
    assert all(desk.ask(order).is_approved for order in orders)


# -- repetition and escalation ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "already", "mode"),
    [
        ("HALT", "HALT", True, KillMode.HALT),
        ("HALT", "REDUCE_ONLY", True, KillMode.HALT),
        ("REDUCE_ONLY", "REDUCE_ONLY", True, KillMode.REDUCE_ONLY),
        ("REDUCE_ONLY", "HALT", False, KillMode.HALT),
    ],
)
def test_the_same_or_a_weaker_mode_is_an_attempt_and_a_stricter_escalates(
    first: str, second: str, already: bool, mode: KillMode
) -> None:
    """Same scope: answers with that activation and journals the attempt (S10.1)."""
    desk = Desk()
    one = desk.kill(first, reason="one", triggered_by="ann")
    records = desk.sequence
    two = desk.kill(second, reason="two", triggered_by="bob")
    assert desk.sequence == records + 1
    assert two.already_active is already
    assert two.activation.mode is mode
    assert two.activation.attempts == 2
    assert two.activation.epoch == one.activation.epoch + (0 if already else 1)
    assert two.activation.reason == ("one" if already else "two")
    desk.assert_replays()


def test_of_ten_triggers_exactly_one_activates() -> None:
    """The others are attempts of it (S10.1)."""
    desk = Desk()
    answers = [desk.kill(reason=f"r{at}") for at in range(10)]
    assert [answer.already_active for answer in answers] == [False] + [True] * 9
    assert {answer.activation.reason for answer in answers} == {"r0"}
    assert answers[-1].activation.attempts == 10
    assert desk.state.stop_epoch == 1


def test_idempotence_is_per_scope() -> None:
    """A kill of everything does not answer for a kill of one strategy (S10.1)."""
    desk = Desk()
    desk.kill()
    assert not strategy_kill(desk).already_active
    assert not symbol_kill(desk).already_active
    assert strategy_kill(desk).already_active
    assert desk.state.stop_epoch == 3
    desk.reset_kill(KillScope())
    assert [view.scope for view in status(desk).activations] == [ALPHA, SYMBOL_X]


def test_escalating_is_possible_while_an_eased_activation_stands() -> None:
    """Escalating is always possible (S10.1)."""
    desk = Desk()
    desk.kill()
    desk.ease_kill()
    answer = desk.kill("HALT")
    assert not answer.already_active
    assert desk.state.stop_epoch == 2


@pytest.mark.parametrize("scope", ["STRATEGY", "SYMBOL"])
def test_a_scope_never_seen_is_armed_all_the_same(scope: str) -> None:
    """`scope_known = false`, in force from then on (S10.1)."""
    desk = Desk(marks={"X": 100})
    answer = desk.kill(scope_kind=scope, scope_name="ghost")
    assert not answer.scope_known
    assert not status(desk).activations[0].scope_known
    names = {"strategy": "ghost"} if scope == "STRATEGY" else {"symbol": "ghost"}
    assert codes(desk.check("BUY", 1, 100, **names)) == ["KILL_SWITCH_HALT"]


def test_a_scope_seen_or_configured_is_known() -> None:
    """From an order, a mark or the configuration (S10.1)."""
    desk = Desk(
        marks={"X": 100},
        symbols={"S": SymbolRules()},
        strategies={"t": StrategyRules()},
    )
    desk.approve("BUY", 1, 100)
    assert strategy_kill(desk, "alpha").scope_known
    assert strategy_kill(desk, "t").scope_known
    assert symbol_kill(desk, "X").scope_known
    assert symbol_kill(desk, "S").scope_known
    assert desk.kill().scope_known


# -- what the person asks for ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "action", "expected", "advice"),
    [
        ("", "FLATTEN", KillMode.REDUCE_ONLY, ""),
        ("HALT", "FLATTEN", KillMode.HALT, "flatten by hand, or EaseKill"),
        ("REDUCE_ONLY", "FLATTEN", KillMode.REDUCE_ONLY, ""),
        ("", "CANCEL_OPEN_ORDERS", KillMode.HALT, ""),
        ("", "", KillMode.HALT, ""),
        ("nonsense", "FLATTEN", KillMode.HALT, "flatten by hand, or EaseKill"),
    ],
)
def test_flatten_without_a_mode_implies_reduce_only(
    mode: str, action: str, expected: KillMode, advice: str
) -> None:
    """HALT with FLATTEN is HALT, and answer and status say the way out (S10.1)."""
    desk = Desk()
    answer = desk.kill(mode, requested_action=action)
    assert answer.activation.mode is expected
    assert answer.activation.requested_action == (action or "NONE")
    assert answer.advice == advice
    assert status(desk).advice == advice


def test_flatten_asked_of_what_is_halted_already_says_the_way_out() -> None:
    """An attempt changes nothing, and the answer says what can be done instead (S10.1)."""
    desk = Desk()
    desk.kill("HALT")
    answer = desk.kill("", requested_action="FLATTEN")
    assert answer.already_active
    assert answer.activation.mode is KillMode.HALT
    assert answer.advice == "flatten by hand, or EaseKill"


def test_easing_a_halted_flatten_ends_the_advice() -> None:
    """EaseKill is the way out it names (S10.1, S10.3)."""
    desk = Desk()
    desk.kill("HALT", requested_action="FLATTEN")
    desk.ease_kill()
    assert status(desk).advice == ""


# -- no argument makes a trigger fail --------------------------------------------------------------


@pytest.mark.parametrize("mode", ["", "halt", "STOP", "KILL_MODE_UNSPECIFIED", " HALT"])
def test_an_absent_or_unknown_mode_is_halt(mode: str) -> None:
    """S10.1."""
    assert Desk().kill(mode).activation.mode is KillMode.HALT


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("", ""),
        ("", "alpha"),
        ("ALL", "alpha"),
        ("PLANET", "alpha"),
        ("STRATEGY", ""),
        ("STRATEGY", "naïve"),
        ("SYMBOL", "a b"),
        ("SYMBOL", "x" * 129),
    ],
)
def test_an_absent_or_unknown_scope_is_all(kind: str, name: str) -> None:
    """S10.1."""
    answer = Desk().kill(scope_kind=kind, scope_name=name)
    assert answer.activation.scope == KillScope()


def test_text_over_long_is_cut_and_marked() -> None:
    """Nothing is refused for its length (S10.1)."""
    answer = Desk().kill(reason="x" * 5_000, triggered_by="y" * 128)
    assert answer.activation.reason.startswith("x" * 100)
    assert len(answer.activation.reason) < 1_100
    assert answer.activation.reason.endswith("[cut from 5000 characters]")
    assert answer.activation.triggered_by == "y" * 128


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_missing_text_is_not_given(text: str) -> None:
    """S10.1."""
    answer = Desk().kill(reason=text, triggered_by=text)
    assert answer.activation.reason == "not given"
    assert answer.activation.triggered_by == "not given"


SURROGATES = st.characters(categories=["Cs"])
"""Half characters: JSON can carry them, no journal can."""
WORDS = st.one_of(
    st.text(max_size=40),
    st.text(SURROGATES, max_size=3),
    st.sampled_from(["HALT", "REDUCE_ONLY", "ALL", "STRATEGY", "SYMBOL", "FLATTEN", "alpha"]),
)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS, WORDS, WORDS, WORDS), min_size=1, max_size=5))
@settings(max_examples=150)
def test_no_argument_makes_a_trigger_fail(
    triggers: list[tuple[str, str, str, str, str, str]],
) -> None:
    """Whatever the words are, something is stopped, journalled, and replays (S10.1)."""
    desk = Desk(equity=None)
    for reason, by, mode, kind, name, action in triggers:
        answer: KillAnswer = desk.run(
            TriggerKill(
                reason=reason,
                triggered_by=by,
                mode=mode,
                scope_kind=kind,
                scope_name=name,
                requested_action=action,
            )
        )
        assert answer.activation.epoch >= 1
        assert answer.activation in status(desk).activations
    desk.assert_replays()


def test_more_scopes_than_can_be_remembered_stop_everything() -> None:
    """A stop is never dropped for want of room (S10.1)."""
    desk = Desk()
    state = desk.state
    for at in range(1_001):
        command = TriggerKill(scope_kind="STRATEGY", scope_name=f"s{at}")
        engine.begin(state, state.last_sequence + 1, desk.now)
        engine.execute(state, command, desk.conditions)
    assert "ALL" in state.activations
    assert len(state.activations) == 1_001


# -- with the store gone ---------------------------------------------------------------------------


def test_a_kill_holds_though_the_disk_refuses() -> None:
    """It takes effect in memory first; the answer says `durable = false` (S10.2)."""
    desk = holding_desk()
    desk.conditions.store_problem = "fsync failed"
    answer = desk.kill()
    assert not answer.durable
    assert verdicts(desk)[1] == ["KILL_SWITCH_HALT"]


# -- what else the sender said ---------------------------------------------------------------------


def events_of(desk: Desk, **said: str) -> list[object]:
    """Return the events of one trigger."""
    return list(engine.execute(desk.state, TriggerKill(**said), desk.conditions).events)


def test_details_are_journalled_with_the_stop_and_with_each_attempt() -> None:
    """What else a sender said stands in the audit, and nowhere in the state."""
    desk = holding_desk()
    (first,) = events_of(desk, details='{"ticket":"OPS-1"}')
    (second,) = events_of(desk, details='{"ticket":"OPS-2"}')
    assert isinstance(first, KillActivated)
    assert isinstance(second, KillRepeated)
    assert (first.details, second.details) == ('{"ticket":"OPS-1"}', '{"ticket":"OPS-2"}')
    assert "OPS" not in repr(to_plain(desk.state))


@pytest.mark.parametrize("length", [DETAILS_LENGTH_MAX, DETAILS_LENGTH_MAX + 1, 300_000])
def test_details_are_cut_and_marked(length: int) -> None:
    """At the bound whole, one past it cut: a record stays small whatever a sender says."""
    (event,) = events_of(holding_desk(), details="x" * length)
    assert isinstance(event, KillActivated)
    is_cut = length > DETAILS_LENGTH_MAX
    mark = f" [cut from {length} characters]" if is_cut else ""
    assert event.details == "x" * min(length, DETAILS_LENGTH_MAX) + mark


def test_half_a_character_in_details_poisons_nothing() -> None:
    """A lone surrogate becomes a question mark, as in a reason."""
    (event,) = events_of(holding_desk(), details="a\ud800b")
    assert isinstance(event, KillActivated)
    assert event.details == "a?b"


def test_a_record_of_before_details_still_replays() -> None:
    """A journal written without the field means none was said."""
    now = encode_event(events_of(holding_desk())[0])  # type: ignore[arg-type] # the one event
    old = decode_event(now[:-1])
    assert isinstance(old, KillActivated)
    assert old.details == ""
    desk = holding_desk()
    events_of(desk)
    repeated = encode_event(events_of(desk)[0])  # type: ignore[arg-type] # as above
    old_attempt = decode_event(repeated[:-1])
    assert isinstance(old_attempt, KillRepeated)
    assert old_attempt.details == ""
