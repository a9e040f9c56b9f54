"""What a webhook must say to start again, member by member."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.bridge.reset_rules import (
    EPOCH_MAX,
    REASON_DEFAULT,
    WHO_LENGTH_MAX,
    WHY_LENGTH_MAX,
    read_body,
    read_ease_kill,
    read_reset_breaker,
    read_reset_kill,
    refuse_unless_fresh,
    refuse_unless_hs1,
)
from sidecar.bridge.signatures import Scheme, Verified
from sidecar.core.commands import Drawdown, EaseKill, KillScope, ResetKill, ScopeKind
from sidecar.core.denial import CallRefused, ErrorCode


def faults_of(said: dict[str, Any], read: Any = read_reset_kill) -> list[str]:  # noqa: ANN401 - one of the readers
    """Return the members that are at fault."""
    with pytest.raises(CallRefused) as refused:
        read(said)
    assert refused.value.code is ErrorCode.INVALID_ARGUMENT
    return [fault.field for fault in refused.value.field_faults]


def test_a_reset_needs_who_and_has_a_reason_of_its_own() -> None:
    """The original's clients send `reset_by` alone."""
    assert read_reset_kill({"reset_by": "ann"}) == ResetKill(
        reset_by="ann", reason=REASON_DEFAULT, scope=None, expected_epoch=None
    )
    assert read_reset_kill({"reset_by": " ann ", "reason": "  "}).reason == REASON_DEFAULT


@pytest.mark.parametrize("who", ["", "  ", None, 7, ["ann"], {"name": "ann"}, True])
def test_nobody_resets_nothing(who: object) -> None:
    """A name that is no text is no name."""
    assert faults_of({"reset_by": who}) == ["reset_by"]
    assert faults_of({}) == ["reset_by"]


@pytest.mark.parametrize(
    ("member", "length_max"), [("reset_by", WHO_LENGTH_MAX), ("reason", WHY_LENGTH_MAX)]
)
def test_texts_have_a_bound(member: str, length_max: int) -> None:
    """At the bound taken, one past it refused."""
    said = {"reset_by": "ann", "reason": "x"}
    assert read_reset_kill(said | {member: "x" * length_max})
    assert faults_of(said | {member: "x" * (length_max + 1)}) == [member]


@pytest.mark.parametrize(
    ("said", "scope"),
    [
        ({}, None),
        ({"scope": None}, None),
        ({"scope": {"all": True}}, KillScope()),
        ({"scope": {"strategy": "x"}}, KillScope(ScopeKind.STRATEGY, "x")),
        ({"scope": {"symbol": "y"}}, KillScope(ScopeKind.SYMBOL, "y")),
        ({"strategy": "x"}, KillScope(ScopeKind.STRATEGY, "x")),
        ({"symbol": "y"}, KillScope(ScopeKind.SYMBOL, "y")),
    ],
)
def test_a_scope_is_what_it_says(said: dict[str, Any], scope: KillScope | None) -> None:
    """Absent it is every scope."""
    assert read_reset_kill({"reset_by": "ann"} | said).scope == scope


@pytest.mark.parametrize(
    "said",
    [
        {"scope": "momentum"},
        {"scope": {}},
        {"scope": []},
        {"scope": {"all": False}},
        {"scope": {"all": "yes"}},
        {"scope": {"strategy": ""}},
        {"scope": {"strategy": "a b"}},
        {"scope": {"strategy": 7}},
        {"scope": {"strategy": "x", "symbol": "y"}},
        {"scope": {"Strategy": "x"}},
        {"strategy": "x", "symbol": "y"},
        {"strategy": ["x"]},
        {"scope": 0},
        {"scope": False},
    ],
)
def test_what_is_no_scope_starts_nothing(said: dict[str, Any]) -> None:
    """A reset of one scope that is misspelt must not become a reset of all."""
    assert faults_of({"reset_by": "ann"} | said) == ["scope"]


@pytest.mark.parametrize("epoch", [0, 1, EPOCH_MAX])
def test_an_epoch_is_a_whole_number(epoch: int) -> None:
    """As the status tells it."""
    assert read_reset_kill({"reset_by": "ann", "expected_epoch": epoch}).expected_epoch == epoch


