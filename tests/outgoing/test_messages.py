"""What is sent: held to docs/outgoing.md, and inert whatever people wrote into it."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.outgoing_sections import TransitionType
from sidecar.core.answers import RecoveryState, TradingMode
from sidecar.core.commands import Drawdown, KillMode, KillScope, RequestedAction, ScopeKind
from sidecar.core.events import (
    BreakerOpened,
    BreakerReset,
    KillActivated,
    KillEased,
    KillReset,
    RecoveryEnded,
    RecoveryEntered,
    WarningChanged,
)
from sidecar.outgoing.messages import (
    SCOPES_TOLD_MAX,
    SLACK_LENGTH_MAX,
    Origin,
    inert,
    slack_body,
    standard_body,
    tell,
)
from sidecar.service.callers import Actor
from sidecar.service.outbox import Now
from sidecar.service.transitions import BooksDamaged, StorePoisoned, ToldEvent, Transition, kind_of

PAGE: Final = Path(__file__).parents[2] / "docs" / "outgoing.md"
NOW: Final = Now(trading_mode=TradingMode.HALTED, stop_epoch=3)
ORIGIN: Final = Origin(store_id="5f0e9d3c8a7b4e21b6d0c4f2a1e87d90", name="prod", now=NOW)
TIME: Final = 1_792_580_400_250_000_000
ALL_KILLED: Final = KillActivated(
    scope=KillScope(),
    mode=KillMode.HALT,
    reason="prices look wrong",
    triggered_by="alice",
    requested_action=RequestedAction.NONE,
    scope_known=True,
)
EVENTS: Final[dict[TransitionType, ToldEvent]] = {
    TransitionType.KILL_ACTIVATED: ALL_KILLED,
    TransitionType.KILL_EASED: KillEased(
        scopes=(KillScope(),), reset_by="alice", reason="let exits out"
    ),
    TransitionType.KILL_RESET: KillReset(
        scopes=(KillScope(ScopeKind.STRATEGY, "momentum"),), reset_by="alice", reason="over"
    ),
    TransitionType.BREAKER_TRIPPED: BreakerOpened(
        cause="DAILY_DRAWDOWN",
        observed=Decimal("0.0612"),
        threshold=Decimal("0.05"),
        detail="unit value 0.9388 against 1 at the day's start",
        is_first=True,
    ),
    TransitionType.BREAKER_CAUSE_ADDED: BreakerOpened(
        cause="API_ERRORS",
        observed=Decimal(3),
        threshold=Decimal(3),
        detail="3 API errors within 60 s",
        is_first=False,
    ),
    TransitionType.BREAKER_RESET: BreakerReset(
        reset_by="alice", reason="looked into it", rebase=(Drawdown.DAILY,)
    ),
    TransitionType.WARNING_RAISED: WarningChanged(
        trigger="DAILY_DRAWDOWN",
        is_raised=True,
        observed=Decimal("0.041"),
        threshold=Decimal("0.05"),
    ),
    TransitionType.WARNING_CLEARED: WarningChanged(
        trigger="DAILY_DRAWDOWN",
        is_raised=False,
        observed=Decimal("0.02"),
        threshold=Decimal("0.05"),
    ),
    TransitionType.RECOVERY_ENTERED: RecoveryEntered(
        recovery=RecoveryState.RECONCILE,
        detail="recovered 4711 records: the machine went down without a clean stop",
        way_out="send a ReportAccount with complete positions and open orders",
        denies_reducing=False,
    ),
    TransitionType.RECOVERY_ENDED: RecoveryEnded(by="alice", reason="compared with the venue"),
    TransitionType.STORE_POISONED: StorePoisoned(why="sync failed: [Errno 5] Input/output error"),
    TransitionType.BOOKS_DAMAGED: BooksDamaged(
        why="ReportTrade broke an invariant", way_out="restart it, which replays the journal"
    ),
}
"""One of each type; docs/outgoing.md shows these."""


def a_transition(event: ToldEvent, **changes: Any) -> Transition:  # noqa: ANN401 - fields by name
    """Return a transition of record 4712."""
    kind = kind_of(event)
    assert kind is not None
    given = Transition(
        sequence=4712,
        index=0,
        time=TIME,
        kind=kind,
        event=event,
        actor=Actor("OPERATOR", "unix:", "alice"),
    )
    return replace(given, **changes)


def test_the_page_shows_every_type_as_it_is_sent() -> None:
    """Who writes a receiver from docs/outgoing.md reads what it will get."""
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", _page(), re.DOTALL)]
    by_type = {body["type"]: body for body in shown if "type" in body}
    for kind, event in EVENTS.items():
        is_durable = kind not in (TransitionType.STORE_POISONED, TransitionType.BOOKS_DAMAGED)
        sent = json.loads(standard_body(a_transition(event), ORIGIN, is_durable=is_durable))
        assert by_type.pop(kind.value) == sent
    assert by_type == {}


def test_the_page_shows_what_slack_is_sent() -> None:
    """And so does who reads the channel."""
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", _page(), re.DOTALL)]
    sent = json.loads(slack_body(a_transition(ALL_KILLED), ORIGIN, is_durable=True))
    assert [body for body in shown if "text" in body] == [sent]


def test_every_type_has_an_event_and_every_event_a_type() -> None:
    """None is forgotten here."""
    assert set(EVENTS) == set(TransitionType)
    assert all(kind_of(event) is kind for kind, event in EVENTS.items())


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS.keys())
def test_numbers_are_decimal_strings_and_everything_has_a_sentence(event: ToldEvent) -> None:
    """No float is in a body; the sentence needs no other field to be understood."""
    body = standard_body(a_transition(event), ORIGIN, is_durable=True)

    def refuse(text: str) -> None:
        raise AssertionError(f"a float: {text}")

    data = json.loads(body, parse_float=refuse)["data"]
    assert data["summary"]
    assert isinstance(data["way_out"], str)


@pytest.mark.parametrize(
    "hostile",
    [
        "<!channel> <@U123> <!here|x>",
        "<https://evil.example|your bank>",
        "[your bank](https://evil.example)",
        "@channel @all @here",
        "line\nbreak\r\u2028\u2029\x00\x1b[31m",
        "&lt;!channel&gt;",
        "\u202eevil",
    ],
)
def test_nothing_people_wrote_is_live_in_a_chat(hostile: str) -> None:
    """No mention, no link under another name, no line of its own, no turned-round text."""
    event = replace(ALL_KILLED, reason=hostile, triggered_by=hostile)
    text = json.loads(slack_body(a_transition(event), ORIGIN, is_durable=True))["text"]
    assert "<" not in text
    assert ">" not in text
    assert not re.search(r"@\w", text)
    assert "](" not in text
    assert len(text.splitlines()) == 3
    assert "\u202e" not in text


@given(st.text(max_size=3_000))
def test_a_slack_line_is_inert_and_bounded(text: str) -> None:
    """Whatever is in the words."""
    said = inert(text)
    assert not set("<>\n\r") & set(said)
    assert not re.search(r"&(?!amp;|lt;|gt;)", said)
    event = replace(ALL_KILLED, reason=text, triggered_by=text)
    sent = json.loads(slack_body(a_transition(event), ORIGIN, is_durable=False))["text"]
    assert len(sent) <= SLACK_LENGTH_MAX
    assert "NOT DURABLE" in sent or len(sent) == SLACK_LENGTH_MAX


def test_a_reset_of_many_scopes_is_cut_and_says_so() -> None:
    """A thousand scopes do not make a message of a megabyte."""
    scopes = tuple(KillScope(ScopeKind.STRATEGY, f"s{at}") for at in range(1_000))
    told = tell(KillReset(scopes=scopes, reset_by="alice", reason="over"))
    assert len(told.facts["scopes"]) == SCOPES_TOLD_MAX
    assert told.facts["scopes_left_out"] == 1_000 - SCOPES_TOLD_MAX
    assert "and 984 more" in told.sentence


@pytest.mark.parametrize("name", ["momentum", "a;rm", "$(reboot)", "it's", "--all"])
def test_a_way_out_can_be_pasted(name: str) -> None:
    """A name that somebody chose runs nothing in the shell it is pasted into."""
    event = replace(ALL_KILLED, scope=KillScope(ScopeKind.STRATEGY, name))
    words = shlex.split(tell(event).way_out)
    assert words[:3] == ["haltline", "reset", "kill"]
    assert name in words[3:5] or f"--strategy={name}" in words


def test_a_kill_that_asks_for_more_says_so() -> None:
    """Who reads it knows what the bot was asked to do."""
    event = replace(ALL_KILLED, requested_action=RequestedAction.FLATTEN)
    assert tell(event).sentence.endswith("; asked for FLATTEN")


def test_an_id_is_the_same_for_ever_and_another_for_everything_else() -> None:
    """Store, record, place in it, time and kind of event: each makes another id."""
    kill = a_transition(ALL_KILLED)
    ids = {
        kill.message_id("s"),
        kill.message_id("t"),
        replace(kill, sequence=4713).message_id("s"),
        replace(kill, index=1).message_id("s"),
        replace(kill, time=TIME + 1).message_id("s"),
        a_transition(EVENTS[TransitionType.KILL_RESET]).message_id("s"),
    }
    assert len(ids) == 6
    assert kill.message_id("s") == "msg_cd7400f26208306da3d2d80019932533"
    assert replace(kill, actor=Actor("", "", "")).message_id("s") == kill.message_id("s")


def _page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_the_way_out_of_one_eased_scope_resets_that_scope_alone() -> None:
    """`reset kill` without a scope would start what nobody spoke of."""
    eased = KillEased(
        scopes=(KillScope(ScopeKind.STRATEGY, "momentum"),), reset_by="alice", reason="exits"
    )
    told = tell(eased)
    assert told.way_out == "haltline reset kill --strategy momentum --by YOU --reason WHY"