@pytest.mark.parametrize("epoch", [-1, EPOCH_MAX + 1, "1", 1.0, True, [1], {}, "9" * 30])
def test_what_is_no_epoch_is_refused(epoch: object) -> None:
    """An epoch that cannot be read must not be as if none was given."""
    assert faults_of({"reset_by": "ann", "expected_epoch": epoch}) == ["expected_epoch"]


def test_every_fault_is_told_at_once() -> None:
    """One answer names all (S4.1)."""
    said = {"reason": 7, "scope": "x", "expected_epoch": "y"}
    assert faults_of(said) == ["reset_by", "reason", "scope", "expected_epoch"]


def test_easing_reads_what_a_reset_reads() -> None:
    """The same members, another command."""
    said = {"reset_by": "ann", "reason": "out", "symbol": "y", "expected_epoch": 3}
    assert read_ease_kill(said) == EaseKill(
        reset_by="ann", reason="out", scope=KillScope(ScopeKind.SYMBOL, "y"), expected_epoch=3
    )
    assert faults_of({"scope": 1}, read_ease_kill) == ["reset_by", "scope"]


def test_the_breaker_names_what_it_rebases() -> None:
    """In any case, each once."""
    said = {"reset_by": "ann", "rebase": ["daily", "TOTAL"]}
    assert read_reset_breaker(said).rebase == (Drawdown.DAILY, Drawdown.TOTAL)
    assert read_reset_breaker({"reset_by": "ann"}).rebase == ()


@pytest.mark.parametrize("rebase", ["daily", ["hourly"], ["daily", "DAILY"], [7], {}, None, 0])
def test_what_is_no_rebase_is_refused(rebase: object) -> None:
    """An allowance must not be renewed by a guess."""
    assert faults_of({"reset_by": "ann", "rebase": rebase}, read_reset_breaker) == ["rebase"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "BODY_EMPTY"),
        (b" \n", "BODY_EMPTY"),
        (b"[]", "BODY_NOT_JSON"),
        (b"reset", "BODY_NOT_JSON"),
        (b'{"reset_by":"a","reset_by":"b"}', "BODY_NOT_JSON"),
        (b'{"reset_by":"a","triggered_by":"b"}', "BODY_OF_A_TRIGGER"),
        (b'{"reset_by":"a","triggered_by":null}', "BODY_OF_A_TRIGGER"),
    ],
)
def test_what_is_no_reset_s_body_is_refused(body: bytes, reason: str) -> None:
    """Each with its stable code."""
    with pytest.raises(CallRefused) as refused:
        read_body(body)
    assert refused.value.reason == reason


def test_other_members_are_passed_over() -> None:
    """A nonce makes another body of it, which is what it is for."""
    assert read_reset_kill(read_body(b'{"reset_by":"ann","nonce":"7"}')).reset_by == "ann"


@pytest.mark.parametrize("scheme", list(Scheme))
@pytest.mark.parametrize("is_fresh", [True, False])
def test_freshness_is_asked_for_and_never_waived(scheme: Scheme, *, is_fresh: bool) -> None:
    """Where it must be fresh only what is fresh passes."""
    verified = Verified(scheme=scheme, is_fresh=is_fresh)
    refuse_unless_fresh(verified, must_be_fresh=False)
    if is_fresh:
        refuse_unless_fresh(verified, must_be_fresh=True)
        return
    with pytest.raises(CallRefused) as refused:
        refuse_unless_fresh(verified, must_be_fresh=True)
    assert refused.value.reason == "RESET_NOT_FRESH"


@pytest.mark.parametrize("scheme", list(Scheme))
def test_hs1_alone_is_hs1(scheme: Scheme) -> None:
    """However fresh another is."""
    if scheme is Scheme.HS1:
        refuse_unless_hs1(Verified(scheme=scheme, is_fresh=True))
        return
    with pytest.raises(CallRefused):
        refuse_unless_hs1(Verified(scheme=scheme, is_fresh=True))


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.text())
NAMES = ("reset_by", "reason", "scope", "strategy", "symbol", "expected_epoch", "rebase")


@given(said=st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_no_members_crash_a_reader(said: dict[str, Any]) -> None:
    """Read or refused, whatever the kinds."""
    body = json.dumps(said).encode()
    for read in (read_reset_kill, read_ease_kill, read_reset_breaker):
        try:
            command = read(read_body(body))
        except CallRefused as refused:
            assert refused.message  # noqa: PT017 - either way is right
        else:
            assert command.reset_by
            assert command.reason
